"""The stages between a noisy recording and the vocoder: a filter, a restorer, or both in a row.

The filter (DeepFilterNet3, `noise_filter`) takes noise out of the recording, and some speech with
it. The restorer (ours, `restorer`) works on the mel and gives back what noise and filter took.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from hifigan_cli import assets
from hifigan_cli.enhancement.levels import is_short
from hifigan_cli.enhancement.model_file import MODEL_FILE, read_enhancer
from hifigan_cli.enhancement.noise_filter import (
    INSTALL,
    MOST_CHANNELS,
    NAME,
    NoiseFilter,
    is_installed,
)
from hifigan_cli.enhancement.restorer import Restorer
from hifigan_cli.errors import ModelError, UsageError, closest
from hifigan_cli.io.files import is_folder
from hifigan_cli.models.model_file import model_in_run
from hifigan_cli.runtime.background import in_background
from hifigan_cli.runtime.devices import find_device

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hifigan_cli.audio.recording import Sound
    from hifigan_cli.config import MelConfig
    from hifigan_cli.types import FloatArray

_BLOCKS_AHEAD = 2  # that are restored while the vocoder works
_FILTERED_FRAMES = 256  # few: synthesis starts while the filter works on what follows
AUTO = "auto"  # as much of both as can be done
MODES = (AUTO, "both", "filter", "restore", "off")
ENHANCER_FILE = Path(assets.__file__).parent / MODEL_FILE


@dataclass(frozen=True)
class EnhancementOptions:
    """The user's choice of stages.

    Attributes:
        mode: both, filter, restore or off; auto: as much of both as can be done.
        enhancer: the restorer's file, or the folder of its training run; None: the bundled one.
        limit_db: no band is lowered by more; None: no limit.

    Raises:
        UsageError: an unknown mode, a limit below 0, or options that contradict each other.
    """

    mode: str = AUTO
    enhancer: Path | str | None = None
    limit_db: float | None = None

    def __post_init__(self) -> None:
        """Check the options."""
        if self.mode not in MODES:
            hint = closest(str(self.mode), MODES) or f"one of {', '.join(MODES)}"
            raise UsageError(f"no enhancement {self.mode!r}", hint)
        if self.limit_db is not None and not self.limit_db >= 0:
            raise UsageError(
                f"an attenuation limit of {self.limit_db:g} dB is below 0", "0 lowers nothing"
            )
        if self.mode == "off" and self.limit_db is not None:
            raise UsageError("without enhancement there is nothing to limit", "leave one out")
        if self.mode in ("off", "filter") and self.enhancer is not None:
            raise UsageError(
                f"enhancement {self.mode!r} does not use an enhancer", "leave one of them out"
            )


@dataclass(frozen=True)
class Enhancement:
    """The stages that a recording passes before the vocoder; without any it stays as it is.

    Attributes:
        noise_filter: the first stage, at any sample rate and for any model.
        restorer: the second, for models of its mel.
        limit_db: no band is lowered by more; None: no limit.
        notes: sentences on a stage that is left out.
    """

    noise_filter: NoiseFilter | None = None
    restorer: Restorer | None = None
    limit_db: float | None = None
    notes: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """Name the stages and the limit."""
        stages = [NAME] if self.noise_filter else []
        if self.restorer:
            model = self.restorer.model
            stages.append(f"{model.provenance.get('name', 'enhancer')} {model.digest[:12]}")
        if not stages:
            return "off: noise is kept"
        limit = "" if self.limit_db is None else f", by at most {self.limit_db:g} dB"
        return ", then ".join(stages) + limit

    def check(self, mel: MelConfig) -> None:
        """Check that a vocoder reads the mel that the restorer returns.

        Raises:
            ModelError: it reads another.
        """
        if self.restorer:
            self.restorer.check(mel)

    def filtered(self, sound: Sound) -> Sound:
        """Return a recording after the first stage."""
        if self.noise_filter is None or sound.channels > MOST_CHANNELS:
            return sound
        return self.noise_filter.filtered(sound, self.limit_db)

    def warnings(self, sound: Sound) -> list[str]:
        """Return sentences on what is not done to this recording."""
        if self.noise_filter is None or sound.channels <= MOST_CHANNELS:
            return []
        return [f"{sound.channels} channels are not filtered; {NAME} takes up to {MOST_CHANNELS}"]

    def analyse_blocks(
        self, sound: Sound, mel_blocks: Callable[..., Iterator[FloatArray]]
    ) -> Iterator[FloatArray]:
        """Yield the enhanced log-mel of a recording, `(channels, n_mels, frames)`, in blocks.

        `mel_blocks` computes a recording's log-mel; `block_frames` is the length of its blocks.
        """
        filtered = self.filtered(sound)
        if filtered is not sound:
            mel_blocks = partial(mel_blocks, block_frames=_FILTERED_FRAMES)
        blocks = mel_blocks(filtered)
        if self.restorer is None:
            return blocks
        # Limit and level count from the recording, whatever the filter has done by then.
        short = is_short(sound)
        compared = filtered is not sound and (self.limit_db is not None or short)
        recorded = mel_blocks(sound) if compared else None
        return in_background(
            self.restorer.restore_blocks(blocks, recorded, self.limit_db, short=short),
            _BLOCKS_AHEAD,
        )


def load_enhancement(options: EnhancementOptions, mel: MelConfig, device: str) -> Enhancement:
    """Load the stages that the options ask for, in front of a vocoder that reads `mel`.

    This is the rule of what runs: with `auto`, both stages run where they can, the filter where
    its package is installed and the restorer for models of its mel; `notes` names what is left out.

    Raises:
        UsageError: the filter was asked for and is not installed.
        ModelError: the filter or the enhancer is damaged, or the enhancer was asked for and works
            on another mel.
        DeviceError: there is no such device.
    """
    if options.mode == "off":
        return Enhancement()
    notes = []
    noise_filter = restorer = None
    if options.mode == AUTO and not is_installed():
        notes.append(f"{NAME} is not installed and is left out: {INSTALL}")
    elif options.mode != "restore":
        noise_filter = NoiseFilter()
    if options.mode != "filter":
        restorer = Restorer(read_enhancer(locate_enhancer(options.enhancer)), find_device(device))
        try:
            restorer.check(mel)
        except ModelError:
            if options.mode != AUTO or options.enhancer is not None:
                raise
            restorer = None
            notes.append("the enhancer reads another mel than this model and is left out")
    return Enhancement(noise_filter, restorer, options.limit_db, tuple(notes))


def locate_enhancer(name: Path | str | None = None) -> Path:
    """Return the enhancer's file that a path means; None means the bundled one.

    Raises:
        ModelError: nothing there.
    """
    path = ENHANCER_FILE if name is None else Path(name)
    if is_folder(path):
        return model_in_run(path, MODEL_FILE)
    if not os.path.lexists(path):
        raise ModelError(f"no enhancer {path}", "a file, or the folder of `hifigan train-enhancer`")
    return path
