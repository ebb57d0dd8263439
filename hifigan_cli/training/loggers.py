"""Write metrics and audio to metrics.jsonl, audio files, TensorBoard and Weights & Biases.

metrics.jsonl has one object per line: `{"event": "train", "step": 10, "mel": 1.2, ...}` and
`{"event": "validation", "step": 1000, "mel_l1_full": 0.5, ...}`; a warning is
`{"event": "warning", "step": 1000, "kind": "learning_rate", "message": ...}`.

When a run resumes from step n, lines beyond n are removed first, because those steps are repeated.
Without a checkpoint all lines are removed, including the validation before the first step.
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
from hifigan_cli.training.validation_audio import write_validation_audio
from hifigan_cli.types import Notice

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from contextlib import ExitStack
    from pathlib import Path

    from hifigan_cli.config import Config
    from hifigan_cli.training.estimate import TrainOptions
    from hifigan_cli.training.events import EventCallback, HealthWarning
    from hifigan_cli.training.run_folder import RunFolder
    from hifigan_cli.training.validation_audio import ValidationClip

_INSTALL_COMMAND = "pip install 'hifigan-cli[{0}]'"
_WANDB_ID = "wandb.id"  # this file in the run folder lets a resumed run continue its curves


class Logger:
    """A destination for metrics, warnings and audio; by default it ignores all of them."""

    def log_metrics(self, event: str, step: int, values: Mapping[str, float]) -> None:
        """Log the metrics of a `train` or `validation` event by name."""

    def log_warning(self, warning: HealthWarning) -> None:
        """Log a warning of the health checks."""

    def log_clips(self, step: int, clips: Sequence[ValidationClip]) -> None:
        """Log validation clips, recorded and generated."""

    def close(self) -> None:
        """Flush and close."""


class MetricsLogger(Logger):
    """Appends metrics to metrics.jsonl. A failed write is reported and does not end the run."""

    def __init__(self, path: Path, resumed_step: int, report: EventCallback) -> None:
        if path.exists():
            lines = path.read_bytes().splitlines(keepends=True) if resumed_step else []
            kept = (line for line, entry in _complete_lines(lines) if entry["step"] <= resumed_step)
            write_bytes(path, b"".join(kept))
        self._path = path
        self._report = report
        self._stream = path.open("a", encoding="utf-8")

    def log_metrics(self, event: str, step: int, values: Mapping[str, float]) -> None:
        """Append one line."""
        self._append({"event": event, "step": step, **values})

    def log_warning(self, warning: HealthWarning) -> None:
        """Append one line."""
        self._append({"event": "warning", **asdict(warning)})

    def _append(self, entry: dict[str, Any]) -> None:
        try:
            self._stream.write(json.dumps(entry) + "\n")
            self._stream.flush()
        except OSError as error:
            message = f"cannot write {self._path}: {error.strerror}; training continues"
            self._report(Notice(message, warning=True))

    def close(self) -> None:
        """Close the file."""
        self._stream.close()


class AudioLogger(Logger):
    """Writes the clips of the latest validation to the run folder."""

    def __init__(self, folder: Path, sample_rate: int, report: EventCallback) -> None:
        self._folder, self._sample_rate, self._report = folder, sample_rate, report

    def log_clips(self, step: int, clips: Sequence[ValidationClip]) -> None:
        """Write each clip. A failed write is reported and does not end the run."""
        try:
            if clips:
                write_validation_audio(self._folder, step, clips, self._sample_rate)
        except (InputError, OutputError) as error:
            self._report(Notice(f"{error.message}; training continues", warning=True))


class TensorBoardLogger(Logger):
    """Writes event files: each recording once, generated audio at every validation.

    Raises:
        UsageError: the package is not installed.
    """

    def __init__(self, folder: Path, sample_rate: int, resumed_step: int) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            hint = _INSTALL_COMMAND.format("tensorboard")
            raise UsageError("tensorboard is not installed", hint) from error
        # Steps beyond the resumed one are repeated; TensorBoard drops their old events.
        self._writer = SummaryWriter(str(folder), purge_step=resumed_step + 1)
        self._sample_rate = sample_rate
        self._recordings: set[str] = set()

    def log_metrics(self, event: str, step: int, values: Mapping[str, float]) -> None:
        """Add a point to each curve."""
        for name, value in values.items():
            self._writer.add_scalar(f"{event}/{name}", value, step)

    def log_warning(self, warning: HealthWarning) -> None:
        """Add the warning as text."""
        self._writer.add_text("warnings", f"{warning.message}: {warning.hint}", warning.step)

    def log_clips(self, step: int, clips: Sequence[ValidationClip]) -> None:
        """Add each clip's audio and a picture of the recorded mel above the generated one."""
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
        """Flush and close."""
        self._writer.close()


