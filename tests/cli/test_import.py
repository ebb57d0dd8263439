"""`hifigan import` of other tools' models, and what the other commands then do with them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from hifigan_cli.audio.logmel import log_mel
from hifigan_cli.config import Config, MelConvention
from hifigan_cli.errors import ModelError
from hifigan_cli.importers.importing import import_checkpoint
from hifigan_cli.models.model_file import read_model, write_model
from hifigan_cli.training.warm_start import read_source
from tests.helpers import hifigan, speech
from tests.importers.foreign import CASES
from tests.importers.foreign.networks import SMALL, SPEECH_T5, normed
from tests.importers.foreign.others import write_transformers
from tests.importers.foreign.recipes import write_nemo


@pytest.fixture(scope="module")
def speech_t5(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of Transformers, imported by the command."""
    folder = tmp_path_factory.mktemp("speech_t5")
    source = write_transformers(folder, normed(SPEECH_T5))
    run = hifigan("import", source, "-o", folder / "m.safetensors", "--name", "t5")
    assert run.returncode == 0, run.stderr
    assert "t5 (Transformers)" in run.stderr
    return folder / "m.safetensors"


def test_help_names_the_families() -> None:
    """Who looks for their tool finds it."""
    text = " ".join(hifigan("import", "--help").stdout.replace("│", " ").split())
    for family in sorted({case.family for case in CASES.values()}):
        assert family in text, family


def test_info_shows_the_convention(speech_t5: Path) -> None:
    """What is unusual of the mel is said; long statistics are counted, in JSON they are whole."""
    text = hifigan("info", speech_t5).stdout
    for line in ("mel.convention.log log10", "mel.convention.center True", "input_mean 80 values"):
        assert line in " ".join(text.split()), line
    facts = json.loads(hifigan("info", speech_t5, "--json").stdout)["facts"]
    assert len(facts["generator"]["variant"]["input_mean"]) == 80


def test_resynth_and_mel_follow_the_convention(tmp_path: Path, speech_t5: Path) -> None:
    """What is computed is the model's own mel: log10, centered, another rate."""
    samples = speech(0.5, 16_000)
    soundfile.write(tmp_path / "in.wav", samples, 16_000, subtype="FLOAT")
    line = ("resynth", tmp_path / "in.wav", "-o", tmp_path / "out.wav", "-m", speech_t5)
    run = hifigan(*line, "--no-enhance")
    assert run.returncode == 0, run.stderr
    found, sample_rate = soundfile.read(tmp_path / "out.wav")
    assert (sample_rate, len(found)) == (16_000, len(samples))
    run = hifigan("mel", tmp_path / "in.wav", "-o", tmp_path / "in.npy", "-m", speech_t5)
    assert run.returncode == 0, run.stderr
    mel = np.load(tmp_path / "in.npy")
    assert np.array_equal(mel, log_mel(samples[None], read_model(speech_t5).mel)[0])
    run = hifigan("vocode", tmp_path / "in.npy", "-o", tmp_path / "mel.wav", "-m", speech_t5)
    assert run.returncode == 0, run.stderr
    again, _ = soundfile.read(tmp_path / "mel.wav")
    assert len(again) == mel.shape[1] * 256
    whole = len(samples) - 4 * 1024  # the end of the recording is padded, that of its mel is not
    assert np.abs(again[:whole] - found[:whole]).max() < 2e-4  # of 16 bits


def test_json_tells_the_family(tmp_path: Path) -> None:
    """Scripts learn what was imported, and how exactly."""
    source = write_nemo(tmp_path, normed(SMALL))
    run = hifigan("import", source, "-o", tmp_path / "m.safetensors", "--json")
    told = json.loads(run.stdout)
    assert told["family"] == "NeMo"
    assert told["folding_error"] < 1e-5
    assert told["digest"] == read_model(tmp_path / "m.safetensors").digest


@pytest.mark.parametrize("name", ["everyvoice", "coqui"])
def test_training_does_not_take_another_mel_or_network(tmp_path: Path, name: str) -> None:
    """Weights of the same sizes that read another mel are no start for training; it says why."""
    state = normed(SMALL)
    model = import_checkpoint(CASES[name].write(tmp_path, state)).model
    write_model(tmp_path / "m.safetensors", model)
    sizes = model.mel.model_copy(update={"convention": MelConvention()})
    own = Config(mel=sizes, generator=SMALL)
    with pytest.raises(ModelError, match=r"mel\.convention.*the usual"):
        read_source(tmp_path / "m.safetensors", own)
