"""The same curves, audio and pictures for Weights & Biases; WANDB_MODE=offline keeps them here."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

from hifigan_cli.audio.pictures import mel_picture
from hifigan_cli.errors import UsageError
from hifigan_cli.io.files import write_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from hifigan_cli.config import Config
    from hifigan_cli.training.events import Warned
    from hifigan_cli.training.validation import Heard

INSTALL = "pip install 'hifigan-cli[wandb]'"
_ID = "wandb.id"  # kept in the run's folder, so that a resumed run continues its curves


class WandB:
    """Logs to one W&B run, resumed with ours.

    Raises:
        UsageError: the package is not installed.
    """

    def __init__(self, folder: Path, project: str, config: Config) -> None:
        try:
            import wandb
        except ImportError as error:
            raise UsageError("wandb is not installed", INSTALL) from error
        place = folder / _ID
        if not place.exists():
            write_bytes(place, secrets.token_hex(4).encode())
        self._wandb = wandb
        self._rate_hz = config.mel.rate_hz
        self._run = wandb.init(
            project=project,
            name=folder.name,
            id=place.read_text().strip(),
            resume="allow",
            dir=str(folder),
            config=config.model_dump(mode="json"),
            settings=wandb.Settings(console="off"),  # our output is ours to print
        )

    def scalars(self, event: str, step: int, values: Mapping[str, float]) -> None:
        """Add a point to each curve."""
        self._run.log({f"{event}/{name}": value for name, value in values.items()}, step=step)

    def warning(self, warned: Warned) -> None:
        """Raise an alert."""
        self._run.alert(title=warned.kind, text=f"{warned.message}: {warned.hint}")

    def clips(self, step: int, heard: Sequence[Heard]) -> None:
        """Add each clip's sounds and the picture of its mels."""
        media: dict[str, Any] = {}
        for clip in heard:
            for name, samples in (("generated", clip.generated), ("recording", clip.recording)):
                sound = self._wandb.Audio(samples.numpy(), sample_rate=self._rate_hz)
                media[f"{clip.name}/{name}"] = sound
            picture = mel_picture([clip.recording_mel.numpy(), clip.generated_mel.numpy()])
            media[f"{clip.name}/mel"] = self._wandb.Image(picture)
        self._run.log(media, step=step)

    def close(self) -> None:
        """Write out what is pending."""
        self._run.finish()
