"""One training in several processes (torchrun): who computes which rows of a batch, and what all of them agree on.

Every process holds all data and walks the same steps with the same seeds; process r of n computes the rows r, r + n, ...
of each batch. Losses are sums over those rows, scaled so that DistributedDataParallel's average over the processes is the
mean over the whole batch, also where the rows do not divide evenly. So n processes train what one would.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel


@dataclass(frozen=True)
class Processes:
    """rank: of this process; world: how many there are; device: that collectives run on."""

    rank: int = 0
    world: int = 1
    device: torch.device = torch.device("cpu")  # noqa: RUF009

    @property
    def main(self) -> bool:
        """Whether this process writes the run folder and validates."""
        return self.rank == 0

    def rows(self, count: int) -> slice:
        """This process's rows of a batch of `count`: interleaved, so that its first rows are spread over all processes."""
        return slice(self.rank, count, self.world)

    def leading(self, count: int) -> int:
        """How many of its rows this process computes so that all of the batch's first `count` are; one at the least, since
        backward passes break on empty batches.
        """
        return max(1, self._leading(count))

    def share(self, values: Tensor, count: int) -> Tensor:
        """This process's part of the mean over the first `count` rows of the batch; the average over all processes of the
        parts is that mean. values: (n,), one for each of this process's rows, in order; those behind `count` do not count.
        """
        return values[: self._leading(count)].sum() * (self.world / count)

    def _leading(self, count: int) -> int:
        return len(range(self.rank, count, self.world))

    def average(self, tensor: Tensor) -> Tensor:
        """The mean of `tensor` over all processes, detached, the same bits on each of them."""
        tensor = tensor.detach()
        if self.world > 1:
            tensor = tensor.clone()
            dist.all_reduce(tensor)
            tensor /= self.world
        return tensor

    def agree(self, value: float) -> float:
        """The main process's value."""
        if self.world == 1:
            return value
        tensor = torch.tensor([value], dtype=torch.float64, device=self.device)
        dist.broadcast(tensor, 0)
        return tensor.item()

    def any(self, value: bool) -> bool:
        """Whether it is true in one of the processes."""
        if self.world == 1:
            return value
        return self.average(torch.tensor([float(value)], device=self.device)).item() > 0

    def wrap(self, module: nn.Module) -> nn.Module:
        """`module`, with gradients averaged over the processes in the backward pass. Call the result, not the module."""
        if self.world == 1:
            return module
        devices = [self.device.index] if self.device.type == "cuda" else None
        return DistributedDataParallel(module, device_ids=devices)


def join_processes(kind: str) -> Processes:
    """Join the processes that torchrun started, over nccl on `cuda` (one GPU each) and gloo on `cpu`; alone without it."""
    rank, world = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    device = torch.device(kind, int(os.environ.get("LOCAL_RANK", 0))) if kind == "cuda" else torch.device(kind)
    if kind == "cuda":
        torch.cuda.set_device(device)
    if world > 1 and not dist.is_initialized():
        dist.init_process_group("nccl" if kind == "cuda" else "gloo")
    return Processes(rank, world, device)


def leave_processes() -> None:
    """Close the connection after a run that went well."""
    if dist.is_initialized():
        dist.destroy_process_group()


def is_lost_peer(error: RuntimeError) -> bool:
    """Whether `error` only says that another process is gone."""
    if not dist.is_initialized():
        return False
    return isinstance(error, dist.DistError) or "closed by peer" in str(error) or "reset by peer" in str(error)
