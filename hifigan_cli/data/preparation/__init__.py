"""Corpus -> prepared folder: the work of `hifigan preprocess`.

Read in this order:

- `options`: the options of a preparation
- `run`: the complete preparation, and its plan for `--dry-run`
- `corpus`: a folder of recordings -> the list of its clips, in sorted order
- `clip`: one file -> samples to store, or the reason for its rejection
- `pairs`: check that input mels match their recordings
- `packing`: clips -> packed files
- `journal`: the progress of a run, and the point where a killed run resumes
- `index`: journals -> index, manifest and totals
- `splits`: select the validation clips
- `folder`: the output folder: its files, and exclusive access to it
- `compare`: check whether a finished folder matches the corpus and the options
"""

from hifigan_cli.data.preparation.options import PreparationOptions, PreparationProgress
from hifigan_cli.data.preparation.run import (
    PreparationPlan,
    PreparationSummary,
    plan,
    preprocess,
)
from hifigan_cli.data.preparation.splits import parse_validation

__all__ = [
    "PreparationOptions",
    "PreparationPlan",
    "PreparationProgress",
    "PreparationSummary",
    "parse_validation",
    "plan",
    "preprocess",
]
