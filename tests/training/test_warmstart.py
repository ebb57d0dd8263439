"""Starting from what another training learned."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from hifigan_cli.errors import ModelError
from hifigan_cli.importers.model_lookup import locate_source
from hifigan_cli.io.tensor_file import arrays_of
from hifigan_cli.models import read_model, write_model
from hifigan_cli.models.model_file import ModelFile
from hifigan_cli.training.checkpoint import read_checkpoint
from hifigan_cli.training.events import Noted
from hifigan_cli.training.state import VocoderState
from hifigan_cli.training.warm_start import read_source
from tests.training import small
from tests.training.runs import CPU, checkpoint, differing, go, of

pytestmark = pytest.mark.usefixtures("small_discriminators")


@pytest.fixture
def source(prepared: Path, tmp_path: Path) -> Path:
    """Return a run of three steps from another seed."""
    go(prepared, tmp_path / "source", steps=3, seed=7)
    return tmp_path / "source"


def fresh() -> VocoderState:
    return VocoderState(small.config(ema_decay=0.5), CPU)


def warm_start(state: VocoderState, path: Path) -> str:
    return read_source(path, state.config)(state)


def same(state: VocoderState, network: str, found: dict[str, torch.Tensor]) -> bool:
    own = getattr(state, network).state_dict()
    return all(torch.equal(value, own[key]) for key, value in found.items())


@pytest.mark.parametrize("place", ["", "checkpoints/step_00000003.safetensors"])
def test_run_or_checkpoint_gives_all_networks(source: Path, place: str) -> None:
    """Protects the discriminators, without which a good generator first unlearns."""
    state = fresh()
    assert "networks" in warm_start(state, source / place)
    saved = read_checkpoint(checkpoint(source, 3))
    for network in ("generator", "mpd", "msd"):
        assert same(state, network, saved.part(f"{network}."))
    assert same(state, "ema", saved.part("generator."))
    assert state.step == 0


def test_model_file_gives_the_generators_function(source: Path) -> None:
    """Protects the way back from folded weights: the same waveform, discriminators anew."""
    state, untouched = fresh(), fresh()
    assert "no discriminators" in warm_start(state, source / "model.safetensors")
    mel = torch.randn(1, 80, 5)
    model = read_model(source / "model.safetensors")
    torch.testing.assert_close(state.generator(mel), model.build()(mel))
    assert same(state, "mpd", untouched.mpd.state_dict())


def test_discriminators_in_a_model_file_come_along(source: Path, tmp_path: Path) -> None:
    """Protects model files that carry them."""
    model = read_model(source / "model.safetensors")
    tensors = arrays_of(load_file(checkpoint(source, 3)))
    others = {key: value for key, value in tensors.items() if key.startswith(("mpd.", "msd."))}
    write_model(
        tmp_path / "whole.safetensors", ModelFile(model.mel, model.generator, model.weights, others)
    )
    state = fresh()
    assert "networks" in warm_start(state, tmp_path / "whole.safetensors")
    assert same(state, "msd", read_checkpoint(checkpoint(source, 3)).part("msd."))


def test_other_architecture_is_named(source: Path) -> None:
    """Protects row 34: the first key that differs, before any weight is loaded."""
    config = small.config()
    wider = config.model_copy(
        update={"generator": config.generator.model_copy(update={"upsample_initial_channel": 32})}
    )
    for place in ("", "model.safetensors"):
        with pytest.raises(ModelError, match=r"generator\.upsample_initial_channel = 16"):
            warm_start(VocoderState(wider, CPU), source / place)


def test_discriminators_of_another_width_are_refused_early(source: Path) -> None:
    """Before a run is set aside for one that could not begin; the generator alone would do."""
    config = small.config(discriminator_width=0.5)
    with pytest.raises(ModelError, match=r"discriminator_width = 1\.0, this run has 0\.5"):
        read_source(source, config)
    read_source(source / "model.safetensors", config)


def test_nothing_there_is_an_error(tmp_path: Path) -> None:
    """Protects against a typing error that would train from zero."""
    for place in (tmp_path, tmp_path / "none.safetensors"):
        with pytest.raises(ModelError):
            warm_start(fresh(), place)


def test_a_name_that_nothing_has_is_refused(source: Path) -> None:
    """Protects the meaning of `--init`: a folder stays one, for its discriminators."""
    assert locate_source(str(source)) == source
    with pytest.raises(ModelError) as caught:
        locate_source("universal-v")
    assert "universal-v1" in (caught.value.hint or "")


def test_refused_source_leaves_nothing_behind(prepared: Path, source: Path, tmp_path: Path) -> None:
    """Protects the place of the new run, and the old run that `--fresh` would set aside."""
    with pytest.raises(ModelError, match=r"no model\.safetensors and no checkpoints"):
        go(prepared, tmp_path / "new", init=prepared)
    with pytest.raises(ModelError):
        go(prepared, source, init=prepared, fresh=True)
    assert {path.name for path in tmp_path.iterdir()} == {"source"}


def test_run_starts_anew_from_itself(prepared: Path, source: Path) -> None:
    """Protects `--fresh --init RUN --out RUN`: read before it is set aside."""
    events = go(prepared, source, steps=1, init=source, fresh=True)
    assert any("starting from" in event.message for event in of(events, Noted))
    assert (source.parent / "source.1").is_dir()


def test_resumed_run_does_not_start_over(prepared: Path, source: Path, tmp_path: Path) -> None:
    """Protects the same command with `--init`: the second time it continues."""
    first = go(prepared, tmp_path / "run", steps=2, init=source)
    assert any(str(source) in event.message for event in of(first, Noted))
    second = go(prepared, tmp_path / "run", steps=4, init=source)
    assert not of(second, Noted)
    go(prepared, tmp_path / "whole", steps=4, init=source)
    assert differing(*(checkpoint(tmp_path / name, 4) for name in ("run", "whole"))) == []


def test_resumed_run_needs_no_source(prepared: Path, source: Path, tmp_path: Path) -> None:
    """Protects the same command after its `--init` file is gone; a new run still needs it.

    Nor is a pretrained name converted for a run that continues.
    """
    init, cache = tmp_path / "init.safetensors", tmp_path / "cache"
    (source / "model.safetensors").rename(init)

    def train(out: str, *words: str | Path) -> tuple[int, list[dict[str, Any]], str]:
        done = small.run(
            "train", prepared, "--out", tmp_path / out, "--device", "cpu", "--no-tensorboard",
            "--json", *small.arguments(), *words, env={"HIFIGAN_CACHE": str(cache)},
        )  # fmt: skip
        return done.returncode, [json.loads(line) for line in done.stdout.splitlines()], done.stderr

    code, lines, errors = train("run", "--init", init, "--steps", "2")
    assert code == 0, errors
    assert str(init) in json.dumps(lines) + errors
    init.unlink()
    code, lines, errors = train("run", "--init", init, "--steps", "4")
    assert code == 0, errors
    assert (lines[0]["step"], lines[-1]["step"]) == (2, 4)
    for name in (str(init), "universal-v1"):
        code, lines, errors = train("run", "--init", name, "--steps", "6", "--dry-run")
        assert code == 0, errors
        assert lines[0]["first_step"] == 4
    assert not cache.exists()
    for words in (["--dry-run"], []):
        code, _, errors = train("other", "--init", init, *words)
        assert code == 5
        assert init.name in errors
        code, _, errors = train("run", "--init", init, "--fresh", *words)
        assert code == 5
    assert {path.name for path in tmp_path.iterdir()} == {"source", "run"}
