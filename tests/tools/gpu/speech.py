"""Draw segments of clean speech of one speaker from an unpacked corpus."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import soxr

if TYPE_CHECKING:
    from tests.tools.gpu.unpack import UnpackedCorpus, UnpackedRecording

Wave = npt.NDArray[np.float64]

_SPEED_RANGE = (0.7, 1.25)  # changes pitch and formants, like another voice
_SPEED_PROBABILITY = 0.7
_PAUSE_S = (0.03, 0.7)
_JOIN_PROBABILITY = 0.85  # that another clip follows; otherwise silence
MEL_TOP_HZ = 8_000.0


class SpeechSegmentSampler:
    """Draw speech, with the probability of a clip proportional to its length."""

    def __init__(
        self,
        corpus: UnpackedCorpus,
        sample_rate: int,
        *,
        validation: bool,
        top_hz: float = MEL_TOP_HZ,
    ) -> None:
        self._speech, self._sample_rate, self._top_hz = corpus.speech, sample_rate, top_hz
        entries = corpus.recordings["speech"]
        self._clips = [entry for entry in entries if entry.validation == validation] or entries
        lengths = np.array([clip.samples / clip.sample_rate for clip in self._clips])
        self._cumulative_lengths = np.cumsum(lengths) / lengths.sum()
        self._by_speaker: dict[str, list[UnpackedRecording]] = defaultdict(list)
        for clip in self._clips:
            self._by_speaker[clip.speaker].append(clip)

    def draw_speech(
        self, rng: np.random.Generator, samples: int, avoid: str | None = None
    ) -> tuple[Wave, str]:
        """Return `(2, samples)`, recorded and gated, and the speaker, who is not `avoid`.

        The segment may start or end within a word, in silence, or in another clip of the speaker.
        """
        for _ in range(20):  # the corpus may have only one speaker
            index = min(
                int(np.searchsorted(self._cumulative_lengths, rng.random())), len(self._clips) - 1
            )
            clip = self._clips[index]
            if clip.speaker != avoid:
                break
        # Slower speech has less bandwidth; the network would learn to cut off the target there.
        min_speed = max(_SPEED_RANGE[0], min(1.0, self._top_hz / max(clip.top_hz, 1.0)))
        speed = (
            rng.uniform(min_speed, _SPEED_RANGE[1]) if rng.random() < _SPEED_PROBABILITY else 1.0
        )
        needed = int(samples * speed * clip.sample_rate / self._sample_rate) + 64
        joined = self._join_clips(rng, clip, needed)
        voice = soxr.resample(joined, clip.sample_rate * speed, self._sample_rate, quality="HQ")
        return voice[:samples].T, clip.speaker

    def _join_clips(self, rng: np.random.Generator, clip: UnpackedRecording, needed: int) -> Wave:
        """Return `(needed, 2)` of clips of one speaker and pauses."""
        joined = np.zeros((needed, 2))
        others = self._by_speaker[clip.speaker]
        position = -int(rng.integers(-needed // 6, max(clip.samples - needed // 2, 1)))
        while position < needed:
            audio = self._speech[:, clip.start : clip.start + clip.samples]
            audio = audio[:, max(-position, 0) : needed - position]
            begin = max(position, 0)
            joined[begin : begin + audio.shape[1]] = audio.T / 32_767
            position += clip.samples
            if rng.random() > _JOIN_PROBABILITY:
                break
            position += int(rng.uniform(*_PAUSE_S) * clip.sample_rate)
            next_clip = others[int(rng.integers(len(others)))]
            if next_clip.sample_rate != clip.sample_rate:
                break
            clip = next_clip
        return joined
