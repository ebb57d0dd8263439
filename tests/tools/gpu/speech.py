"""Draws stretches of clean speech of one speaker from an unpacked corpus."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import soxr

if TYPE_CHECKING:
    from tests.tools.gpu.unpack import Corpus, Recording

Wave = npt.NDArray[np.float64]

_RATES = (0.7, 1.25)  # changes pitch and vocal tract together: other voices
_CHANGED = 0.7  # of all stretches
_PAUSE_S = (0.03, 0.7)
_JOINED = 0.85  # how often another clip follows where one ends; otherwise silence
MEL_TOP_HZ = 8_000.0


class SpeechSampler:
    """Draws speech; clips by their length, so that the pack decides how often a set appears."""

    def __init__(
        self,
        corpus: Corpus,
        sample_rate: int,
        *,
        validation: bool,
        top_hz: float = MEL_TOP_HZ,
    ) -> None:
        self._speech, self._sample_rate, self._top_hz = corpus.speech, sample_rate, top_hz
        entries = corpus.recordings["speech"]
        self._clips = [entry for entry in entries if entry.validation == validation] or entries
        lengths = np.array([clip.samples / clip.sample_rate for clip in self._clips])
        self._odds = np.cumsum(lengths) / lengths.sum()
        self._by_speaker: dict[str, list[Recording]] = defaultdict(list)
        for clip in self._clips:
            self._by_speaker[clip.speaker].append(clip)

    def draw(
        self, draw: np.random.Generator, samples: int, avoid: str | None = None
    ) -> tuple[Wave, str]:
        """Return `(2, samples)`, as recorded and gated, and the speaker, who is not `avoid`.

        It may begin or end within a word, after silence, or with another clip of the speaker.
        """
        for _ in range(20):  # a corpus of one speaker has no other
            chosen = min(int(np.searchsorted(self._odds, draw.random())), len(self._clips) - 1)
            clip = self._clips[chosen]
            if clip.speaker != avoid:
                break
        # A slower voice that ended below the top of the target would teach to cut it off there.
        lowest = max(_RATES[0], min(1.0, self._top_hz / max(clip.top_hz, 1.0)))
        rate = draw.uniform(lowest, _RATES[1]) if draw.random() < _CHANGED else 1.0
        needed = int(samples * rate * clip.sample_rate / self._sample_rate) + 64
        joined = self._joined(draw, clip, needed)
        voice = soxr.resample(joined, clip.sample_rate * rate, self._sample_rate, quality="HQ")
        return voice[:samples].T, clip.speaker

    def _joined(self, draw: np.random.Generator, clip: Recording, needed: int) -> Wave:
        """Fill `(needed, 2)` with clips of one speaker and pauses."""
        joined = np.zeros((needed, 2))
        others = self._by_speaker[clip.speaker]
        at = -int(draw.integers(-needed // 6, max(clip.samples - needed // 2, 1)))
        while at < needed:
            piece = self._speech[:, clip.start : clip.start + clip.samples]
            piece = piece[:, max(-at, 0) : needed - at]
            begin = max(at, 0)
            joined[begin : begin + piece.shape[1]] = piece.T / 32_767
            at += clip.samples
            if draw.random() > _JOINED:
                break
            at += int(draw.uniform(*_PAUSE_S) * clip.sample_rate)
            following = others[int(draw.integers(len(others)))]
            if following.sample_rate != clip.sample_rate:
                break
            clip = following
        return joined