class WandbLogger(Logger):
    """Logs to one W&B run, which a resumed training continues. WANDB_MODE=offline logs locally.

    Raises:
        UsageError: the package is not installed.
    """

    def __init__(self, folder: Path, project: str, config: Config) -> None:
        try:
            import wandb
        except ImportError as error:
            raise UsageError("wandb is not installed", _INSTALL_COMMAND.format("wandb")) from error
        id_file = folder / _WANDB_ID
        if not id_file.exists():
            write_bytes(id_file, secrets.token_hex(4).encode())
        self._wandb = wandb
        self._sample_rate = config.mel.sample_rate
        self._run = wandb.init(
            project=project,
            name=folder.name,
            id=id_file.read_text().strip(),
            resume="allow",
            dir=str(folder),
            config=config.model_dump(mode="json"),
            settings=wandb.Settings(console="off"),  # do not capture this program's output
        )

    def log_metrics(self, event: str, step: int, values: Mapping[str, float]) -> None:
        """Add a point to each curve."""
        self._run.log({f"{event}/{name}": value for name, value in values.items()}, step=step)

    def log_warning(self, warning: HealthWarning) -> None:
        """Raise an alert."""
        self._run.alert(title=warning.kind, text=f"{warning.message}: {warning.hint}")

    def log_clips(self, step: int, clips: Sequence[ValidationClip]) -> None:
        """Add each clip's audio and a picture of its mels."""
        media: dict[str, Any] = {}
        for clip in clips:
            for name, samples in (("generated", clip.generated), ("recording", clip.recording)):
                audio = self._wandb.Audio(samples.numpy(), sample_rate=self._sample_rate)
                media[f"{clip.name}/{name}"] = audio
            picture = mel_picture([clip.recording_mel.numpy(), clip.generated_mel.numpy()])
            media[f"{clip.name}/mel"] = self._wandb.Image(picture)
        self._run.log(media, step=step)

    def close(self) -> None:
        """Flush and close."""
        self._run.finish()


def open_loggers(
    options: TrainOptions, run: RunFolder, step: int, report: EventCallback, stack: ExitStack
) -> tuple[list[Logger], Iterator[dict[str, Any]]]:
    """Open all loggers of a vocoder run that resumes at `step`; `stack` closes them.

    Returns:
        The loggers, and the entries of metrics.jsonl up to `step`; read these before logging.

    Raises:
        UsageError: a requested logger is not installed.
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
            report(Notice(f"{error.message} ({error.hint}); metrics go to {run.metrics}"))
    return loggers, read_entries(run.metrics)


def read_entries(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the object of each complete line of metrics.jsonl; nothing if the file is missing."""
    if is_file(path):
        with path.open("rb") as stream:
            yield from (entry for _, entry in _complete_lines(stream))


def _complete_lines(lines: Iterable[bytes]) -> Iterator[tuple[bytes, dict[str, Any]]]:
    """Skip lines that were cut off when a run was killed."""
    for line in lines:
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if line.endswith(b"\n") and isinstance(entry, dict):
            yield line, entry
