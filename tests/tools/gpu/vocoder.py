"""Fine-tune the vocoder on enhanced mels against clean speech.

    python -m tests.tools.gpu --pack PACKED --part vocoder
    python -m tests.tools.gpu.vocoder OUT --data PACKED --minutes 7 [--render-minutes 1.5]

The first runs where the corpus and the default model are. The second renders pairs, restores their
mels, prepares them with `hifigan preprocess --mels`, and runs `hifigan train --init`. OUT gets the
model in half precision, in parts below 16 MiB (`cat model.part* > model.safetensors`), and the
metrics. Only speech recorded above 22 kHz is used: the vocoder must learn what is above 8 kHz.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from tests.tools.gpu.pairs import BatchPairRenderer

Rendered = tuple[npt.NDArray[np.float16], npt.NDArray[np.float64]]  # mels, the clean waveform

RESTORER = Path(__file__).with_name("restorer.safetensors")
LOG_FILE = "vocoder.jsonl"
SETTINGS = {
    "learning_rate": 1e-4,
    "discriminator_width": 0.25,  # they start without weights, and small ones learn faster
    "adversarial_start": 300,
    "validate_every": 1_000_000,
    "checkpoint_every": 2_000,
    "keep_checkpoints": 1,
    "ema_decay": 0.999,
}
WIDE_SETS = ("kathleen", "kerstin", "nathalie", "flemishguy")
MODEL_FILE = "vocoder.safetensors"  # of a pack: the model that is fine-tuned
_MEGABYTES = 15
_WIDE_HZ = 22_050
_TOP_HZ = 10_500.0
_FRAMES = 216
_PART_BYTES = 15 * 2**20
_AT_ONCE = 16  # pairs restored together
_PER_WORKER = 4  # pairs that wait to be rendered


def pack_for_vocoder(out: Path, data: Path) -> None:
    """Write what fine-tuning needs: wide speech, noises, RIRs, and the default model."""
    from tests.tools.gpu.pack import pack

    pack(out, data, _MEGABYTES, sets=WIDE_SETS)
    half(None, out / MODEL_FILE)


def train(options: argparse.Namespace) -> None:
    """Render, restore, prepare and fine-tune."""
    from tests.tools.default_models import hifigan
    from tests.tools.gpu.unpack import unpack

    end = time.monotonic() + 60 * options.minutes
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        unpack(options.data, folder, options.workers)
        count = _write_corpus(options, folder)
        print(f"{count} pairs, {end - time.monotonic():.0f} s left", flush=True)
        prepared, run = folder / "prepared", folder / "run"
        hifigan("preprocess", folder / "corpus", "--mels", folder / "mels", "--out", prepared)
        sets = [part for key, value in SETTINGS.items() for part in ("--set", f"{key}={value}")]
        sets += [part for item in options.sets for part in ("--set", item)]
        flags = ["--device", options.device]
        flags += ["--bf16"] if options.device != "cpu" else []
        left = max(0.05, (end - time.monotonic()) / 60)
        words = ["train", prepared, "--init", options.data / MODEL_FILE, "--out", run]
        hifigan(*words, *flags, *sets, minutes=left)
        half(run / "model.safetensors", folder / "half.safetensors")
        content = (folder / "half.safetensors").read_bytes()
        for number, start in enumerate(range(0, len(content), _PART_BYTES)):
            part = options.out / f"model.part{number}"
            part.write_bytes(content[start : start + _PART_BYTES])
        (options.out / LOG_FILE).write_bytes((run / "metrics.jsonl").read_bytes())


def half(source: Path | None, out: Path) -> None:
    """Write a model, by default the default one, in half precision and without discriminators."""
    from dataclasses import replace

    from hifigan_cli.importers.model_lookup import open_model
    from hifigan_cli.models.model_file import write_model

    model = open_model(source)
    weights = {name: value.astype(np.float16) for name, value in model.weights.items()}
    write_model(out, replace(model, weights=weights, discriminators={}))


def _write_corpus(options: argparse.Namespace, folder: Path) -> int:
    """Write clean clips and their restored mels until the time for it is up; return how many."""
    import soundfile

    from tests.tools.gpu.pairs import SAMPLE_RATE

    (folder / "corpus").mkdir()
    (folder / "mels").mkdir()
    end, count = time.monotonic() + 60 * options.render_minutes, 0
    os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"))
    with ProcessPoolExecutor(options.workers, multiprocessing.get_context("spawn")) as pool:
        while time.monotonic() < end:
            numbers = range(count, count + options.workers * _PER_WORKER)
            folders = [str(folder)] * len(numbers)
            unfiltered = [options.unfiltered] * len(numbers)
            rendered = list(pool.map(_render, folders, unfiltered, numbers))
            restored = _restored(options, [mels for mels, _ in rendered])
            for number, (_, clean), mel in zip(numbers, rendered, restored, strict=True):
                soundfile.write(folder / f"corpus/{number:06}.wav", clean, SAMPLE_RATE)
                np.save(folder / f"mels/{number:06}.npy", mel)
            count += len(numbers)
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.pop(name)  # training may use all CPUs
    return count


def _render(folder: str, unfiltered: bool, number: int) -> Rendered:
    """Render a pair in one of the processes."""
    from tests.tools.gpu.pairs import mels_of

    pair = _renderer(folder, unfiltered).pair(number)
    return mels_of(pair), pair.clean


@lru_cache(maxsize=1)
def _renderer(folder: str, unfiltered: bool) -> BatchPairRenderer:
    from tests.tools.deepfilter import DeepFilter
    from tests.tools.gpu.pairs import AugmentationConfig, BatchPairRenderer
    from tests.tools.gpu.rendering import unfiltered as same
    from tests.tools.gpu.unpack import open_corpus

    corpus = open_corpus(Path(folder))
    speech = [clip for clip in corpus.recordings["speech"] if clip.sample_rate >= _WIDE_HZ]
    corpus = corpus._replace(recordings={**corpus.recordings, "speech": speech})
    noise_filter = same if unfiltered else DeepFilter()
    # Mels that the restorer cannot restore are another voice's; `preprocess` leaves them out.
    mild = AugmentationConfig(untouched=0.15, competing=0.0, babble=0.05, snr_db=(3.0, 28.0))
    return BatchPairRenderer(
        corpus, noise_filter, seed=5, frames=_FRAMES, config=mild, top_hz=_TOP_HZ
    )


def _restored(
    options: argparse.Namespace, mels: list[npt.NDArray[np.float16]]
) -> list[npt.NDArray[np.float32]]:
    """Return the restorer's mel `(n_mels, frames)` of each pair's `(3, frames, n_mels)`."""
    import torch

    from tests.tools.gpu.network import load_restorer

    device = torch.device(options.device)
    network = load_restorer(options.restorer).to(device)
    found: list[npt.NDArray[np.float32]] = []
    with torch.no_grad():
        for start in range(0, len(mels), _AT_ONCE):
            block = torch.from_numpy(np.stack(mels[start : start + _AT_ONCE])).float().to(device)
            noisy, filtered, _ = block.transpose(2, 3).unbind(1)
            found += list(network(noisy, filtered).cpu().numpy())
    return found


def main(arguments: list[str] | None = None) -> None:
    """Fine-tune."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="what --pack has written")
    parser.add_argument("--restorer", type=Path, default=RESTORER)
    parser.add_argument("--minutes", type=float, required=True)
    parser.add_argument("--render-minutes", type=float, default=1.5)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--workers", type=int, default=14)
    parser.add_argument("--set", dest="sets", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--unfiltered", action="store_true", help="for tests")
    train(parser.parse_args(arguments))


if __name__ == "__main__":
    main()
