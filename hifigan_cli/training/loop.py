"""The training loop: batch, step, and now and then a report, a validation, a checkpoint.

A batch is a function of seed and step, the learning rate of the step, and all else is in the
checkpoint. So the loop can be entered at any step, and goes on as if it had never been left.
"""

from __future__ import annotations

import signal
from contextlib import ExitStack, nullcontext
from typing import TYPE_CHECKING

from hifigan_cli.data.augmentation import batches_of
from hifigan_cli.data.batches import load_batches
from hifigan_cli.data.gpu_dataset import GpuBatches, fits
from hifigan_cli.data.prepared import open_prepared
from hifigan_cli.errors import InterruptedRunError
from hifigan_cli.models.generator import count_parameters
from hifigan_cli.runtime.devices import device_title
from hifigan_cli.runtime.distributed import process_group
from hifigan_cli.runtime.signals import stop_signals
from hifigan_cli.training.bookkeeping import Books
from hifigan_cli.training.events import Noted, Started
from hifigan_cli.training.records.folder import RunFolder, held, set_aside
from hifigan_cli.training.records.saver import Saver
from hifigan_cli.training.runtime.compiling import compile_networks
from hifigan_cli.training.runtime.cuda_graphs import GraphedStep, usable
from hifigan_cli.training.runtime.guard import Guard
from hifigan_cli.training.runtime.meter import Meter
from hifigan_cli.training.schedule import decay_period, learning_rate, set_learning_rate
from hifigan_cli.training.start import begin, initial, open_sinks
from hifigan_cli.training.step import Mels, train_step
from hifigan_cli.training.validation import Utterances

if TYPE_CHECKING:
    from collections.abc import Callable

    from hifigan_cli.data.batches import Batch, StepBatches
    from hifigan_cli.runtime.distributed import DistributedContext
    from hifigan_cli.runtime.signals import Stop
    from hifigan_cli.training.events import Event, Finished, Report
    from hifigan_cli.training.plan import Plan
    from hifigan_cli.training.state import TrainState
    from hifigan_cli.training.step import Losses

_AGREE_EVERY = 10  # steps between the moments at which several processes compare their signals


def train(plan: Plan, report: Report) -> Finished:
    """Start the plan's run, or continue it, up to its last step.

    Raises:
        UsageError, InputError: the data do not fit the configuration, or changed since the start.
        OutputError: the run's folder is in use or cannot be written.
        ModelError: a checkpoint or `init` is damaged or of another configuration.
        DivergedError: the losses or gradients are not finite; the checkpoints are intact.
        InterruptedRunError: a signal came; the step was finished and saved.
    """
    with ExitStack() as stack:
        stop = stack.enter_context(stop_signals())
        ranks = stack.enter_context(process_group(plan.device))
        report = report if ranks.main else _silent
        data = open_prepared(plan.prepared)
        batches = batches_of(data, plan.config, ranks.rank, ranks.world)  # checks that they fit
        data.verify(ranks.part)  # between them the processes read it all
        source = initial(plan)  # refused before anything is made or set aside
        run = _open_run(plan, ranks, report, stack)
        state = begin(plan, run, data, source, ranks, report)
        del source  # as large as the networks
        done = state.step >= plan.config.train.steps
        recording = ranks.main and not done
        sinks = open_sinks(plan, run, state.step, report, stack) if recording else []
        books = Books(
            run=run,
            ranks=ranks,
            report=report,
            sinks=sinks,
            saver=Saver(run, data.digest, report),
            guard=Guard(ranks.device),
            meter=Meter(),
            utterances=Utterances(data, plan.config),
            mels=Mels.on(plan.config, ranks.device),
        )
        if not done:
            with books.meter.paused():  # what is done once is not the speed of a step
                if fits(data, ranks.device) and not plan.config.train.varied:
                    batches = GpuBatches(data, plan.config, ranks.rank, ranks.world, ranks.device)
                _compile(state, batches, books)
            _loop(state, batches, books, stop)
        return books.finish(state, already=done)


def _loop(state: TrainState, batches: StepBatches, books: Books, stop: Stop) -> None:
    train, ranks = state.config.train, books.ranks
    period = decay_period(train, batches.batches_per_epoch)
    step_of = _choose_step(state, books)
    books.report(_started(state, batches, books))

    if state.step == 0:
        books.validate(state, stop.requested)  # where the error starts from
        if number := ranks.any(stop.signal_number):
            raise _interrupted(number, 0)

    for batch in load_batches(batches, state.step, train.steps, train.workers):
        rate = learning_rate(train, period, state.step)
        set_learning_rate(state.optimizer_g, rate)
        set_learning_rate(state.optimizer_d, rate)
        books.meter.add(step_of(batch))

        step, last = state.step, state.step == train.steps
        validating = step % train.validate_every == 0 or last
        if step % train.log_every == 0 or step == 1 or last:
            books.log(state, rate)
        if validating:
            books.validate(state, stop.requested)
        agreeing = ranks.world == 1 or validating or step % _AGREE_EVERY == 0
        number = ranks.any(stop.signal_number) if agreeing else 0
        if step % train.checkpoint_every == 0 or last or number:
            books.save(state, must=last or bool(number))
        if number:
            raise _interrupted(number, step)


def _compile(state: TrainState, batches: StepBatches, books: Books) -> None:
    if state.config.train.compile:
        compile_networks(state, batches[state.step], books.mels, books.warn)


def _choose_step(state: TrainState, books: Books) -> Callable[[Batch], Losses]:
    if usable(state):
        return GraphedStep(state, books.mels, books.guard, books.warn)
    return lambda batch: train_step(state, batch, books.mels, books.guard)


def _open_run(plan: Plan, ranks: DistributedContext, report: Report, stack: ExitStack) -> RunFolder:
    """Take the run's folder for the main process; the others read there and never write."""
    if ranks.main and plan.fresh and (moved := set_aside(plan.out)):
        report(Noted(f"the run that stood there is now {moved}"))
    hold = held(plan.out) if ranks.main else nullcontext(RunFolder(plan.out))
    return stack.enter_context(hold)


def _started(state: TrainState, batches: StepBatches, books: Books) -> Started:
    return Started(
        run=books.run.path,
        step=state.step,
        steps=state.config.train.steps,
        device=device_title(state.device),
        precision=state.config.train.precision,
        processes=books.ranks.world,
        training_clips=len(batches.data.training),
        validation_clips=len(books.utterances),
        batches_per_epoch=batches.batches_per_epoch,
        generator_parameters=count_parameters(state.generator),
    )


def _interrupted(number: int, step: int) -> InterruptedRunError:
    saved = f"after step {step}, which is saved" if step else "before the first step"
    name = signal.Signals(number).name
    return InterruptedRunError(f"stopped by {name} {saved}", number, "the same command continues")


def _silent(_event: Event) -> None:
    """Report nothing: only the main process speaks."""
