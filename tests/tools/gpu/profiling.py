"""Print the kernels that take the most time in a training step or in a forward pass.

    python -m tests.tools.gpu.profiling training --preset v1 --batch 16
    python -m tests.tools.gpu.profiling synthesis --preset v1 --batch 1 --seconds 5

The output is one JSON line. `busy` is the share of the wall time in which a kernel runs; in the
rest, the device waits for the host. On the CPU, the operators are measured instead.
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

from hifigan_cli.benchmarks.machine import synchronize
from hifigan_cli.benchmarks.training import synthetic_batch
from hifigan_cli.benchmarks.variants import random_model
from hifigan_cli.config import PRESETS, Config, TrainConfig
from hifigan_cli.engines.selection import EngineOptions, build_engine
from hifigan_cli.training.cuda_graphs import WARM_UP_STEPS, GraphedStep, can_capture
from hifigan_cli.training.nonfinite_guard import NonfiniteGuard
from hifigan_cli.training.reference import ReferenceStep
from hifigan_cli.training.state import VocoderState
from hifigan_cli.training.step import mel_transforms, train_step
from hifigan_cli.training.vocoder import configure_determinism
from tests.models_for_tests import TINY, tiny_model

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TOP_KERNELS = 10
TIMED_RUNS = 5
_NAME_LENGTH = 110


def main() -> None:
    """Profile every variant and print the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", choices=("training", "synthesis"))
    parser.add_argument("--preset", default="v1", choices=sorted(PRESETS))
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument(
        "--seconds", type=float, default=5.0, help="length of the speech, for synthesis"
    )
    parser.add_argument(
        "--segment", type=int, default=8192, help="segment size in samples, for training"
    )
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--tiny", action="store_true", help="smallest networks, for tests")
    options = parser.parse_args()
    if options.tiny:
        options.batch, options.seconds, options.segment = 1, 0.2, 512
    forms = training_forms if options.work == "training" else synthesis_forms
    device = torch.device(options.device)
    runs = 1 if options.tiny else TIMED_RUNS
    results = {name: measure(run, device, runs) for name, run in forms(options, device)}
    print(json.dumps({"event": "profile", **vars(options), "forms": results}))


def training_forms(
    options: argparse.Namespace, device: torch.device
) -> Iterator[tuple[str, Callable[[], object]]]:
    """Yield the reference step, the optimized one, and that as a CUDA graph; bf16 on a GPU."""
    configure_determinism(deterministic=False)

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

    state = build("fp32")
    batch, mels = synthetic_batch(state.config), mel_transforms(state.config, device)
    reference = ReferenceStep(state)
    if not options.tiny:
        yield "reference", lambda: reference(batch, mels)
    precision = "fp32" if device.type == "cpu" else "bf16"
    optimized, guard = build(precision), NonfiniteGuard(device)
    yield f"optimized {precision}", lambda: train_step(optimized, batch, mels, guard)
    if can_capture(optimized):
        step = GraphedStep(optimized, mels, guard, print)
        for _ in range(WARM_UP_STEPS + 1):
            step(batch)
        yield f"optimized {precision} graph", lambda: step(batch)


def synthesis_forms(
    options: argparse.Namespace, device: torch.device
) -> Iterator[tuple[str, Callable[[], object]]]:
    """Yield the eager forward pass, and the torch engine in every precision of the device."""
    model = tiny_model() if options.tiny else random_model(PRESETS[options.preset])
    frames = round(options.seconds * model.mel.sample_rate / model.mel.hop_length)
    shape = options.batch, model.mel.n_mels, frames
    mel = np.random.default_rng(0).normal(-5, 2, shape).astype(np.float32)
    precisions = ("fp32",) if device.type == "cpu" else ("fp32", "bf16", "fp16")
    for engine, precision in (("eager", "fp32"), *(("torch", name) for name in precisions)):
        runner = build_engine(model, EngineOptions(engine, precision, str(device)), str(device))
        yield f"{engine} {precision}", partial(runner.synthesize, mel)


def measure(run: Callable[[], object], device: torch.device, runs: int) -> dict[str, Any]:
    """Return the wall time of a run, the share of kernel time, and the top kernels."""
    for _ in range(runs):
        run()
    synchronize(device)
    started = time.perf_counter()
    for _ in range(runs):
        run()
    synchronize(device)
    wall_ms = 1e3 * (time.perf_counter() - started) / runs
    on_gpu = device.type == "cuda"
    # Host events are left out: sorting tens of thousands per step takes the profiler too long.
    activity = ProfilerActivity.CUDA if on_gpu else ProfilerActivity.CPU
    with profile(activities=[activity]) as recorded:
        run()
        synchronize(device)
    kind = DeviceType.CUDA if on_gpu else DeviceType.CPU
    totals: dict[str, tuple[float, int]] = {}
    for event in recorded.events() or ():
        # Annotations of torch contain kernels that are also listed separately.
        if event.device_type != kind or event.name.startswith(("Optimizer.", "ProfilerStep")):
            continue
        duration_us = event.time_range.elapsed_us() if on_gpu else event.self_cpu_time_total
        before_us, count = totals.get(event.name, (0.0, 0))
        totals[event.name] = before_us + duration_us, count + 1
    busy_ms = sum(duration_us for duration_us, _ in totals.values()) / 1e3
    top = sorted(totals.items(), key=lambda item: -item[1][0])[:TOP_KERNELS]
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
