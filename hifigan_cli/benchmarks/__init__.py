"""Measurements of this program on this machine, by what a user would run.

- `training`: the fast training step against the reference step, in one run
- `work`: what a step has to compute, and what the device could at most
- `gradients`: how far the two steps' gradients lie apart
"""

from hifigan_cli.benchmarks.training import TrainingFigures, measure_training

__all__ = ["TrainingFigures", "measure_training"]
