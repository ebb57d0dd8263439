"""Synthesize mels of different lengths in one batch, for devices that need large batches.

Padding the mels to one length would change the samples near the end, where the convolutions expect
zeros. So mels are split into pieces of a few fixed lengths that overlap by the context; the last
piece of a mel starts earlier instead of extending past its end. Pieces of the same length form
batches, and each sample comes from a piece that contains all the frames it depends on.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hifigan_cli.config.architecture import context_frames
from hifigan_cli.errors import DeviceError
from hifigan_cli.synthesis.chunks import out_of_memory

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hifigan_cli.config import GeneratorConfig
    from hifigan_cli.engines.base import Engine
    from hifigan_cli.types import FloatArray

BATCH_FRAMES = 16_384  # per call: three minutes of speech, a few gigabytes of GPU memory
_PIECE_LENGTHS = (2048, 1024, 512, 256, 128, 64)


@dataclass(frozen=True)
class MelPiece:
    """Frames `[start, stop)` of a mel; only the samples of `[keep_start, keep_stop)` are used."""

    row: int
    start: int
    stop: int
    keep_start: int
    keep_stop: int


def split_mel(row: int, frames: int, context: int) -> list[MelPiece]:
    """Split a mel into pieces of the largest piece length that fits.

    >>> [(p.start, p.stop, p.keep_start, p.keep_stop) for p in split_mel(0, 150, 13)]
    [(0, 128, 0, 115), (22, 150, 115, 150)]
    """
    length = next((n for n in _PIECE_LENGTHS if 4 * context < n <= frames), frames)
    pieces, done = [], 0
    while done < frames:
        start = min(max(0, done - context), frames - length)
        stop = start + length
        keep_stop = frames if stop == frames else stop - context
        pieces.append(MelPiece(row, start, stop, done, keep_stop))
        done = keep_stop
    return pieces


def synthesize_batch(
    engine: Engine,
    config: GeneratorConfig,
    mels: Sequence[FloatArray],
    batch_frames: int = BATCH_FRAMES,
    on_chunk_halved: Callable[[int], None] | None = None,
) -> list[FloatArray]:
    """Turn log-mels `(n_mels, frames)` of any lengths into samples `(samples,)` each.

    When the device runs out of memory, the batch size is halved.

    Raises:
        DeviceError: not even a single piece fits into memory.
    """
    context, hop = context_frames(config), config.hop_length
    results = [np.empty(mel.shape[1] * hop, np.float32) for mel in mels]
    by_length: defaultdict[int, list[MelPiece]] = defaultdict(list)
    for row, mel in enumerate(mels):
        for piece in split_mel(row, mel.shape[1], context):
            by_length[piece.stop - piece.start].append(piece)
    for length, pieces in by_length.items():
        size = max(1, batch_frames // length)
        while pieces:
            batch = pieces[:size]
            batch_mel = np.stack([mels[p.row][:, p.start : p.stop] for p in batch])
            try:
                waves = engine.synthesize(np.ascontiguousarray(batch_mel))
            except (DeviceError, MemoryError) as error:
                if size == 1:
                    raise out_of_memory(length) from error
                size = max(1, size // 2)
                if on_chunk_halved:
                    on_chunk_halved(size * length)
                continue
            for piece, wave in zip(batch, waves, strict=True):
                offset = piece.start * hop
                start, stop = piece.keep_start * hop, piece.keep_stop * hop
                results[piece.row][start:stop] = wave[start - offset : stop - offset]
            pieces = pieces[size:]
    return results
