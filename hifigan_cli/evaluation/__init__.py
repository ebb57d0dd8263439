"""How good a result is: recordings beside what was made of them.

    report = evaluate("recordings", "results")
    report.summary("mel_l1_full").mean

No metric alone is enough, so that there are many, and bars that take them together. Read in this
order:

- `pairing`: which file belongs to which
- `clips`: two files -> channels at one rate
- `alignment`: one delay a system, from energy envelopes
- `metrics`: the computations, one idea a file
- `measures`: the list of them: names, units, packages
- `run`: `evaluate`: match, align, measure, collect
- `report`: figures of clips, means with intervals
- `bars`: what models of a class reach
- `tables`: CSV and JSON
"""

from hifigan_cli.evaluation.bars import judge
from hifigan_cli.evaluation.report import Report
from hifigan_cli.evaluation.run import evaluate

__all__ = ["Report", "evaluate", "judge"]
