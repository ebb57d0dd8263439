"""`hifigan import`, and how the other commands use imported models."""

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
from tests.importers.foreign.networks import SMALL, SPEECH_T5, weight_normed_state
from tests.importers.foreign.nvidia_nemo_coqui import write_nemo
from tests.importers.foreign.other_families import write_transformers


@pytest.fixture(scope="module")
def speech_t5(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a SpeechT5HifiGan of Transformers, imported by the command."""
    folder = tmp_path_factory.mktemp("speech_t5")
    source = write_transformers(folder, weight_normed_state(SPEECH_T5))
    run = hifigan("import", source, "-o", folder / "m.safetensors", "--name", "t5")
    assert run.returncode == 0, run.stderr
    assert "Transformers" in run.stderr
    return folder / "m.safetensors"


def test_help_names_all_toolkits() -> None:
    """The help names every supported toolkit."""
    text = " ".join(hifigan("import", "--help").stdout.replace("│", " ").split())
    for family in sorted({case.family for case in CASES.values()}):
        assert family in text, family


def test_info_shows_the_convention(speech_t5: Path) -> None:
    """`info` prints the mel convention and the length of the statistics; JSON has all values."""
    text = hifigan("info", speech_t5).stdout
    for line in ("mel.convention.log log10", "mel.convention.center True", "input_mean 80 values"):
        assert line in " ".join(text.split()), line
    facts = json.loads(hifigan("info", speech_t5, "--json").stdout)["facts"]
    assert len(facts["generator"]["variant"]["input_mean"]) == 80


def test_resynth_and_mel_follow_the_convention(tmp_path: Path, speech_t5: Path) -> None:
    """The commands use the mel convention of the model: log10, centered, 16 kHz."""
    samples = speech(0.5, 16_000)
    soundfile.write(tmp_path / "in.wav", samples, 16_000, subtype="FLOAT")
    command = ("resynth", tmp_path / "in.wav", "-o", tmp_path / "out.wav", "-m", speech_t5)
    run = hifigan(*command, "--no-enhance")
    assert run.returncode == 0, run.stderr
    resynthesized, sample_rate = soundfile.read(tmp_path / "out.wav")
    assert (sample_rate, len(resynthesized)) == (16_000, len(samples))
    run = hifigan("mel", tmp_path / "in.wav", "-o", tmp_path / "in.npy", "-m", speech_t5)
    assert run.returncode == 0, run.stderr
    mel = np.load(tmp_path / "in.npy")
    assert np.array_equal(mel, log_mel(samples[None], read_model(speech_t5).mel)[0])
    run = hifigan("vocode", tmp_path / "in.npy", "-o", tmp_path / "mel.wav", "-m", speech_t5)
    assert run.returncode == 0, run.stderr
    vocoded, _ = soundfile.read(tmp_path / "mel.wav")
    assert len(vocoded) == mel.shape[1] * 256
    end = len(samples) - 4 * 1024  # `resynth` pads the end of the recording, `mel` does not
    assert np.abs(vocoded[:end] - resynthesized[:end]).max() < 2e-4  # of 16 bits


def test_json_contains_family_and_error(tmp_path: Path) -> None:
    """The JSON object has the family, the folding error and the digest."""
    source = write_nemo(tmp_path, weight_normed_state(SMALL))
    run = hifigan("import", source, "-o", tmp_path / "m.safetensors", "--json")
    event = json.loads(run.stdout)
    assert event["family"] == "NeMo"
    assert event["folding_error"] < 1e-5
    assert event["digest"] == read_model(tmp_path / "m.safetensors").digest


@pytest.mark.parametrize("name", ["everyvoice", "coqui"])
def test_warm_start_rejects_another_mel(tmp_path: Path, name: str) -> None:
    """Training cannot start from weights of equal shapes that need another mel."""
    state = weight_normed_state(SMALL)
    model = import_checkpoint(CASES[name].write(tmp_path, state)).model
    write_model(tmp_path / "m.safetensors", model)
    mel = model.mel.model_copy(update={"convention": MelConvention()})
    config = Config(mel=mel, generator=SMALL)
    with pytest.raises(ModelError, match=r"mel\.convention"):
        read_source(tmp_path / "m.safetensors", config)
