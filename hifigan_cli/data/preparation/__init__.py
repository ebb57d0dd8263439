"""Corpus -> prepared folder: the work of `hifigan preprocess`.

Read in this order:

- `options`: what a user may choose
- `run`: the preparation from beginning to end, and its plan for `--dry-run`
- `corpus`: a folder of recordings -> the list of its clips, in sorted order
- `clip`: one file -> samples ready to be stored, or the reason why not
- `pairs`: given mels, and whether they fit their recordings
- `shards`: clips -> packed shards
- `journal`: what is done, and the point that a killed run resumes from
- `index`: journals -> index, manifest and totals
- `splits`: which clips are for validation
- `folder`: the output folder: what may lie in it, and who may write there
- `compare`: whether a finished folder is what the corpus and the options would give
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
