"""Train the restorer while other processes render pairs: decode, wait, train, save."""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hifigan_cli.enhancement.config import EnhancerConfig
from hifigan_cli.io.tensor_file import read_tensors, write_tensors
from hifigan_cli.runtime.signals import StopSignal
from tests.tools.gpu.network import DEFAULT, Discriminators, FilteredMelRestorer
from tests.tools.gpu.pair_buffer import PairBuffer, to_device
from tests.tools.gpu.pairs import PAIR_FRAMES
from tests.tools.gpu.rendering import RenderingPlan, RenderWorkers
from tests.tools.gpu.training import ADVERSARIAL_START, RestorerTraining, StepRunner
from tests.tools.gpu.unpack import unpack
from tests.tools.gpu.validation import Validation

RESTORER_FILE, DISCRIMINATORS_FILE, LOG_FILE = (
    "restorer.safetensors",
    "discriminators.safetensors",
    "restorer.jsonl",
)
_N_MELS = 80
_RECEIVE_EVERY = 10  # steps
_POLL_S = 0.05
_TINY = EnhancerConfig(channels=16, stem_channels=4, kernel=3, dilations=(1, 2))


@dataclass(frozen=True)
class TrainingSizes:
    """Sizes that `--tiny` reduces."""

    config: EnhancerConfig = DEFAULT
    width: int = 32  # of the discriminators
    frames: int = PAIR_FRAMES
    batch_size: int = 64
    capacity: int = 24_576
    initial_pairs: int = 512  # needed before training starts
    validation_pairs: int = 128
    log_every: int = 50


TINY = TrainingSizes(_TINY, 4, 48, 4, 64, 4, 4, 10)


class RestorerTrainer:
    """One session of the training."""

    def __init__(self, options: argparse.Namespace, stop: StopSignal) -> None:
        self._options, self._stop = options, stop
        self._out: Path = options.out
        self._start = time.monotonic()
        self._end = self._start + 60 * options.minutes
        self._saved = self._logged = self._start
        self._sizes = TINY if options.tiny else TrainingSizes()
        torch.manual_seed(options.seed)
        device = torch.device(options.device)
        sizes = self._sizes
        self._buffer = PairBuffer(sizes.capacity, sizes.frames, _N_MELS, device)
        restorer = FilteredMelRestorer(sizes.config, _N_MELS)
        discriminators = Discriminators(sizes.width)
        loaded: dict[str, Any] = {}
        if options.init:
            loaded = _load(restorer, options.init)
            path = options.init.with_name(DISCRIMINATORS_FILE)
            if path.exists():
                _load(discriminators, path)
        self._training = RestorerTraining(
            restorer, discriminators, self._buffer, device, sizes.batch_size
        )
        self._training.step = int(loaded.get("step", 0))
        self._first_pair = int(loaded.get("pairs", 0))
        self._validation = Validation(sizes.validation_pairs)
        self._figures: dict[str, float] = {}

    def __call__(self) -> None:
        """Decode the pack, start rendering, and train until the time limit."""
        options, sizes = self._options, self._sizes
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            unpack(options.data, folder, options.workers)
            self._report("unpacked")
            plan = RenderingPlan(
                folder, options.seed, sizes.frames, sizes.validation_pairs, options.unfiltered
            )
            with RenderWorkers(plan, options.workers, self._first_pair) as workers:
                self._wait_for_pairs(workers)
                self._report(f"training starts with {len(self._buffer)} pairs")
                self._train(workers)
        self._save()

    def _wait_for_pairs(self, workers: RenderWorkers) -> None:
        """Wait for the validation pairs and the first training pairs."""
        until = self._start + self._options.prerender_seconds
        while (
            len(self._buffer) < self._sizes.initial_pairs
            or not self._validation.complete
            or time.monotonic() < until
        ):
            self._receive(workers)
            if not workers.alive():
                raise RuntimeError("the processes that render pairs have ended")
            if self._should_stop():
                raise RuntimeError("the time limit was reached before enough pairs were rendered")
            time.sleep(_POLL_S)

    def _receive(self, workers: RenderWorkers) -> None:
        for rendered in workers.receive():
            if rendered.validation:
                mels = to_device(rendered.mels, self._training.device)
                self._validation.add(rendered.numbers[0], mels[0])
            else:
                self._buffer.add(rendered.mels)

    def _train(self, workers: RenderWorkers) -> None:
        training, begin = self._training, time.monotonic()
        start = training.step
        self._logged = begin
        step = StepRunner(training, self._report, graph=self._options.graph)
        first = self._options.start_fraction
        while not self._should_stop():
            done = (time.monotonic() - begin) / max(self._end - begin, 1e-3)
            if self._options.steps:
                done = max(done, (training.step - start) / self._options.steps)
            if done >= 1:
                break
            fraction = first + (1 - first) * done
            if fraction >= ADVERSARIAL_START and not training.adversarial:
                training.begin_adversarial()
                self._report("adversarial training starts")
            used = (training.step - start) * self._sizes.batch_size
            if used > self._options.max_uses_per_pair * self._buffer.received:
                self._receive(workers)  # the CPUs render too slowly
                time.sleep(_POLL_S)
                continue
            step(fraction)
            if training.step % _RECEIVE_EVERY == 0:
                self._receive(workers)
            if training.step % self._sizes.log_every == 0:
                self._log(fraction)
                if time.monotonic() - self._saved > self._options.checkpoint_seconds:
                    self._save()

    def _should_stop(self) -> bool:
        return self._stop.requested() or time.monotonic() > self._end

    def _log(self, fraction: float) -> None:
        """Log the mean losses since the last call; this waits for the device."""
        count = self._sizes.log_every
        sums = self._training.read()
        figures = {name: round(value / count, 5) for name, value in sums.items()}
        now = time.monotonic()
        figures["ms_per_step"] = round(1e3 * (now - self._logged) / count, 2)
        self._logged = now
        self._write({"fraction": round(fraction, 4), "pairs": self._buffer.received, **figures})

    def _save(self) -> None:
        """Validate and write the checkpoint."""
        training, sizes = self._training, self._sizes
        self._figures = self._validation.measure(training.ema)
        description = {
            "kind": "restorer",
            "config": sizes.config.model_dump(mode="json"),
            "n_mels": _N_MELS,
            "step": training.step,
            "seconds": round(time.monotonic() - self._start, 1),
            "pairs": self._first_pair + self._buffer.received,
            "validation": self._figures,
        }
        write_tensors(self._out / RESTORER_FILE, _half_precision(training.ema), description)
        if training.adversarial:
            weights = _half_precision(training.discriminators)
            write_tensors(self._out / DISCRIMINATORS_FILE, weights, {"kind": "discriminators"})
        self._write(self._figures)
        self._saved = self._logged = time.monotonic()

    def _write(self, figures: dict[str, float]) -> None:
        """Append a line to the log and print it."""
        seconds = round(time.monotonic() - self._start, 1)
        line = json.dumps({"step": self._training.step, "seconds": seconds, **figures})
        with (self._out / LOG_FILE).open("a") as stream:
            stream.write(line + "\n")
        print(line, flush=True)

    def _report(self, event: str) -> None:
        print(f"{time.monotonic() - self._start:7.1f} s  {event}", flush=True)


def _half_precision(network: torch.nn.Module) -> dict[str, Tensor]:
    return {name: value.half() for name, value in network.state_dict().items()}


def _load(network: torch.nn.Module, path: Path) -> dict[str, Any]:
    """Load half-precision weights; return the file's description."""
    weights, description = read_tensors(path)
    network.load_state_dict({name: value.float() for name, value in weights.items()})
    return description
