"""Where a run's figures and sounds go: metrics.jsonl, audio files, TensorBoard, Weights & Biases.

metrics.jsonl has one object a line: `{"event": "train", "step": 10, "mel": 1.2, ...}` and
`{"event": "validation", "step": 1000, "mel_l1_full": 0.5, ...}`; a warning is
`{"event": "warning", "step": 1000, "kind": "learning_rate", "message": ...}`.

After a resume from step n, lines beyond n are dropped first, since those steps are done again.
Without a checkpoint all lines are, the validation before the first step among them.
"""

from __future__ import annotations

import json
import secrets
from contextlib import closing
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from hifigan_cli.audio.pictures import mel_picture
from hifigan_cli.errors import InputError, OutputError, UsageError
from hifigan_cli.io.files import is_file, write_bytes
from hifigan_cli.training.events import Noted
from hifigan_cli.training.validation_audio import write_validation_audio

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from contextlib import ExitStack
    from pathlib import Path

    from hifigan_cli.config import Config
    from hifigan_cli.training.estimate import TrainOptions
    from hifigan_cli.training.events import EventCallback, Warned
    from hifigan_cli.training.run_folder import RunFolder
    from hifigan_cli.training.validation_audio import ValidationClip

INSTALL = "pip install 'hifigan-cli[{0}]'"
_WANDB_ID = "wandb.id"  # kept in the run's folder, so that a resumed run continues its curves


class Logger:
    """A place for a run's figures; each one takes what it has room for."""

    def figures(self, event: str, step: int, values: Mapping[str, float]) -> None:
        """Take the named numbers of an event: `train` or `validation`."""

    def warning(self, warned: Warned) -> None:
        """Take a warning of the health checks."""

    def clips(self, step: int, clips: Sequence[ValidationClip]) -> None:
        """Take validation clips as recorded and as generated."""

    def close(self) -> None:
        """Write out what is pending."""


class MetricsLogger(Logger):
    """Appends figures to metrics.jsonl. A full disk is reported and does not end the run."""

    def __init__(self, path: Path, resumed_step: int, report: EventCallback) -> None:
        if path.exists():
            lines = path.read_bytes().splitlines(keepends=True) if resumed_step else []
            known = (line for line, entry in _intact(lines) if entry["step"] <= resumed_step)
            write_bytes(path, b"".join(known))
        self._path = path
        self._report = report
        self._stream = path.open("a", encoding="utf-8")

    def figures(self, event: str, step: int, values: Mapping[str, float]) -> None:
        """Append one line."""
        self._append({"event": event, "step": step, **values})

    def warning(self, warned: Warned) -> None:
        """Append one line."""
        self._append({"event": "warning", **asdict(warned)})

    def _append(self, entry: dict[str, Any]) -> None:
        try:
            self._stream.write(json.dumps(entry) + "\n")
            self._stream.flush()
        except OSError as error:
            message = f"cannot write {self._path}: {error.strerror}; training goes on"
            self._report(Noted(message, warning=True))

    def close(self) -> None:
        """Close the file."""
        self._stream.close()


class AudioLogger(Logger):
    """Keeps the sounds of the newest validation in a run's folder."""

    def __init__(self, folder: Path, sample_rate: int, report: EventCallback) -> None:
        self._folder, self._sample_rate, self._report = folder, sample_rate, report

    def clips(self, step: int, clips: Sequence[ValidationClip]) -> None:
        """Write each clip; a full disk is reported and does not end the run."""
        try:
            if clips:
                write_validation_audio(self._folder, step, clips, self._sample_rate)
        except (InputError, OutputError) as error:
            self._report(Noted(f"{error.message}; training goes on", warning=True))


