"""Several mels of different lengths in one call of the engine, for devices that want large batches.

Padding to one length would change the samples near the end, where the convolutions would see more
than zeros. So mels are cut into pieces of a few fixed lengths that overlap by the context; the last
piece of a mel reaches back instead of beyond its end. Pieces of one length, whosever they are, make
batches, and each sample is taken from a piece that has all it depends on.
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

BATCH_FRAMES = 16_384  # in one call: three minutes, some gigabytes of a GPU's memory
_LENGTHS = (2048, 1024, 512, 256, 128, 64)


@dataclass(frozen=True)
class MelPiece:
    """Frames `[start, stop)` of one mel, of whose samples those of `[first, last)` are kept."""

    row: int
    start: int
    stop: int
    first: int
    last: int


def cut(row: int, frames: int, context: int) -> list[MelPiece]:
    """Cut a mel into pieces of the longest length that it has.

    >>> [(p.start, p.stop, p.first, p.last) for p in cut(0, 150, 13)]
    [(0, 128, 0, 115), (22, 150, 115, 150)]
    """
    length = next((each for each in _LENGTHS if 4 * context < each <= frames), frames)
    pieces, done = [], 0
    while done < frames:
        start = min(max(0, done - context), frames - length)
        stop = start + length
        last = frames if stop == frames else stop - context
        pieces.append(MelPiece(row, start, stop, done, last))
        done = last
    return pieces


def synthesize_together(
    engine: Engine,
    config: GeneratorConfig,
    mels: Sequence[FloatArray],
    batch_frames: int = BATCH_FRAMES,
    on_halved: Callable[[int], None] | None = None,
) -> list[FloatArray]:
    """Turn log-mels `(mels, frames)` of any lengths into samples `(samples,)` each.

    When the device runs out of memory, batches are halved.

    Raises:
        DeviceError: not even a single piece fits.
    """
    context, hop = context_frames(config), config.hop_length
    results = [np.empty(mel.shape[1] * hop, np.float32) for mel in mels]
    by_length: defaultdict[int, list[MelPiece]] = defaultdict(list)
    for row, mel in enumerate(mels):
        for piece in cut(row, mel.shape[1], context):
            by_length[piece.stop - piece.start].append(piece)
    for length, pieces in by_length.items():
        size = max(1, batch_frames // length)
        while pieces:
            batch = pieces[:size]
            given = np.stack([mels[p.row][:, p.start : p.stop] for p in batch])
            try:
                waves = engine.synthesize(np.ascontiguousarray(given))
            except (DeviceError, MemoryError) as error:
                if size == 1:
                    raise out_of_memory(length) from error
                size = max(1, size // 2)
                if on_halved:
                    on_halved(size * length)
                continue
            for piece, wave in zip(batch, waves, strict=True):
                kept = wave[(piece.first - piece.start) * hop : (piece.last - piece.start) * hop]
                results[piece.row][piece.first * hop : piece.last * hop] = kept
            pieces = pieces[size:]
    return results
