"""Measurements of this program on this machine, by what a user would run.

Synthesis:

- `synthesis`: every engine against the plain forward, in one run: speed, exactness, memory
- `subjects`: the models that it is measured with; `contenders`: the engines, and the yardstick
- `footprint`: memory
- `cold`: whole processes, from the command to the written file
- `machine`: what it was measured on

Training:

- `training`: the fast training step against the reference step, in one run
- `gradients`: how far the two steps' gradients lie apart

For both, `work`: what has to be computed, and what the device could at most.
"""

from hifigan_cli.benchmarks.training import TrainingFigures, measure_training

__all__ = ["TrainingFigures", "measure_training"]
