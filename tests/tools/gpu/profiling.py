"""Where the time goes on a GPU: the top kernels of a training step or of a forward pass.

    python -m tests.tools.gpu.profiling training --preset v1 --batch 16
    python -m tests.tools.gpu.profiling synthesis --preset v1 --batch 1 --seconds 5

One JSON line. `busy` is the share of the wall time in which a kernel runs; the rest is the host,
which launches them too slowly. On the CPU it reports the top operators instead.
"""

from __future__ import annotations

import argparse
import json
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch._C._autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from hifigan_cli.benchmarks.contenders import random_model
from hifigan_cli.benchmarks.machine import synchronize
from hifigan_cli.benchmarks.training import synthetic_batch
from hifigan_cli.config import PRESETS, Config, TrainConfig
from hifigan_cli.engines.choose import EngineOptions, make_engine
from hifigan_cli.training.cuda_graphs import WARM_UP_STEPS, GraphedStep, usable
from hifigan_cli.training.nonfinite_guard import NonfiniteGuard
from hifigan_cli.training.reference import ReferenceStep
from hifigan_cli.training.state import VocoderState
from hifigan_cli.training.step import mel_transforms, train_step
from hifigan_cli.training.vocoder import choose_algorithms
from tests.models_for_tests import TINY, tiny_model

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TOP = 10
RUNS = 5
_NAME_LENGTH = 110


def main() -> None:
    """Profile every form of the work and print the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", choices=("training", "synthesis"))
    parser.add_argument("--preset", default="v1", choices=sorted(PRESETS))
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=5.0, help="of speech, for synthesis")
    parser.add_argument("--segment", type=int, default=8192, help="samples, for training")
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--tiny", action="store_true", help="smallest networks, for a test")
    options = parser.parse_args()
    if options.tiny:
        options.batch, options.seconds, options.segment = 1, 0.2, 512
    forms = training_forms if options.work == "training" else synthesis_forms
    device = torch.device(options.device)
    runs = 1 if options.tiny else RUNS
    found = {name: measure(run, device, runs) for name, run in forms(options, device)}
    print(json.dumps({"event": "profile", **vars(options), "forms": found}))


def training_forms(
    options: argparse.Namespace, device: torch.device
) -> Iterator[tuple[str, Callable[[], object]]]:
    """Yield the reference step, the fast step, and that step as a CUDA graph; bf16 on a GPU."""
    choose_algorithms(deterministic=False)

    def build(precision: str) -> VocoderState:
        train = TrainConfig.model_validate(
            {
                "batch_size": options.batch,
                "segment_size": options.segment,
                "precision": precision,
                "discriminator_width": 0.125 if options.tiny else 1.0,
            }
        )
        generator = TINY if options.tiny else PRESETS[options.preset].generator
        return VocoderState(Config(generator=generator, train=train), device)

    plain = build("fp32")
    batch, mels = synthetic_batch(plain.config), mel_transforms(plain.config, device)
    reference = ReferenceStep(plain)
    if not options.tiny:
        yield "reference", lambda: reference(batch, mels)
    precision = "fp32" if device.type == "cpu" else "bf16"
    fast, guard = build(precision), NonfiniteGuard(device)
    yield f"fast {precision}", lambda: train_step(fast, batch, mels, guard)
    if usable(fast):
        step = GraphedStep(fast, mels, guard, print)
        for _ in range(WARM_UP_STEPS + 1):
            step(batch)
        yield f"fast {precision} graph", lambda: step(batch)


def synthesis_forms(
    options: argparse.Namespace, device: torch.device
) -> Iterator[tuple[str, Callable[[], object]]]:
    """Yield the plain forward pass, and the torch engine in every precision of the device."""
    model = tiny_model() if options.tiny else random_model(PRESETS[options.preset])
    frames = round(options.seconds * model.mel.sample_rate / model.mel.hop_length)
    shape = options.batch, model.mel.n_mels, frames
    mel = np.random.default_rng(0).normal(-5, 2, shape).astype(np.float32)
    precisions = ("fp32",) if device.type == "cpu" else ("fp32", "bf16", "fp16")
    for engine, precision in (("eager", "fp32"), *(("torch", each) for each in precisions)):
        ready = make_engine(model, EngineOptions(engine, precision, str(device)), str(device))
        yield f"{engine} {precision}", partial(ready.synthesize, mel)


def measure(run: Callable[[], object], device: torch.device, runs: int) -> dict[str, Any]:
    """Return the wall time of a run, how busy the device was, and its top kernels."""
    for _ in range(runs):
        run()
    synchronize(device)
    started = time.perf_counter()
    for _ in range(runs):
        run()
    synchronize(device)
    wall_ms = 1e3 * (time.perf_counter() - started) / runs
    on_gpu = device.type == "cuda"
    # Without the host's events, tens of thousands in a step, which take the profiler long to sort.
    activity = ProfilerActivity.CUDA if on_gpu else ProfilerActivity.CPU
    with profile(activities=[activity]) as recorded:
        run()
        synchronize(device)
    kind = DeviceType.CUDA if on_gpu else DeviceType.CPU
    totals: dict[str, tuple[float, int]] = {}
    for event in recorded.events() or ():
        # torch's own annotations of a range cover kernels that are listed by themselves.
        if event.device_type != kind or event.name.startswith(("Optimizer.", "ProfilerStep")):
            continue
        spent_us = event.time_range.elapsed_us() if on_gpu else event.self_cpu_time_total
        before_us, count = totals.get(event.name, (0.0, 0))
        totals[event.name] = before_us + spent_us, count + 1
    busy_ms = sum(spent_us for spent_us, _ in totals.values()) / 1e3
    top = sorted(totals.items(), key=lambda item: -item[1][0])[:TOP]
    return {
        "wall_ms": round(wall_ms, 3),
        "kernel_ms": round(busy_ms, 3),
        "busy": round(busy_ms / wall_ms, 3),
        "launches": sum(count for _, count in totals.values()),
        "top": [
            {"kernel": name[:_NAME_LENGTH], "ms": round(us / 1e3, 3), "calls": calls}
            for name, (us, calls) in top
        ],
    }


if __name__ == "__main__":
    main()
