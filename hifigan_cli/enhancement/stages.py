"""The enhancement stages before the vocoder: a noise filter, an enhancer, or both.

The filter (DeepFilterNet3, `noise_filter`) removes noise from the recording, and some speech with
it. The enhancer (`mel_enhancer`) enhances the mel: it recovers some of the speech that noise and
filter removed.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from hifigan_cli import assets
from hifigan_cli.enhancement.levels import is_short
from hifigan_cli.enhancement.mel_enhancer import MelEnhancer
from hifigan_cli.enhancement.model_file import MODEL_FILE, read_enhancer
from hifigan_cli.enhancement.noise_filter import (
    INSTALL,
    MAX_CHANNELS,
    NAME,
    NoiseFilter,
    is_installed,
)
from hifigan_cli.errors import ModelError, UsageError, did_you_mean
from hifigan_cli.io.files import is_folder
from hifigan_cli.models.model_file import model_in_run
from hifigan_cli.runtime.background import in_background
from hifigan_cli.runtime.devices import resolve_device_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hifigan_cli.audio.recording import AudioSource
    from hifigan_cli.config import MelConfig
    from hifigan_cli.types import FloatArray

_BUFFERED_BLOCKS = 2  # enhanced while the vocoder runs
_FILTERED_FRAMES = 256  # short blocks, so that synthesis starts while the filter still runs
AUTO = "auto"  # both stages where possible
MODES = (AUTO, "both", "filter", "restore", "off")
ENHANCER_FILE = Path(assets.__file__).parent / MODEL_FILE


@dataclass(frozen=True)
class EnhancementOptions:
    """The user's choice of stages.

    Attributes:
        mode: both, filter, restore or off; auto: both where possible.
        enhancer: the enhancer's file, or the folder of its training run; None: the bundled one.
        attenuation_limit_db: the maximum attenuation of a band; None: no limit.

    Raises:
        UsageError: an unknown mode, a limit below 0, or options that contradict each other.
    """

    mode: str = AUTO
    enhancer: Path | str | None = None
    attenuation_limit_db: float | None = None

    def __post_init__(self) -> None:
        """Check the options."""
        if self.mode not in MODES:
            hint = did_you_mean(str(self.mode), MODES) or f"one of {', '.join(MODES)}"
            raise UsageError(f"unknown enhancement {self.mode!r}", hint)
        if self.attenuation_limit_db is not None and not self.attenuation_limit_db >= 0:
            raise UsageError(
                f"the attenuation limit is {self.attenuation_limit_db:g} dB but cannot be below 0",
                "0 dB changes nothing",
            )
        if self.mode == "off" and self.attenuation_limit_db is not None:
            raise UsageError(
                "an attenuation limit has no effect with enhancement 'off'", "remove one of them"
            )
        if self.mode in ("off", "filter") and self.enhancer is not None:
            raise UsageError(
                f"enhancement {self.mode!r} does not use an enhancer", "remove one of them"
            )


@dataclass(frozen=True)
class Enhancement:
    """The stages that process a recording before the vocoder; without any, it does not change.

    Attributes:
        noise_filter: the first stage, for any sample rate and any model.
        mel_enhancer: the second stage, for models with the same mel.
        attenuation_limit_db: the maximum attenuation of a band; None: no limit.
        notes: messages for the user about skipped stages.
    """

    noise_filter: NoiseFilter | None = None
    mel_enhancer: MelEnhancer | None = None
    attenuation_limit_db: float | None = None
    notes: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """The names of the stages, and the limit."""
        stages = [NAME] if self.noise_filter else []
        if self.mel_enhancer:
            model = self.mel_enhancer.model
            stages.append(f"{model.provenance.get('name', 'enhancer')} {model.digest[:12]}")
        if not stages:
            return "off: noise is not removed"
        limit = (
            ""
            if self.attenuation_limit_db is None
            else f", by at most {self.attenuation_limit_db:g} dB"
        )
        return ", then ".join(stages) + limit

    def check(self, mel: MelConfig) -> None:
        """Check that a vocoder's mel is the mel that the enhancer returns.

        Raises:
            ModelError: the mels differ.
        """
        if self.mel_enhancer:
            self.mel_enhancer.check(mel)

    def filtered(self, recording: AudioSource) -> AudioSource:
        """Return the recording after the noise filter, or itself if no filter runs."""
        if self.noise_filter is None or recording.channels > MAX_CHANNELS:
            return recording
        return self.noise_filter.filtered(recording, self.attenuation_limit_db)

    def warnings(self, recording: AudioSource) -> list[str]:
        """Return messages for the user about stages that skip this recording."""
        if self.noise_filter is None or recording.channels <= MAX_CHANNELS:
            return []
        limit = f"{NAME} supports up to {MAX_CHANNELS} channels"
        return [f"the recording has {recording.channels} channels and is not filtered: {limit}"]

    def analyze_blocks(
        self, recording: AudioSource, mel_blocks: Callable[..., Iterator[FloatArray]]
    ) -> Iterator[FloatArray]:
        """Yield the enhanced log-mel of a recording, `(channels, n_mels, frames)`, in blocks.

        `mel_blocks` computes the log-mel of a recording in blocks of `block_frames`.
        """
        filtered = self.filtered(recording)
        if filtered is not recording:
            mel_blocks = partial(mel_blocks, block_frames=_FILTERED_FRAMES)
        blocks = mel_blocks(filtered)
        if self.mel_enhancer is None:
            return blocks
        # The limit and the preserved level refer to the recording before the filter.
        short = is_short(recording)
        needs_recorded = filtered is not recording and (
            self.attenuation_limit_db is not None or short
        )
        recorded = mel_blocks(recording) if needs_recorded else None
        return in_background(
            self.mel_enhancer.enhance_blocks(
                blocks, recorded, self.attenuation_limit_db, short=short
            ),
            _BUFFERED_BLOCKS,
        )


def load_enhancement(options: EnhancementOptions, mel: MelConfig, device: str) -> Enhancement:
    """Load the stages that the options select, for a vocoder that reads `mel`.

    Only this function decides which stages run. With `auto`, the filter runs if its package is
    installed, and the enhancer runs if the model has the same mel; `notes` lists skipped stages.

    Raises:
        UsageError: the filter was requested and is not installed.
        ModelError: the filter or the enhancer is damaged, or the enhancer was requested and uses
            another mel.
        DeviceError: the device does not exist.
    """
    if options.mode == "off":
        return Enhancement()
    notes = []
    noise_filter = mel_enhancer = None
    if options.mode == AUTO and not is_installed():
        notes.append(f"{NAME} is skipped because it is not installed: {INSTALL}")
    elif options.mode != "restore":
        noise_filter = NoiseFilter()
    if options.mode != "filter":
        mel_enhancer = MelEnhancer(
            read_enhancer(locate_enhancer(options.enhancer)), resolve_device_name(device)
        )
        try:
            mel_enhancer.check(mel)
        except ModelError:
            if options.mode != AUTO or options.enhancer is not None:
                raise
            mel_enhancer = None
            notes.append("the enhancer is skipped because this model uses another mel")
    return Enhancement(noise_filter, mel_enhancer, options.attenuation_limit_db, tuple(notes))


def locate_enhancer(name: Path | str | None = None) -> Path:
    """Return the enhancer file of a path or a run folder; None means the bundled one.

    Raises:
        ModelError: the path does not exist.
    """
    path = ENHANCER_FILE if name is None else Path(name)
    if is_folder(path):
        return model_in_run(path, MODEL_FILE)
    if not os.path.lexists(path):
        raise ModelError(
            f"{path} does not exist",
            "an enhancer is a file, or the folder of a `hifigan train-enhancer` run",
        )
    return path
