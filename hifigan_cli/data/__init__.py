"""Corpus -> prepared data -> batches.

A corpus is a folder of recordings as people keep them. `hifigan preprocess` turns it, once, into a
prepared folder: all samples in one packed file, an index, and a manifest with digests. Training
reads nothing else, and what it reads at a step is a function of the seed and the step alone.

Read in this order:

- `records`: what a prepared folder holds: its files, a clip, a rejection, the manifest
- `preparation`: corpus -> prepared folder
- `prepared`: opening a prepared folder: samples and given mels of any clip
- `order`: which clips a step takes and where it cuts them, as pure functions of seed and step
- `batches`: prepared data -> batches, with any number of workers and processes
- `locking`: one writer to a folder
"""

from hifigan_cli.data.batches import Batch, StepBatches, load_batches
from hifigan_cli.data.prepared import PreparedData, open_prepared
from hifigan_cli.data.records import Clip

__all__ = ["Batch", "Clip", "PreparedData", "StepBatches", "load_batches", "open_prepared"]
