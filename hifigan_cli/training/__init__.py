"""Training: prepared data in, a model file out; stopped and continued at will.

Read in this order:

- `reference`: the paper's step, plainly: discriminators, then generator, on the same batch
- `step`: the same mathematics with less work, which training runs
- `state`: all that a step changes: networks, optimisers, average, step
- `loop`: batches to steps; between them figures, validation and checkpoints (`bookkeeping`)
- `schedule`: the learning rate, a function of the step
- `validation`: mel_l1_full on whole clips
- `progress`: where that error stands, when it reaches its bar, and signs of trouble
- `start`, `plan`: what a command asks for, and where its run begins
- `records`: what a run leaves on disk: checkpoints, models, metrics, TensorBoard
- `runtime`: several processes, Ctrl-C, bad numbers, speed
- `events`: what a run says while it works
"""

from hifigan_cli.training.loop import train
from hifigan_cli.training.plan import Plan, TrainingEstimate, outlook

__all__ = ["Plan", "TrainingEstimate", "outlook", "train"]
