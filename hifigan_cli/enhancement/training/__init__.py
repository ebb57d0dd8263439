"""Training the enhancer: noisy log-mels -> clean ones.

Read `state` (networks, optimizers, the two phases), `step` (one update), `validation` (how far the
result is from clean on sounds that training does not use), `enhancer` (pairs, batches of a step,
and the rest of what `hifigan_cli.training.trainer` needs to know).
"""

from hifigan_cli.enhancement.training.enhancer import EnhancerTrainOptions, train_enhancer

__all__ = ["EnhancerTrainOptions", "train_enhancer"]
