"""Where a run begins: at random weights, at another training's networks, or where it stopped."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import torch

from hifigan_cli.config.resolve import to_toml
from hifigan_cli.errors import UsageError
from hifigan_cli.io.files import write_bytes
from hifigan_cli.runtime.devices import emulates_bfloat16
from hifigan_cli.training.events import Noted
from hifigan_cli.training.records.checkpoint import check_same_run, read_checkpoint, restore
from hifigan_cli.training.records.folder import RunFolder, newest_checkpoint, set_aside_damaged
from hifigan_cli.training.records.heard import HeardClips
from hifigan_cli.training.records.metrics import Metrics
from hifigan_cli.training.records.tensorboard import INSTALL, TensorBoard
from hifigan_cli.training.records.wandb import WandB
from hifigan_cli.training.records.warmstart import read_source, warm_start
from hifigan_cli.training.state import TrainState

if TYPE_CHECKING:
    from contextlib import ExitStack

    from hifigan_cli.data.prepared import PreparedData
    from hifigan_cli.models.model_file import ModelFile
    from hifigan_cli.runtime.distributed import DistributedContext
    from hifigan_cli.training.events import Report
    from hifigan_cli.training.plan import Plan
    from hifigan_cli.training.records.checkpoint import Checkpoint
    from hifigan_cli.training.records.metrics import Sink


def initial(plan: Plan) -> Checkpoint | ModelFile | None:
    """Read what `--init` names, before any folder is made; None where the run only goes on.

    Raises:
        ModelError: nothing there to start from, damaged, or of another architecture.
    """
    if plan.init is None or (RunFolder(plan.out).saved() and not plan.fresh):
        return None
    return read_source(plan.init, plan.config)


def begin(
    plan: Plan,
    run: RunFolder,
    data: PreparedData,
    source: Checkpoint | ModelFile | None,
    ranks: DistributedContext,
    report: Report,
) -> TrainState:
    """Build the state that the next step starts from, the same in every process.

    Raises:
        ModelError: no checkpoint is whole, or it is of another configuration.
        InputError: the data are not those that the run began with.
    """
    choose_algorithms(deterministic=plan.config.train.deterministic)
    if plan.config.train.precision == "bf16" and emulates_bfloat16(ranks.device):
        report(Noted("this GPU has no bfloat16: fp32 (leave --bf16 out) is faster", warning=True))
    checkpoint = _agreed_checkpoint(run, ranks, report)
    if checkpoint is not None:
        check_same_run(checkpoint, plan.config, data.digest)
    state = TrainState(plan.config, ranks.device)
    if checkpoint is not None:
        restore(state, checkpoint)
    elif source is not None:
        whole = warm_start(state, source)
        missing = "" if whole else "; it has no discriminators, so these start anew"
        report(Noted(f"starting from the networks of {plan.init}{missing}"))
    if ranks.main:
        set_aside_damaged(run, checkpoint)
        run.sweep()
        write_bytes(run.config, to_toml(plan.config).encode())
    if ranks.world > 1:
        state.distribute()
    return state


def roll_back(
    state: TrainState, run: RunFolder, ranks: DistributedContext, report: Report
) -> int | None:
    """Give a state the weights and moments of the newest checkpoint; return its step.

    The state's own step and best validation stay. Without a checkpoint nothing changes, and the
    answer is None.

    Raises:
        ModelError: no checkpoint is whole.
    """
    checkpoint = _agreed_checkpoint(run, ranks, report)
    if checkpoint is None:
        return None
    step, best = state.step, state.best
    restore(state, checkpoint)
    state.step, state.best = step, best
    return checkpoint.step


def _agreed_checkpoint(
    run: RunFolder, ranks: DistributedContext, report: Report
) -> Checkpoint | None:
    """Let the main process choose, so that all go on from the same one."""

    def skipped(message: str) -> None:
        report(Noted(f"{message}; going back to the one before it", warning=True))

    chosen = newest_checkpoint(run, skipped) if ranks.main else None
    path = ranks.from_main(chosen.path if chosen else None)
    if path is None or ranks.main:
        return chosen
    return read_checkpoint(path)


def open_sinks(
    plan: Plan, run: RunFolder, step: int, report: Report, stack: ExitStack
) -> list[Sink]:
    """Open every place that figures beyond `step` go to; `stack` closes them.

    Raises:
        UsageError: one that was asked for is not installed.
    """
    sinks: list[Sink] = []

    def add(sink: Sink) -> None:
        stack.callback(sink.close)
        sinks.append(sink)

    add(Metrics(run.metrics, step, report))
    add(HeardClips(run.heard, plan.config.mel.rate_hz, report))
    if plan.wandb is not None:
        add(WandB(run.path, plan.wandb, plan.config))
    if plan.tensorboard is False:
        return sinks
    try:
        add(TensorBoard(run.path / "tensorboard", plan.config.mel.rate_hz, step))
    except UsageError:
        if plan.tensorboard:
            raise
        report(Noted(f"TensorBoard is not installed ({INSTALL}); metrics go to {run.metrics}"))
    return sinks


def choose_algorithms(*, deterministic: bool) -> None:
    """Let cuDNN choose any algorithms, or only those that give the same bits each time.

    It chooses by its heuristics. A search by trial took 32 s for a step of V1 on an H100, which was
    then 12 % faster; for synthesis it found nothing faster. torch warns where it has no
    deterministic algorithm. The CPU's are deterministic as they are.
    """
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = deterministic
    torch.use_deterministic_algorithms(mode=deterministic, warn_only=True)
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when cuBLAS starts
