"""Training the enhancer: noisy log-mels -> clean ones.

Read `state` (networks, optimisers, the two phases), `batches` (pairs of a step, by seed and step),
`step` (one update), `checkpoint` (the state on disk), `validation` (how far the result is from
clean on sounds that training does not hear), `run` (the loop), `bookkeeping` (what is done between
steps).
"""

from hifigan_cli.enhancement.training.run import EnhancerPlan, train_enhancer

__all__ = ["EnhancerPlan", "train_enhancer"]
