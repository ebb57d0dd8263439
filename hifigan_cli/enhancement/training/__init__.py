"""Training the enhancer: noisy log-mels -> clean ones.

Read `state` (networks, optimizers, the two phases), `step` (one update), `validation` (how far the
result is from clean on sounds that training does not use), `enhancer` (pairs, batches of a step,
and the rest of what `hifigan_cli.training.trainer` needs to know), `estimate` (what a command asks
for and would do).
"""

from hifigan_cli.enhancement.training.enhancer import train_enhancer
from hifigan_cli.enhancement.training.estimate import EnhancerTrainOptions, estimate_enhancer

__all__ = ["EnhancerTrainOptions", "estimate_enhancer", "train_enhancer"]