class TensorBoardLogger(Logger):
    """Writes event files; recordings go in once, what is generated at each validation.

    Raises:
        UsageError: the package is not installed.
    """

    def __init__(self, folder: Path, sample_rate: int, resumed_step: int) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            hint = INSTALL.format("tensorboard")
            raise UsageError("tensorboard is not installed", hint) from error
        # Events beyond the resumed step come again; TensorBoard drops the old ones.
        self._writer = SummaryWriter(str(folder), purge_step=resumed_step + 1)
        self._sample_rate = sample_rate
        self._recordings: set[str] = set()

    def figures(self, event: str, step: int, values: Mapping[str, float]) -> None:
        """Add a point to each curve."""
        for name, value in values.items():
            self._writer.add_scalar(f"{event}/{name}", value, step)

    def warning(self, warned: Warned) -> None:
        """Add a text."""
        self._writer.add_text("warnings", f"{warned.message}: {warned.hint}", warned.step)

    def clips(self, step: int, clips: Sequence[ValidationClip]) -> None:
        """Add each clip's sound, and a picture: the recording's mel above the generated one's."""
        for clip in clips:
            self._writer.add_audio(
                f"{clip.name}/generated", clip.generated, step, self._sample_rate
            )
            if clip.name not in self._recordings:
                self._recordings.add(clip.name)
                tag = f"{clip.name}/recording"
                self._writer.add_audio(tag, clip.recording, step, self._sample_rate)
            picture = mel_picture([clip.recording_mel.numpy(), clip.generated_mel.numpy()])
            self._writer.add_image(f"{clip.name}/mel", picture, step, dataformats="HWC")
        self._writer.flush()

    def close(self) -> None:
        """Write out what is pending."""
        self._writer.close()


class WandbLogger(Logger):
    """Logs to one W&B run, resumed with ours; WANDB_MODE=offline keeps it on this machine.

    Raises:
        UsageError: the package is not installed.
    """

    def __init__(self, folder: Path, project: str, config: Config) -> None:
        try:
            import wandb
        except ImportError as error:
            raise UsageError("wandb is not installed", INSTALL.format("wandb")) from error
        place = folder / _WANDB_ID
        if not place.exists():
            write_bytes(place, secrets.token_hex(4).encode())
        self._wandb = wandb
        self._sample_rate = config.mel.sample_rate
        self._run = wandb.init(
            project=project,
            name=folder.name,
            id=place.read_text().strip(),
            resume="allow",
            dir=str(folder),
            config=config.model_dump(mode="json"),
            settings=wandb.Settings(console="off"),  # the output is this program's
        )

    def figures(self, event: str, step: int, values: Mapping[str, float]) -> None:
        """Add a point to each curve."""
        self._run.log({f"{event}/{name}": value for name, value in values.items()}, step=step)

    def warning(self, warned: Warned) -> None:
        """Raise an alert."""
        self._run.alert(title=warned.kind, text=f"{warned.message}: {warned.hint}")

    def clips(self, step: int, clips: Sequence[ValidationClip]) -> None:
        """Add each clip's sounds and the picture of its mels."""
        media: dict[str, Any] = {}
        for clip in clips:
            for name, samples in (("generated", clip.generated), ("recording", clip.recording)):
                sound = self._wandb.Audio(samples.numpy(), sample_rate=self._sample_rate)
                media[f"{clip.name}/{name}"] = sound
            picture = mel_picture([clip.recording_mel.numpy(), clip.generated_mel.numpy()])
            media[f"{clip.name}/mel"] = self._wandb.Image(picture)
        self._run.log(media, step=step)

    def close(self) -> None:
        """Write out what is pending."""
        self._run.finish()


def open_loggers(
    options: TrainOptions, run: RunFolder, step: int, report: EventCallback, stack: ExitStack
) -> tuple[list[Logger], Iterator[dict[str, Any]]]:
    """Open every place that a vocoder's figures beyond `step` go to; `stack` closes them.

    Returns:
        The loggers; and what metrics.jsonl has up to `step`, to be read before anything is written.

    Raises:
        UsageError: one that was asked for is not installed.
    """
    loggers: list[Logger] = []

    def add(logger: Logger) -> None:
        loggers.append(stack.enter_context(closing(logger)))

    add(MetricsLogger(run.metrics, step, report))
    add(AudioLogger(run.validation_audio, options.config.mel.sample_rate, report))
    if options.wandb is not None:
        add(WandbLogger(run.path, options.wandb, options.config))
    if options.tensorboard is not False:
        try:
            add(TensorBoardLogger(run.tensorboard, options.config.mel.sample_rate, step))
        except UsageError as error:
            if options.tensorboard:
                raise
            report(Noted(f"{error.message} ({error.hint}); metrics go to {run.metrics}"))
    return loggers, read_entries(run.metrics)


def read_entries(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the object of each intact line of metrics.jsonl; nothing where there is no file."""
    if is_file(path):
        with path.open("rb") as stream:
            yield from (entry for _, entry in _intact(stream))


def _intact(lines: Iterable[bytes]) -> Iterator[tuple[bytes, dict[str, Any]]]:
    """Leave out what a kill cut in the middle."""
    for line in lines:
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if line.endswith(b"\n") and isinstance(entry, dict):
            yield line, entry
