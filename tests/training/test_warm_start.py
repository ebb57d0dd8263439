"""Starting a run from the weights of another (`--init`)."""

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
from hifigan_cli.training.state import VocoderState
from hifigan_cli.training.warm_start import read_source
from hifigan_cli.types import Notice
from tests.training import small
from tests.training.runs import CPU, checkpoint, differing_tensors, of_type, train_run

pytestmark = pytest.mark.usefixtures("small_discriminators")


@pytest.fixture
def source(prepared: Path, tmp_path: Path) -> Path:
    """Return a run of three steps from another seed."""
    train_run(prepared, tmp_path / "source", steps=3, seed=7)
    return tmp_path / "source"


def new_state() -> VocoderState:
    return VocoderState(small.config(ema_decay=0.5), CPU)


def load_source(state: VocoderState, path: Path) -> str:
    return read_source(path, state.config)(state)


def has_weights(state: VocoderState, network: str, expected: dict[str, torch.Tensor]) -> bool:
    weights = getattr(state, network).state_dict()
    return all(torch.equal(value, weights[key]) for key, value in expected.items())


@pytest.mark.parametrize("path", ["", "checkpoints/step_00000003.safetensors"])
def test_run_or_checkpoint_provides_all_networks(source: Path, path: str) -> None:
    """Check that the discriminators are loaded too; new ones would first harm the generator."""
    state = new_state()
    assert str(source / path) in load_source(state, source / path)
    saved = read_checkpoint(checkpoint(source, 3))
    for network in ("generator", "mpd", "msd"):
        assert has_weights(state, network, saved.select(f"{network}."))
    assert has_weights(state, "ema", saved.select("generator."))
    assert state.step == 0


def test_model_file_provides_the_generator(source: Path) -> None:
    """Check that folded weights give the same waveform, and the discriminators are new."""
    state, other = new_state(), new_state()
    load_source(state, source / "model.safetensors")
    mel = torch.randn(1, 80, 5)
    model = read_model(source / "model.safetensors")
    torch.testing.assert_close(state.generator(mel), model.build()(mel))
    assert has_weights(state, "mpd", other.mpd.state_dict())


def test_discriminators_in_a_model_file_are_loaded(source: Path, tmp_path: Path) -> None:
    """Check a model file that contains discriminators."""
    model = read_model(source / "model.safetensors")
    tensors = arrays_of(load_file(checkpoint(source, 3)))
    discriminators = {
        key: value for key, value in tensors.items() if key.startswith(("mpd.", "msd."))
    }
    write_model(
        tmp_path / "full.safetensors",
        ModelFile(model.mel, model.generator, model.weights, discriminators),
    )
    state = new_state()
    load_source(state, tmp_path / "full.safetensors")
    assert has_weights(state, "msd", read_checkpoint(checkpoint(source, 3)).select("msd."))


def test_other_architecture_is_an_error(source: Path) -> None:
    """Check that the error names the first different key (row 34)."""
    config = small.config()
    wider = config.model_copy(
        update={"generator": config.generator.model_copy(update={"upsample_initial_channel": 32})}
    )
    for path in ("", "model.safetensors"):
        with pytest.raises(ModelError, match=r"generator\.upsample_initial_channel = 16"):
            load_source(VocoderState(wider, CPU), source / path)


def test_other_discriminator_width_is_an_error(source: Path) -> None:
    """Check the error of `read_source`, before a run is renamed; a generator can be loaded."""
    config = small.config(discriminator_width=0.5)
    with pytest.raises(ModelError, match=r"discriminator_width = 1\.0\D+0\.5"):
        read_source(source, config)
    read_source(source / "model.safetensors", config)


def test_missing_source_is_an_error(tmp_path: Path) -> None:
    """Check that a mistyped path does not start from random weights."""
    for path in (tmp_path, tmp_path / "none.safetensors"):
        with pytest.raises(ModelError):
            load_source(new_state(), path)


def test_unknown_pretrained_name_is_an_error(source: Path) -> None:
    """Check that the hint lists pretrained names, and a run folder is found as a folder."""
    assert locate_source(str(source)) == source
    with pytest.raises(ModelError) as caught:
        locate_source("universal-v")
    assert "universal-v1" in (caught.value.hint or "")


def test_invalid_source_changes_no_files(prepared: Path, source: Path, tmp_path: Path) -> None:
    """Check that no run folder is created, and `--fresh` does not rename the old run."""
    with pytest.raises(ModelError, match=r"model\.safetensors"):
        train_run(prepared, tmp_path / "new", init=prepared)
    with pytest.raises(ModelError):
        train_run(prepared, source, init=prepared, fresh=True)
    assert {path.name for path in tmp_path.iterdir()} == {"source"}


def test_run_restarts_from_itself(prepared: Path, source: Path) -> None:
    """Check `--fresh --init RUN --out RUN`: the weights are read before the run is renamed."""
    events = train_run(prepared, source, steps=1, init=source, fresh=True)
    assert sum(str(source) in event.message for event in of_type(events, Notice)) == 2
    assert (source.parent / "source.1").is_dir()


def test_repeated_command_resumes(prepared: Path, source: Path, tmp_path: Path) -> None:
    """Check that the same command with `--init` resumes the second time."""
    first = train_run(prepared, tmp_path / "run", steps=2, init=source)
    assert any(str(source) in event.message for event in of_type(first, Notice))
    second = train_run(prepared, tmp_path / "run", steps=4, init=source)
    assert not of_type(second, Notice)
    train_run(prepared, tmp_path / "uninterrupted", steps=4, init=source)
    assert (
        differing_tensors(*(checkpoint(tmp_path / name, 4) for name in ("run", "uninterrupted")))
        == []
    )


def test_resumed_run_needs_no_source(prepared: Path, source: Path, tmp_path: Path) -> None:
    """Check that a resumed run needs neither its `--init` file nor a pretrained model.

    A new run still needs them.
    """
    init, cache = tmp_path / "init.safetensors", tmp_path / "cache"
    (source / "model.safetensors").rename(init)

    def train(out: str, *arguments: str | Path) -> tuple[int, list[dict[str, Any]], str]:
        process = small.run(
            "train", prepared, "--out", tmp_path / out, "--device", "cpu", "--no-tensorboard",
            "--json", *small.arguments(), *arguments, env={"HIFIGAN_CACHE": str(cache)},
        )  # fmt: skip
        lines = [json.loads(line) for line in process.stdout.splitlines()]
        return process.returncode, lines, process.stderr

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
    for dry_run in (["--dry-run"], []):
        code, _, errors = train("other", "--init", init, *dry_run)
        assert code == 5
        assert init.name in errors
        code, _, errors = train("run", "--init", init, "--fresh", *dry_run)
        assert code == 5
    assert {path.name for path in tmp_path.iterdir()} == {"source", "run"}
