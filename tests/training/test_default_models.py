"""The recipes of the tool's own models, each from recordings to its end, at the size of seconds."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from hifigan_cli.enhancement.model_file import read_enhancer
from hifigan_cli.models.discriminators import MultiPeriodDiscriminator, MultiScaleDiscriminator
from hifigan_cli.models.generator import count_parameters
from hifigan_cli.models.model_file import read_model
from tests.data.corpora import corpus
from tests.enhancement.small import SETS, sounds
from tests.helpers import environment
from tests.tools.default_models import SPEECH, VOCODER
from tests.training.runs import checkpoint, metrics

TINY = (
    "upsample_initial_channel=16",
    "resblock_kernel_sizes=[3]",
    "resblock_dilation_sizes=[[1]]",
    "segment_size=1024",
    "batch_size=2",
    "adversarial_start=1",
    "discriminator_width=0.125",
    "log_every=1",
    "validation_clips=1",
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Lay out recordings, noises and rooms as the recipes want them."""
    folder = tmp_path_factory.mktemp("data")
    _, noises, rooms = sounds(folder)
    noises.rename(folder / "noise")
    rooms.rename(folder / "rir")
    for speaker in SPEECH:
        corpus(folder / "train" / speaker, 3, length_s=1.2, prefix=speaker)
    return folder


def recipe(model: str, out: Path, data: Path, *options: str | Path) -> None:
    """Run one recipe, which must succeed."""
    line = [sys.executable, "-m", "tests.tools.default_models", model, out, "--data", data]
    run = subprocess.run(
        [*map(str, line), "--device", "cpu", *map(str, options)],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert run.returncode == 0, run.stderr


def sets(*items: str) -> list[str]:
    return [part for item in items for part in ("--set", item)]


@pytest.mark.slow
def test_the_vocoder_is_trained_in_legs(data: Path, tmp_path: Path) -> None:
    """Protects the recipe, and that a leg that ends by the clock is gone on from."""
    recipe("vocoder", tmp_path, data, "--minutes", "0.5", *sets(*TINY))
    (saved,) = (tmp_path / "vocoder/checkpoints").glob("step_*.safetensors")
    done = int(saved.stem.removeprefix("step_"))
    assert 0 < done < VOCODER["steps"]  # type: ignore[operator]  # a number
    recipe("vocoder", tmp_path, data, *sets(*TINY, f"steps={done + 2}"))
    assert checkpoint(tmp_path / "vocoder", done + 2).exists()
    steps = [line["step"] for line in metrics(tmp_path / "vocoder")]
    assert steps == list(range(1, done + 3))
    assert read_model(tmp_path / "vocoder/model.safetensors").provenance["steps"] == done + 2


@pytest.mark.slow
def test_the_enhancer_is_packed_at_the_end(data: Path, tmp_path: Path) -> None:
    """Protects the file that comes along: half precision, with its origin, and nowhere else."""
    packed = tmp_path / "packed.safetensors"
    recipe("enhancer", tmp_path, data, "--pack", packed, *sets(*SETS, "steps=80"))
    found = read_enhancer(packed)
    assert found.provenance["steps"] == 80
    assert found.provenance["licence"] == "MIT"
    assert {str(value.dtype) for value in found.weights.values()} == {"float16"}


def test_a_checkpoint_of_the_vocoder_can_be_carried() -> None:
    """Protects the size that the recipe tells: 64.9 MiB before it is packed."""
    from hifigan_cli.config.presets import PRESETS
    from hifigan_cli.models import Generator

    width = float(str(VOCODER["discriminator_width"]))
    generator = count_parameters(Generator(PRESETS["v2"].generator))
    judges = count_parameters(MultiPeriodDiscriminator(width))
    judges += count_parameters(MultiScaleDiscriminator(width))
    assert (12 * (generator + judges) + 4 * generator) / 2**20 == pytest.approx(64.92, abs=0.01)
