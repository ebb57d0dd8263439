"""The recipes of the bundled models, run end to end at a tiny size."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from hifigan_cli.enhancement.model_file import read_enhancer
from hifigan_cli.models.discriminators import MultiPeriodDiscriminator, MultiScaleDiscriminator
from hifigan_cli.models.generator import count_parameters
from hifigan_cli.models.model_file import read_model
from tests.data.corpora import write_corpus
from tests.enhancement.helpers import SETTINGS, sounds
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
    """Write recordings, noises and room impulse responses in the layout of the recipes."""
    folder = tmp_path_factory.mktemp("data")
    _, noises, rirs = sounds(folder)
    noises.rename(folder / "noise")
    rirs.rename(folder / "rir")
    for speaker in SPEECH:
        write_corpus(folder / "train" / speaker, 3, length_s=1.2, prefix=speaker)
    return folder


def run_recipe(model: str, out: Path, data: Path, *options: str | Path) -> None:
    """Run one recipe and check that it succeeds."""
    line = [sys.executable, "-m", "tests.tools.default_models", model, out, "--data", data]
    process = subprocess.run(
        [*map(str, line), "--device", "cpu", *map(str, options)],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert process.returncode == 0, process.stderr


def set_options(*items: str) -> list[str]:
    return [part for item in items for part in ("--set", item)]


@pytest.mark.slow
def test_vocoder_recipe_resumes_after_its_time_limit(data: Path, tmp_path: Path) -> None:
    """Check that a run that ended by `--minutes` is resumed."""
    run_recipe("vocoder", tmp_path, data, "--minutes", "0.5", *set_options(*TINY))
    (saved,) = (tmp_path / "vocoder/checkpoints").glob("step_*.safetensors")
    done = int(saved.stem.removeprefix("step_"))
    assert 0 < done < VOCODER["steps"]  # type: ignore[operator]  # a number
    run_recipe("vocoder", tmp_path, data, *set_options(*TINY, f"steps={done + 2}"))
    assert checkpoint(tmp_path / "vocoder", done + 2).exists()
    steps = [line["step"] for line in metrics(tmp_path / "vocoder")]
    assert steps == list(range(1, done + 3))
    assert read_model(tmp_path / "vocoder/model.safetensors").provenance["steps"] == done + 2


@pytest.mark.slow
def test_enhancer_recipe_packs_the_model(data: Path, tmp_path: Path) -> None:
    """Check the packed model file: half precision, with its provenance."""
    packed = tmp_path / "packed.safetensors"
    run_recipe(
        "enhancer", tmp_path, data, "--asset-out", packed, *set_options(*SETTINGS, "steps=80")
    )
    model = read_enhancer(packed)
    assert model.provenance["steps"] == 80
    assert model.provenance["license"] == "MIT"
    assert {str(value.dtype) for value in model.weights.values()} == {"float16"}


def test_size_of_a_vocoder_checkpoint() -> None:
    """Check the size in the recipe's documentation: 64.9 MiB before packing."""
    from hifigan_cli.config.presets import PRESETS
    from hifigan_cli.models import Generator

    width = float(str(VOCODER["discriminator_width"]))
    generator = count_parameters(Generator(PRESETS["v2"].generator))
    discriminators = count_parameters(MultiPeriodDiscriminator(width))
    discriminators += count_parameters(MultiScaleDiscriminator(width))
    assert (12 * (generator + discriminators) + 4 * generator) / 2**20 == pytest.approx(
        64.92, abs=0.01
    )
