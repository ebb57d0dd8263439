"""Fine-tune the vocoder on enhanced mels against clean speech.

    python -m tests.tools.gpu --pack-into PACKED --network vocoder
    python -m tests.tools.gpu.vocoder OUT --data PACKED --minutes 7 [--render-minutes 1.5]

The first command runs on the machine with the corpus and the default model. The second renders
pairs, restores their mels, prepares them with `hifigan preprocess --mels`, and runs `hifigan train
--init`. OUT gets the model in half precision, in parts below 16 MiB
(`cat model.part* > model.safetensors`), and the metrics. Only speech with a sample rate of at least
22 kHz is used: the vocoder must learn the frequencies above 8 kHz.
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

Rendered = tuple[npt.NDArray[np.float16], npt.NDArray[np.float64]]  # mels, clean waveform

RESTORER = Path(__file__).with_name("restorer.safetensors")
LOG_FILE = "vocoder.jsonl"
SETTINGS = {
    "learning_rate": 1e-4,
    "discriminator_width": 0.25,  # they start untrained, and small ones learn faster
    "adversarial_start": 300,
    "validate_every": 1_000_000,
    "checkpoint_every": 2_000,
    "keep_checkpoints": 1,
    "ema_decay": 0.999,
}
WIDEBAND_SETS = ("kathleen", "kerstin", "nathalie", "flemishguy")
MODEL_FILE = "vocoder.safetensors"  # in a pack: the model to fine-tune
_MEGABYTES = 15
_MIN_SAMPLE_RATE = 22_050
_TOP_HZ = 10_500.0
_PAIR_FRAMES = 216
_PART_BYTES = 15 * 2**20
_BATCH_SIZE = 16  # pairs
_PAIRS_PER_WORKER = 4  # in each round


def pack_for_vocoder(out: Path, data: Path) -> None:
    """Pack wideband speech, noises, RIRs, and the default model."""
    from tests.tools.gpu.pack import pack

    pack(out, data, _MEGABYTES, sets=WIDEBAND_SETS)
    write_half_precision(None, out / MODEL_FILE)


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
        print(f"{count} pairs, {end - time.monotonic():.0f} s remaining", flush=True)
        prepared, run = folder / "prepared", folder / "run"
        hifigan("preprocess", folder / "corpus", "--mels", folder / "mels", "--out", prepared)
        settings = [part for key, value in SETTINGS.items() for part in ("--set", f"{key}={value}")]
        settings += [part for item in options.settings for part in ("--set", item)]
        flags = ["--device", options.device]
        flags += ["--bf16"] if options.device != "cpu" else []
        remaining = max(0.05, (end - time.monotonic()) / 60)
        command = ["train", prepared, "--init", options.data / MODEL_FILE, "--out", run]
        hifigan(*command, *flags, *settings, minutes=remaining)
        write_half_precision(run / "model.safetensors", folder / "half.safetensors")
        content = (folder / "half.safetensors").read_bytes()
        for number, start in enumerate(range(0, len(content), _PART_BYTES)):
            part = options.out / f"model.part{number}"
            part.write_bytes(content[start : start + _PART_BYTES])
        (options.out / LOG_FILE).write_bytes((run / "metrics.jsonl").read_bytes())


def write_half_precision(source: Path | None, out: Path) -> None:
    """Write a model (the default model for None) in half precision, without discriminators."""
    from dataclasses import replace

    from hifigan_cli.importers.model_lookup import open_model
    from hifigan_cli.models.model_file import write_model

    model = open_model(source)
    weights = {name: value.astype(np.float16) for name, value in model.weights.items()}
    write_model(out, replace(model, weights=weights, discriminators={}))


def _write_corpus(options: argparse.Namespace, folder: Path) -> int:
    """Write clean clips and restored mels until the time limit; return their number."""
    import soundfile

    from tests.tools.gpu.pairs import SAMPLE_RATE

    (folder / "corpus").mkdir()
    (folder / "mels").mkdir()
    end, count = time.monotonic() + 60 * options.render_minutes, 0
    os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"))
    with ProcessPoolExecutor(options.workers, multiprocessing.get_context("spawn")) as pool:
        while time.monotonic() < end:
            numbers = range(count, count + options.workers * _PAIRS_PER_WORKER)
            folders = [str(folder)] * len(numbers)
            unfiltered = [options.unfiltered] * len(numbers)
            rendered = list(pool.map(_render, folders, unfiltered, numbers))
            restored = _restore(options, [mels for mels, _ in rendered])
            for number, (_, clean), mel in zip(numbers, rendered, restored, strict=True):
                soundfile.write(folder / f"corpus/{number:06}.wav", clean, SAMPLE_RATE)
                np.save(folder / f"mels/{number:06}.npy", mel)
            count += len(numbers)
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.pop(name)  # training may use all CPUs
    return count


def _render(folder: str, unfiltered: bool, number: int) -> Rendered:
    """Render one pair."""
    from tests.tools.gpu.pairs import pair_log_mels

    pair = _renderer(folder, unfiltered).pair(number)
    return pair_log_mels(pair), pair.clean


@lru_cache(maxsize=1)
def _renderer(folder: str, unfiltered: bool) -> BatchPairRenderer:
    from tests.tools.deepfilter import DeepFilter
    from tests.tools.gpu.pairs import BatchPairRenderer, PairAugmentation
    from tests.tools.gpu.rendering import identity_filter
    from tests.tools.gpu.unpack import open_corpus

    corpus = open_corpus(Path(folder))
    speech = [clip for clip in corpus.recordings["speech"] if clip.sample_rate >= _MIN_SAMPLE_RATE]
    corpus = corpus._replace(recordings={**corpus.recordings, "speech": speech})
    noise_filter = identity_filter if unfiltered else DeepFilter()
    # The restorer cannot remove competing speech, and `preprocess` rejects these pairs.
    config = PairAugmentation(untouched=0.15, competing=0.0, babble=0.05, snr_db=(3.0, 28.0))
    return BatchPairRenderer(
        corpus, noise_filter, seed=5, frames=_PAIR_FRAMES, config=config, top_hz=_TOP_HZ
    )


def _restore(
    options: argparse.Namespace, mels: list[npt.NDArray[np.float16]]
) -> list[npt.NDArray[np.float32]]:
    """Return the restored mel `(n_mels, frames)` of each pair `(3, frames, n_mels)`."""
    import torch

    from tests.tools.gpu.network import load_restorer

    device = torch.device(options.device)
    network = load_restorer(options.restorer).to(device)
    results: list[npt.NDArray[np.float32]] = []
    with torch.no_grad():
        for start in range(0, len(mels), _BATCH_SIZE):
            block = torch.from_numpy(np.stack(mels[start : start + _BATCH_SIZE])).float().to(device)
            noisy, filtered, _ = block.transpose(2, 3).unbind(1)
            results += list(network(noisy, filtered).cpu().numpy())
    return results


def main(arguments: list[str] | None = None) -> None:
    """Fine-tune the vocoder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="folder written by --pack-into")
    parser.add_argument("--restorer", type=Path, default=RESTORER)
    parser.add_argument("--minutes", type=float, required=True)
    parser.add_argument("--render-minutes", type=float, default=1.5)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--workers", type=int, default=14)
    parser.add_argument("--set", dest="settings", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--unfiltered", action="store_true", help="for tests")
    train(parser.parse_args(arguments))


if __name__ == "__main__":
    main()
