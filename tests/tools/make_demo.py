"""Generate `hifigan_cli/assets/demo.flac`: speech by espeak-ng, with a little added noise.

apt-get install espeak-ng
python -m tests.tools.make_demo
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np

from hifigan_cli.audio import read_audio, resample, write_audio

TEXT = (
    "This voice was computed from a picture of sound. "
    "A generator drew every sample of it, twenty two thousand each second."
)
SAMPLE_RATE = 22_050
PEAK = 0.6
NOISE_DB = -60.0  # relative to the peak, as in a quiet room
OUTPUT = Path(__file__).parents[2] / "hifigan_cli" / "assets" / "demo.flac"


def main() -> None:
    """Synthesize, scale, add noise, and write the file."""
    wav = subprocess.run(
        ["espeak-ng", "-v", "en-gb", "-s", "150", "--stdout", TEXT],
        check=True,
        capture_output=True,
    ).stdout
    audio = read_audio(wav, repair=True)
    speech = resample(audio.mono().samples, audio.sample_rate, SAMPLE_RATE)
    speech = speech * (PEAK / np.abs(speech).max())
    rng = np.random.default_rng(1234)
    noise = rng.standard_normal(speech.shape) * PEAK * 10 ** (NOISE_DB / 20)
    write_audio(OUTPUT, (speech + noise).astype(np.float32), SAMPLE_RATE)


if __name__ == "__main__":
    main()
