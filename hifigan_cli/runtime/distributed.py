"""Train in one process or several: under `torchrun` each process gets its share of each batch.

torchrun gives each process its rank through environment variables. DistributedDataParallel averages
the gradients; this module contains the few other exchanges. With one process, each of them returns
its argument.

When one process dies, the next exchange of gradients fails in the others, and all end. With
`--max-restarts` torchrun then restarts them, and they continue from the last checkpoint, as after
any other stop. An elastic restart needs nothing else.
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
    """This process's rank among all processes; a single process is rank 0 of 1."""

    rank: int
    world_size: int
    device: torch.device

    @property
    def is_main(self) -> bool:
        """Whether this is the process that writes and reports."""
        return self.rank == 0

    @property
    def shard(self) -> Shard:
        """This process's shard of a list of work."""
        return Shard(self.rank + 1, self.world_size)

    def mean(self, value: Tensor) -> Tensor:
        """Average a tensor over the processes."""
        if self.world_size > 1:
            dist.all_reduce(value)
            value = value / self.world_size
        return value

    def sum(self, values: Sequence[float]) -> list[float]:
        """Sum each number over the processes."""
        if self.world_size == 1:
            return list(values)
        total = torch.tensor(values, dtype=torch.float64, device=self.device)
        dist.all_reduce(total)
        return [float(value) for value in total.tolist()]

    def max(self, value: int) -> int:
        """Return the highest value of all processes."""
        if self.world_size == 1:
            return value
        highest = torch.tensor(value, device=self.device)
        dist.all_reduce(highest, op=dist.ReduceOp.MAX)
        return int(highest)

    def broadcast(self, value: T) -> T:
        """Return the main process's value, which must be small, in every process."""
        if self.world_size == 1:
            return value
        values = [value]
        dist.broadcast_object_list(values, src=0, device=self.device)
        return values[0]


@contextmanager
def process_group(device: torch.device) -> Iterator[DistributedContext]:
    """Join the process group that torchrun's environment describes, if any.

    On CUDA each process uses the GPU of its LOCAL_RANK.

    Raises:
        DeviceError: this machine has fewer GPUs than processes, or another process ended or never
            joined.
    """
    world_size = int(os.environ.get("WORLD_SIZE", "1"))
    on_gpu = device.type == "cuda"
    if world_size > 1 and on_gpu:
        device = _local_gpu(int(os.environ.get("LOCAL_RANK", "0")))
    if on_gpu:  # code that does not choose a GPU, such as NCCL, would use the first
        torch.cuda.set_device(device)
    if world_size == 1:
        yield DistributedContext(0, 1, device)
        return
    store, rank, world_size = rendezvous()
    dist.init_process_group(
        "nccl" if on_gpu else "gloo",
        store=store,
        rank=rank,
        world_size=world_size,
        device_id=device if on_gpu else None,
    )
    try:
        yield DistributedContext(dist.get_rank(), world_size, device)
    except RuntimeError as error:
        # Another process ended. NCCL's failures have classes; gloo's are plain RuntimeErrors whose
        # message contains its source path.
        if not (isinstance(error, dist.DistError) or "gloo" in str(error)):
            raise
        raise DeviceError(
            "another process of this run ended, so this one stops",
            "run the same command again to continue from the last checkpoint; "
            "`torchrun --max-restarts 3` does that automatically",
        ) from error
    finally:
        dist.destroy_process_group()


def _local_gpu(local_rank: int) -> torch.device:
    count = torch.cuda.device_count()
    if local_rank >= count:
        raise DeviceError(
            f"process {local_rank} has no GPU: this machine has {count}",
            f"use torchrun --nproc-per-node {count}",
        )
    return torch.device("cuda", local_rank)
