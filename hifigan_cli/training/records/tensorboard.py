"""Curves, audio and mel pictures for TensorBoard."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hifigan_cli.audio.pictures import mel_picture
from hifigan_cli.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from hifigan_cli.training.events import Warned
    from hifigan_cli.training.validation import Heard

INSTALL = "pip install 'hifigan-cli[tensorboard]'"


class TensorBoard:
    """Writes event files; the recordings go in once, what is generated at each validation.

    Raises:
        UsageError: the package is not installed.
    """

    def __init__(self, folder: Path, rate_hz: int, resumed_step: int) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise UsageError("tensorboard is not installed", INSTALL) from error
        # Events beyond the resumed step come again; TensorBoard drops the old ones.
        self._writer = SummaryWriter(str(folder), purge_step=resumed_step + 1)
        self._rate_hz = rate_hz
        self._recordings: set[str] = set()

    def scalars(self, event: str, step: int, values: Mapping[str, float]) -> None:
        """Add a point to each curve."""
        for name, value in values.items():
            self._writer.add_scalar(f"{event}/{name}", value, step)

    def warning(self, warned: Warned) -> None:
        """Add a text."""
        self._writer.add_text("warnings", f"{warned.message}: {warned.hint}", warned.step)

    def clips(self, step: int, heard: Sequence[Heard]) -> None:
        """Add each clip's sound, and a picture: the recording's mel above the generated one's."""
        for clip in heard:
            self._audio(f"{clip.name}/generated", clip.generated, step)
            if clip.name not in self._recordings:
                self._recordings.add(clip.name)
                self._audio(f"{clip.name}/recording", clip.recording, step)
            picture = mel_picture([clip.recording_mel.numpy(), clip.generated_mel.numpy()])
            self._writer.add_image(f"{clip.name}/mel", picture, step, dataformats="HWC")
        self._writer.flush()

    def _audio(self, tag: str, samples: object, step: int) -> None:
        self._writer.add_audio(tag, samples, step, self._rate_hz)

    def close(self) -> None:
        """Write out what is pending."""
        self._writer.close()
