"""Training: prepared data -> a run folder with the trained model. A run can stop and resume.

Read in this order:

- `reference`: the paper's step, written plainly: discriminators, then generator, on one batch
- `step`: the same mathematics with less work; training runs this one
- `state`: everything that a step changes: networks, optimizers, EMA, step counter
- `trainer`: the loop for every network: step, log, validate, save
- `vocoder`: the trainer's task for a vocoder; `validation`: mel_l1_full on clips
- `start`: start a new run, resume one, or load another run's weights (`warm_start`)
- `estimate`: the options of a training command, and its dry run
- `run_folder`, `checkpoint`, `validation_audio`: the files of a run
- `events`: the events that a run reports; `loggers`: where its metrics go
- `progress`: compares the error with the official training and forecasts it
- `health_checks`: detects common training failures in the metrics
- `optimizers`, `nonfinite_guard`, `meter`: learning rate, non-finite gradients, losses and speed
- `compiling`, `cuda_graphs`: fewer kernel launches
"""

from hifigan_cli.training.estimate import TrainingEstimate, TrainOptions, estimate
from hifigan_cli.training.vocoder import train

__all__ = ["TrainOptions", "TrainingEstimate", "estimate", "train"]
