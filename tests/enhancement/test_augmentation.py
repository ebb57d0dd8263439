"""Augmentation: pairs depend only on seed and number, are aligned, and follow the configuration."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hifigan_cli.config import MelConfig
from hifigan_cli.enhancement.augmentation.effects import (
    apply_codec,
    apply_gain,
    band_limit,
    clip,
    draw_noise,
    draw_rir,
    low_pass,
    mix,
    reverberate,
)
from hifigan_cli.enhancement.augmentation.pair_renderer import PairRenderer
from hifigan_cli.enhancement.augmentation.pairs_file import PairSources, open_pairs
from hifigan_cli.enhancement.augmentation.sounds import (
    bandwidth_hz,
    fingerprint,
    is_held_out,
    load_sounds,
    spectral_gate,
)
from hifigan_cli.enhancement.config import AugmentationConfig
from hifigan_cli.errors import InputError, UsageError
from tests.data.corpora import write
from tests.enhancement.helpers import sources
from tests.helpers import speech

SAMPLE_RATE = 22_050


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> PairSources:
    """Return small folders of speech, noises and room impulse responses."""
    return sources(tmp_path_factory.mktemp("sounds"))


@pytest.fixture(scope="module")
def renderer(inputs: PairSources) -> PairRenderer:
    """Return the renderer of training pairs."""
    return inputs.renderer(validation=False)


def lag(a: np.ndarray, b: np.ndarray) -> int:
    """Return the delay of `b` relative to `a` in samples."""
    size = 2 * len(a)
    correlation = np.fft.irfft(np.fft.rfft(b, size) * np.conj(np.fft.rfft(a, size)), size)
    peak = int(np.argmax(correlation))
    return peak if peak < len(a) else peak - size


@settings(max_examples=5)
@given(order=st.permutations(range(5)))
def test_pairs_do_not_depend_on_rendering_order(renderer: PairRenderer, order: list[int]) -> None:
    """Any process can render any pair at any time."""
    pairs = {number: renderer.pair(number, 6_000) for number in order}
    for number in range(5):
        for a, b in zip(renderer.pair(number, 6_000), pairs[number], strict=True):
            assert np.array_equal(a, b)
    assert not np.array_equal(pairs[0][0], pairs[1][0])


@pytest.mark.parametrize("seed", [0, 1])
def test_pairs_are_aligned_and_in_range(inputs: PairSources, seed: int) -> None:
    """Reverberation and codecs do not delay the noisy side."""
    strong = AugmentationConfig(
        clean_probability=0,
        reverb_probability=1,
        noise_probability=0.3,
        band_limit_probability=0.5,
        codec_probability=0.6,
        clipping_probability=0.3,
    )
    renderer = replace(inputs.renderer(validation=False), augmentation=strong, seed=seed)
    lags = []
    for number in range(12):
        noisy, clean = renderer.pair(number, 16_000)
        assert np.abs(noisy).max() <= 1.0
        assert np.isfinite(noisy).all()
        assert np.abs(clean).max() > 0
        lags.append(abs(lag(clean, noisy)))
    assert np.median(lags) <= 2


def test_untouched_pairs_are_not_augmented(inputs: PairSources) -> None:
    """Without augmentation, the noisy side is the recording or the gated target."""
    none = AugmentationConfig(clean_probability=1.0)
    renderer = replace(inputs.renderer(validation=False), augmentation=none, seed=3)
    pairs = [renderer.pair(number, 8_000) for number in range(8)]
    assert any(np.array_equal(noisy, clean) for noisy, clean in pairs)


@settings(max_examples=20)
@given(snr_db=st.floats(-5, 30), seed=st.integers(0, 5))
def test_mix_has_the_requested_snr(snr_db: float, seed: int) -> None:
    """The SNR is relative to the level of active speech."""
    voice = speech(1.0, seed=seed).astype(np.float64)
    noise = np.random.default_rng(seed).normal(size=len(voice))
    added = mix(voice, noise, snr_db) - voice
    active = np.abs(voice) > 0.05 * np.abs(voice).max()
    ratio = 10 * np.log10(np.mean(voice[active] ** 2) / np.mean(added**2))
    assert ratio == pytest.approx(snr_db, abs=0.01)


def test_training_does_not_use_held_out_sounds(inputs: PairSources) -> None:
    """Training and validation share no noise and no RIR, and together use all of them."""
    for folder in (inputs.noises, inputs.rirs):
        splits = [load_sounds(folder, SAMPLE_RATE, validation=v) for v in (False, True)]
        files = list(folder.glob("*.wav"))
        held_out = sum(is_held_out(path.name) for path in files)
        if 0 < held_out < len(files):
            assert [len(sounds) for sounds in splits] == [len(files) - held_out, held_out]
    names = [f"noise{n}.wav" for n in range(800)]
    assert 60 < sum(map(is_held_out, names)) < 140  # one in eight


def test_folder_without_sounds_is_an_error(tmp_path: Path) -> None:
    """The message contains the folder."""
    with pytest.raises(InputError, match=str(tmp_path)):
        load_sounds(tmp_path, SAMPLE_RATE, validation=False)


@pytest.mark.parametrize("kind", ["fifo", "folder", "text"])
def test_unreadable_sound_is_an_error(inputs: PairSources, tmp_path: Path, kind: str) -> None:
    """The message contains the path; rendering does not hang and leaves no files."""
    bad = tmp_path / "noises" / "bad.wav"
    bad.parent.mkdir()
    if kind == "fifo":
        os.mkfifo(bad)
    elif kind == "folder":
        bad.mkdir()
    else:
        bad.write_text("no sound")
    (tmp_path / "pairs").mkdir()
    with pytest.raises(InputError, match=re.escape(str(bad))):
        open_pairs(replace(inputs, noises=bad.parent), tmp_path / "pairs", 2, lambda *_: None)
    assert not list((tmp_path / "pairs").iterdir())


def test_sound_names_can_be_any_bytes(tmp_path: Path) -> None:
    """File names need not be valid UTF-8."""
    name = os.fsdecode(b"\xff.wav")
    write(tmp_path / "sound.wav", speech(0.1)).rename(tmp_path / name)
    assert len(fingerprint(tmp_path)) == 64
    assert is_held_out(name) in (True, False)


def test_speech_with_another_sample_rate_is_an_error(inputs: PairSources, tmp_path: Path) -> None:
    """Without the error, the mels would silently have another convention."""
    mel = MelConfig(sample_rate=24_000)
    with pytest.raises(UsageError, match=r"22050 Hz.*24000 Hz"):
        open_pairs(replace(inputs, mel=mel), tmp_path, 1, lambda *_: None)


@pytest.mark.parametrize("seed", [0, 1])
def test_reverberation_does_not_move_the_direct_path(renderer: PairRenderer, seed: int) -> None:
    """Reverberated speech begins when the dry speech begins."""
    rng = np.random.default_rng(seed)
    response, direct = draw_rir(rng, renderer.rirs, SAMPLE_RATE, varied=True)
    impulse = np.zeros(8_000)
    impulse[4_000] = 1
    assert int(np.argmax(np.abs(reverberate(impulse, response, direct)))) == 4_000


@settings(max_examples=30)
@given(samples=st.integers(1, 30_000), seed=st.integers(0, 9))
def test_noise_of_any_length_has_rms_1(renderer: PairRenderer, samples: int, seed: int) -> None:
    """Short recordings are repeated, long ones are cut, synthetic noise is generated."""
    noise = draw_noise(
        np.random.default_rng(seed), renderer.noises, samples, SAMPLE_RATE, varied=True
    )
    assert noise.shape == (samples,)
    assert np.sqrt(np.mean(noise**2)) == pytest.approx(1, abs=1e-3) or samples < 10


@pytest.mark.parametrize("seed", range(4))
def test_effects_preserve_length_and_alignment(seed: int) -> None:
    """Companding, MP3, band limits and clipping add no delay."""
    voice = speech(1.0).astype(np.float64)
    rng = np.random.default_rng(seed)
    for changed in (
        apply_codec(rng, voice, SAMPLE_RATE),
        band_limit(rng, voice, SAMPLE_RATE),
        clip(rng, voice),
    ):
        assert changed.shape == voice.shape
        assert abs(lag(voice, changed)) <= 1
        assert not np.allclose(changed, voice)


def test_spectral_gate_attenuates_noise_and_preserves_speech() -> None:
    """Steady noise falls by more than 10 dB; the level of speech changes by less than 1 dB."""
    voice = speech(2.0).astype(np.float64)
    voice[: SAMPLE_RATE // 2] = 0
    noise = np.random.default_rng(0).normal(0, 0.003, len(voice))
    result = spectral_gate(voice + noise)
    pause, rest = slice(2_000, SAMPLE_RATE // 2 - 2_000), slice(SAMPLE_RATE // 2, None)
    assert 20 * np.log10(np.std(noise[pause]) / np.std(result[pause])) > 10
    assert abs(20 * np.log10(np.std(result[rest]) / np.std(voice[rest]))) < 1


def test_bandwidth_of_band_limited_speech() -> None:
    """The bandwidth limits the slowdown of speech, so that the top of the mel is never empty."""
    noise = np.random.default_rng(0).normal(size=60_000)
    assert bandwidth_hz(noise, SAMPLE_RATE) > 11_000
    narrow = apply_gain(noise, SAMPLE_RATE, lambda f: low_pass(4_000)(f) * (f < 4_200))
    assert 3_500 < bandwidth_hz(narrow, SAMPLE_RATE) < 4_500


def test_recorded_and_gated_segments_are_aligned(inputs: PairSources) -> None:
    """The recording and its gated form are the same segment."""
    sampler = inputs.renderer(validation=False).speech
    for seed in range(4):
        recorded, clean = sampler.draw(np.random.default_rng(seed), 9_000, (0.8, 1.2))
        assert recorded.shape == clean.shape == (9_000,)
        if np.abs(clean).max() > 0.05:
            assert abs(lag(recorded, clean)) <= 1


def test_pairs_are_rendered_once(inputs: PairSources, tmp_path: Path) -> None:
    """The number of processes does not matter, and existing files are not rendered again."""
    reported: list[int] = []
    first = open_pairs(inputs, tmp_path, 1, lambda done, _of: reported.append(done))
    assert reported[-1] > 0
    assert first[0].shape == (40, 2, 24, 80)
    (tmp_path / "two").mkdir()
    second = open_pairs(inputs, tmp_path / "two", 2, lambda _done, _of: None)
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
    reported.clear()
    open_pairs(inputs, tmp_path, 1, lambda done, _of: reported.append(done))
    assert reported == []
