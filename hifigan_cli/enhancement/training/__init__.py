"""Train the enhancer, which maps noisy log-mels to clean ones.

Read in this order:

- `state`: networks, optimizers, the two phases
- `step`: one update
- `validation`: distance to the clean mels on held-out sounds
- `enhancer`: pairs, batches, and the task that `hifigan_cli.training.trainer` runs
- `estimate`: the options of a run, and the estimate for `--dry-run`
"""

from hifigan_cli.enhancement.training.enhancer import train_enhancer
from hifigan_cli.enhancement.training.estimate import EnhancerTrainOptions, estimate_enhancer

__all__ = ["EnhancerTrainOptions", "estimate_enhancer", "train_enhancer"]
