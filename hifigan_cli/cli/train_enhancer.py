"""`hifigan train-enhancer`: prepared speech, noises and rooms -> an enhancer for `resynth`."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hifigan_cli.cli import options
from hifigan_cli.cli.console import Console

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hifigan_cli.enhancement.training import EnhancerPlan

_BAD_STEPS = {
    "left_out": "updates left out by step {step:,}: {updates:.0f}, whose gradient was not finite",
    "rolled_back": "no finite gradient for long: going back to the weights of step {to:,.0f}",
}


def train_enhancer(
    noises: Annotated[Path, typer.Option("--noises", help="A folder of noise recordings.")],
    rooms: Annotated[Path, typer.Option("--rooms", help="A folder of room responses.")],
    prepared: Annotated[
        Path, typer.Argument(help="Clean speech: the folder that `hifigan preprocess` made.")
    ] = Path("prepared"),
    config: options.ConfigFile = None,
    sets: options.Sets = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="The run's folder.")] = Path(
        "runs/enhancer"
    ),
    steps: Annotated[
        int | None, typer.Option("--steps", min=1, help="Steps in total, over all resumes.")
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", min=0, help="Of weights and data.")] = None,
    device: options.Device = "auto",
    gpu: options.Gpu = None,
    workers: Annotated[
        int, typer.Option("--workers", min=0, help="Processes that render pairs; 0: one a core.")
    ] = 0,
    fresh: Annotated[
        bool, typer.Option("--fresh", "--force", "-f", help="Start anew where a run stands.")
    ] = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    dry_run: options.DryRun = False,
) -> None:
    """Train the network that cleans mels in front of the vocoder.

    Pairs of clean and damaged speech are rendered once, with every eighth noise and room kept for
    validation; then it trains. The same command continues. RUN/enhancer.safetensors is what
    `hifigan resynth --enhancer` takes.
    """
    from hifigan_cli.config import MelConfig
    from hifigan_cli.config.resolve import resolve_sections
    from hifigan_cli.enhancement.augmentation.pairs_file import Sources
    from hifigan_cli.enhancement.config import EnhancerRun
    from hifigan_cli.enhancement.training import EnhancerPlan
    from hifigan_cli.runtime.devices import resolve_device
    from hifigan_cli.runtime.threads import processors

    console = Console(json=json, quiet=quiet)
    run = resolve_sections(
        EnhancerRun, config, sets or (), {"training.steps": steps, "training.seed": seed}
    )
    plan = EnhancerPlan(
        sources=Sources(prepared, noises, rooms, MelConfig(), run),
        out=out,
        device=resolve_device(options.device_name(device, gpu)),
        workers=workers or processors(),
        fresh=fresh,
    )
    _dry_run(plan, console) if dry_run else _train(plan, console)


class _View:
    """Shows what a run tells: a bar while pairs are rendered, then a line now and then, or JSON."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar = ExitStack()
        self._pairs = 0  # that the bar at hand is of
        self._rendered: Callable[[int, str], None]

    def __enter__(self) -> _View:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def __call__(self, event: str, step: int, figures: Mapping[str, float]) -> None:
        """Show one event."""
        console = self._console
        if event == "rendering":
            self._rendering(step, int(figures["of"]))
            return
        self._bar.close()
        if console.json:
            console.emit(event, step=step, **figures)
        elif event in _BAD_STEPS:
            console.warn(_BAD_STEPS[event].format(step=step, **figures))
        elif event in ("started", "train", "validation"):
            values = "  ".join(f"{name} {value:.4g}" for name, value in figures.items())
            console.note(f"{event} {step:,}  {values}")

    def _rendering(self, done: int, pairs: int) -> None:
        if pairs != self._pairs:  # those for training, then those for validation
            self._bar.close()
            progress = self._console.progress("rendering pairs", pairs)
            self._rendered, self._pairs = self._bar.enter_context(progress), pairs
        self._rendered(done, "")


def _train(plan: EnhancerPlan, console: Console) -> None:
    import time

    from hifigan_cli.enhancement.training import train_enhancer as run

    started = time.monotonic()
    with _View(console) as report:
        path = run(plan, report)
    console.result(
        "finished",
        f"{path}: trained in {time.monotonic() - started:.0f} s; "
        f"`hifigan resynth IN -o OUT --enhancer {path}` uses it; "
        f"{plan.out / 'pairs'} may be removed",
        model=str(path),
        elapsed_s=time.monotonic() - started,
    )


def _dry_run(plan: EnhancerPlan, console: Console) -> None:
    from hifigan_cli.enhancement.augmentation.sounds import sound_files
    from hifigan_cli.enhancement.network import Enhancer
    from hifigan_cli.models.generator import count_parameters

    sources = plan.sources
    training = sources.run.training
    speech = sources.open_speech()
    noises, rooms = len(sound_files(sources.noises)), len(sound_files(sources.rirs))
    shape = (training.pairs, 2, training.pair_frames, sources.mel.n_mels)
    size = 2 * shape[0] * shape[1] * shape[2] * shape[3]
    parameters = count_parameters(Enhancer(sources.run.enhancer, sources.mel.n_mels))
    console.data(
        "plan",
        f"{plan.out}: {training.steps:,} steps on {plan.device}, "
        f"the last {training.adversarial_steps:,} against a judge; {parameters:,} parameters\n"
        f"{len(speech.training)} clips, {noises} noises, {rooms} rooms; "
        f"{training.pairs:,} pairs to render, {size / 1e9:.1f} GB",
        run=str(plan.out),
        steps=training.steps,
        device=str(plan.device),
        parameters=parameters,
        clips=len(speech.training),
        noises=noises,
        rooms=rooms,
        pairs=training.pairs,
        pair_bytes=size,
    )
