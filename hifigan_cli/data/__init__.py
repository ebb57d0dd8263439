"""Corpus -> prepared data -> batches.

A corpus is a folder of recordings. `hifigan preprocess` converts it once into a prepared folder:
packed files with all samples, an index, and a manifest with digests. Training reads only this
folder, and the batch of a step depends only on the seed and the step.

Read in this order:

- `records`: the files of a prepared folder, a clip, a rejection, the manifest
- `preparation`: corpus -> prepared folder
- `prepared`: open a prepared folder; read samples and input mels of any clip
- `sampler`: the clips and crops of a step, as pure functions of seed and step
- `batches`: prepared data -> batches, with any number of workers and processes
- `augmentation`: batches at other speeds and levels
- `gpu_dataset`: the same batches from GPU memory
"""

from typing import TYPE_CHECKING

from hifigan_cli.data.prepared import PreparedData, open_prepared
from hifigan_cli.data.records import Clip
from hifigan_cli.runtime.lazy import lazy_getattr

if TYPE_CHECKING:
    from hifigan_cli.data.batches import Batch, StepBatches, load_batches

__all__ = ["Batch", "Clip", "PreparedData", "StepBatches", "load_batches", "open_prepared"]

__getattr__ = lazy_getattr(
    __name__, {"Batch": "batches", "StepBatches": "batches", "load_batches": "batches"}
)
