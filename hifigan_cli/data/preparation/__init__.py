"""Corpus -> prepared folder: what `hifigan preprocess` does.

Read in this order:

- `options`: what a user may choose
- `corpus`: a folder of recordings -> the list of its clips, in sorted order
- `levels`: what makes a recording unfit, and how it becomes 16 bits
- `pairs`: given mels, and whether they fit their recordings
- `clip`: one file -> samples ready to be stored, or the reason why not
- `packing`: shards and their journal, from which a killed run continues
- `splits`: training and validation
- `finish`: journals -> index, manifest and totals
- `compare`: whether a finished folder is what the corpus and the options would give
- `folder`: the output folder: what may lie in it, and who may write there
- `run`: all of the above, one after another; alone, or as one of several parts
- `plan`: what a run would do, for `--dry-run`
"""

from hifigan_cli.data.preparation.options import Options
from hifigan_cli.data.preparation.plan import Plan, plan
from hifigan_cli.data.preparation.run import Progress, Summary, preprocess

__all__ = ["Options", "Plan", "Progress", "Summary", "plan", "preprocess"]
