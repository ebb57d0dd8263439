"""Training: prepared data in, a model file out; stopped and continued at will.

Read in this order:

- `reference`: the paper's step, plainly: discriminators, then generator, on the same batch
- `step`: the same mathematics with less work, which training runs
- `state`: all that a step changes: networks, optimizers, moving average, step
- `trainer`: the loop, for every network: step, figures, validation, checkpoint
- `vocoder`: what the trainer needs to know of a vocoder; `validation`: mel_l1_full on clips
- `start`: where a run begins: new, resumed, or from another training (`warm_start`)
- `estimate`: what a command asks for and would do
- `run_folder`, `checkpoint`, `validation_audio`: what a run leaves on disk
- `events`: what a run reports while it works; `loggers`: where its figures go
- `progress`: where the error stands, and when it reaches its bar
- `health_checks`: signs of trouble in the figures
- `optimizers`, `nonfinite_guard`, `meter`: learning rate, bad gradients, losses and speed
- `compiling`, `cuda_graphs`: fewer and larger kernels
"""

from hifigan_cli.training.estimate import TrainingEstimate, TrainOptions, estimate
from hifigan_cli.training.vocoder import train

__all__ = ["TrainOptions", "TrainingEstimate", "estimate", "train"]
