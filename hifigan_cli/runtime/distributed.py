"""One process or several: under `torchrun` every process trains on its share of each batch.

torchrun gives each process its rank through environment variables. DistributedDataParallel averages
the gradients; here are the few other moments at which the processes must agree. With one process,
each of these functions returns what it was given.

When one process dies, the next exchange of gradients fails in the others, and all end. With
`--max-restarts` torchrun then restarts them, and they go on from the last checkpoint, as after
any other stop; there is nothing else to an elastic restart.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import torch
import torch.distributed as dist

from hifigan_cli.errors import DeviceError
from hifigan_cli.runtime.rendezvous import rendezvous
from hifigan_cli.runtime.sharding import Shard

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor

T = TypeVar("T")


@dataclass(frozen=True)
class DistributedContext:
    """This process among the others; a single one is rank 0 of 1."""

    rank: int
    world: int
    device: torch.device

    @property
    def main(self) -> bool:
        """Whether this is the process that writes and reports."""
        return self.rank == 0

    @property
    def part(self) -> Shard:
        """This process's part of work that each does by itself."""
        return Shard(self.rank + 1, self.world)

    def mean(self, value: Tensor) -> Tensor:
        """Average a tensor over the processes."""
        if self.world > 1:
            dist.all_reduce(value)
            value = value / self.world
        return value

    def sums(self, values: Sequence[float]) -> list[float]:
        """Sum each number over the processes."""
        if self.world == 1:
            return list(values)
        total = torch.tensor(values, dtype=torch.float64, device=self.device)
        dist.all_reduce(total)
        return [float(value) for value in total.tolist()]

    def any(self, flag: int) -> int:
        """Return the highest of the processes' flags."""
        if self.world == 1:
            return flag
        highest = torch.tensor(flag, device=self.device)
        dist.all_reduce(highest, op=dist.ReduceOp.MAX)
        return int(highest)

    def from_main(self, value: T) -> T:
        """Give every process the main one's value, which must be small."""
        if self.world == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box, src=0, device=self.device)
        return box[0]


@contextmanager
def process_group(device: torch.device) -> Iterator[DistributedContext]:
    """Join the group that torchrun's environment describes, if there is one.

    On CUDA each process takes the GPU of its LOCAL_RANK.

    Raises:
        DeviceError: there are more processes on this machine than GPUs, or another one ended or
            never came.
    """
    world = int(os.environ.get("WORLD_SIZE", "1"))
    own_gpu = device.type == "cuda"
    if world > 1 and own_gpu:
        device = _own_gpu(int(os.environ.get("LOCAL_RANK", "0")))
    if own_gpu:  # what names no GPU, such as NCCL, would open the first one too
        torch.cuda.set_device(device)
    if world == 1:
        yield DistributedContext(0, 1, device)
        return
    store, rank, world = rendezvous()
    dist.init_process_group(
        "nccl" if own_gpu else "gloo",
        store=store,
        rank=rank,
        world_size=world,
        device_id=device if own_gpu else None,
    )
    try:
        yield DistributedContext(dist.get_rank(), world, device)
    except RuntimeError as error:
        # Another process is gone. NCCL's failures have classes; gloo's are plain RuntimeErrors that
        # name their place in its sources.
        if not (isinstance(error, dist.DistError) or "gloo" in str(error)):
            raise
        raise DeviceError(
            "another process of this run ended, and so this one has to",
            "the same command goes on from the last checkpoint; `torchrun --max-restarts 3` does "
            "that by itself",
        ) from error
    finally:
        dist.destroy_process_group()


def _own_gpu(local_rank: int) -> torch.device:
    count = torch.cuda.device_count()
    if local_rank >= count:
        raise DeviceError(
            f"process {local_rank} has no GPU: this machine has {count}",
            f"torchrun --nproc-per-node {count}",
        )
    return torch.device("cuda", local_rank)
