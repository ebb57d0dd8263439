"""Corpus -> prepared data -> batches.

A corpus is a folder of recordings as people keep them. `hifigan preprocess` turns it, once, into a
prepared folder: all samples in a few large files, the shards, with an index and a manifest with
digests. Training reads nothing else, and what it reads at a step depends only on the seed and the
step.

Read in this order:

- `records`: what a prepared folder holds: its files, a clip, a rejection, the manifest
- `preparation`: corpus -> prepared folder
- `prepared`: opening a prepared folder: samples and given mels of any clip
- `sampler`: which clips a step takes and where it cuts them, as pure functions of seed and step
- `batches`: prepared data -> batches, with any number of workers and processes
- `augmentation`: the same batches at other rates and levels
- `gpu_dataset`: the same batches out of a GPU's memory
"""

from typing import TYPE_CHECKING

from hifigan_cli.data.prepared import PreparedData, open_prepared
from hifigan_cli.data.records import Clip
from hifigan_cli.runtime.lazy import lazily

if TYPE_CHECKING:
    from hifigan_cli.data.batches import Batch, StepBatches, load_batches

__all__ = ["Batch", "Clip", "PreparedData", "StepBatches", "load_batches", "open_prepared"]

__getattr__ = lazily(
    __name__, {"Batch": "batches", "StepBatches": "batches", "load_batches": "batches"}
)
