"""A run that takes seconds: synthetic prepared data, and networks with few weights.

The layers of the discriminators are not configurable, so the tests replace their tables by smaller
ones. Run as a script, this module is the `hifigan` command with those tables.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hifigan_cli.config import Config, GeneratorConfig, MelConfig, TrainConfig
from hifigan_cli.data.records import (
    CLIPS_FILE,
    MANIFEST_FILE,
    REJECTED_FILE,
    Clip,
    Manifest,
    checksum,
    mels_file,
    samples_file,
    to_json_line,
)
from hifigan_cli.models import discriminators
from tests import forkserver
from tests.helpers import environment

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

PERIOD_CHANNELS = (1, 4, 8, 8, 8, 8)
SCALE_LAYERS = tuple(
    layer._replace(inputs=inputs, outputs=8, groups=1 if inputs == 1 else 4)
    for inputs, layer in zip((1, 8, 8, 8, 8, 8, 8), discriminators.SCALE_LAYERS, strict=True)
)
GENERATOR: dict[str, Any] = {
    "upsample_initial_channel": 16,
    "resblock_kernel_sizes": (3,),
    "resblock_dilation_sizes": ((1,),),
}
RECIPE: dict[str, Any] = {
    "steps": 6,
    "batch_size": 4,
    "segment_size": 1024,
    "workers": 0,
    "log_every": 1,
    "validation_clips": 2,
    "logged_clips": 1,
}


def config(**train: Any) -> Config:
    """Return a tiny configuration; `train` overrides RECIPE."""
    recipe = TrainConfig(**{**RECIPE, **train})
    return Config(generator=GeneratorConfig(**GENERATOR), train=recipe)


def arguments(**train: Any) -> list[str]:
    """Return the same configuration as options of `hifigan train`."""
    values = {**GENERATOR, **RECIPE, **train}
    texts = {key: str(value).replace("(", "[").replace(")", "]") for key, value in values.items()}
    return [part for key, text in texts.items() for part in ("--set", f"{key}={text}")]


def prepare(
    folder: Path, clips: int = 10, seed: int = 0, *, mels: bool = False, clips_per_file: int = 4
) -> Path:
    """Write a prepared folder of noisy tones of different lengths; the last two are validated."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    records, blocks, frames = [], [], []
    offset = frame_offset = 0
    for index in range(clips):
        if index % clips_per_file == 0:
            offset = frame_offset = 0
        length = int(rng.integers(600, 6000))
        time_s = np.arange(length) / 22_050
        wave = np.sin(2 * np.pi * rng.uniform(90, 900) * time_s) * rng.uniform(0.2, 0.6)
        samples = np.rint((wave + 0.02 * rng.standard_normal(length)) * 32_767).astype("<i2")
        mel = rng.uniform(-11, 1, (length // 256, 80)).astype("<f4")
        records.append(
            Clip(
                name=f"clip{index:02}",
                path=f"clip{index:02}.wav",
                source_bytes=0,
                source_sha256="",
                source_sample_rate=22_050,
                offset=offset,
                samples=length,
                peak=float(np.abs(samples.astype(np.int32)).max()) / 32_768,
                gain=1.0,
                clipped=0,
                sha256=hashlib.sha256(samples.tobytes()).hexdigest(),
                split="validation" if index >= clips - 2 else "training",
                mel_offset=frame_offset if mels else None,
                mel_frames=len(mel) if mels else None,
                file_index=index // clips_per_file,
            )
        )
        blocks.append(samples)
        frames.append(mel)
        offset, frame_offset = offset + length, frame_offset + len(mel)
    names = [CLIPS_FILE, REJECTED_FILE]
    for file_index, first in enumerate(range(0, clips, clips_per_file)):
        in_file = slice(first, first + clips_per_file)
        names.append(samples_file(file_index))
        (folder / names[-1]).write_bytes(np.concatenate(blocks[in_file]).tobytes())
        if mels:
            names.append(mels_file(file_index))
            (folder / names[-1]).write_bytes(np.concatenate(frames[in_file]).tobytes())
    (folder / CLIPS_FILE).write_bytes(b"".join(to_json_line(record) for record in records))
    (folder / REJECTED_FILE).write_bytes(b"")
    files = {name: checksum(folder / name) for name in names}
    convention = MelConfig() if mels else None
    manifest = Manifest(sample_rate=22_050, options={}, mel=convention, totals={}, files=files)
    (folder / MANIFEST_FILE).write_text(manifest.with_digest().to_json())
    return folder


def command(*arguments: str | Path) -> list[str]:
    """Return the command line of `hifigan` with small discriminators."""
    return [sys.executable, "-m", "tests.training.small", *map(str, arguments)]


def run(
    *arguments: str | Path, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run `hifigan` with small discriminators."""
    process = forkserver.run(forkserver.HIFIGAN_SMALL, arguments, environment(env), timeout_s=240)
    out, err = process.stdout.decode(), process.stderr.decode()
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def use_small_discriminators(set_attribute: Callable[[Any, str, Any], None] = setattr) -> None:
    """Replace the paper's layer tables by small ones; pass monkeypatch.setattr to undo it later."""
    set_attribute(discriminators, "PERIOD_CHANNELS", PERIOD_CHANNELS)
    set_attribute(discriminators, "SCALE_LAYERS", SCALE_LAYERS)


if __name__ == "__main__":
    from hifigan_cli.cli.main import main

    use_small_discriminators()
    main()
