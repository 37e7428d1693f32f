"""Parallel training: processes that `torchrun` began share each batch and average their gradients.

    torchrun --nproc-per-node 2 -m training.train --recipe tiny ...

It serves several GPUs and several machines, and the cores of a CPU too: small networks use two cores better in two
processes than in one. Several machines share the folder of the run: the first process writes the states, all read them.
"""

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import distributed, nn

from MediRoundLib.errors import MediRoundError


@dataclass(frozen=True)
class Team:
    """The processes of one run.

    Attributes:
        rank: this one's number from 0.
        size: their count.
        splits: whether a model is split over them (see `shard`), and not held whole by each.
        device: "cpu" or "cuda", where their parts lie.
    """

    rank: int = 0
    size: int = 1
    splits: bool = False
    device: str = "cpu"

    @property
    def leads(self) -> bool:
        """Whether this process writes files and shows progress."""
        return self.rank == 0

    def share(self, step: int, batch: int) -> range:
        """Numbers of the samples of a step's batch that are this process's.

        Raises:
            MediRoundError: the batch cannot be shared evenly.
        """
        if batch % self.size:
            raise MediRoundError(
                f"A batch of {batch} cannot be shared by {self.size} processes; change `batch` in the recipe."
            )
        return range(step * batch + self.rank, (step + 1) * batch, self.size)

    def average(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace gradients by their mean over all processes; a parameter that one has no gradient for counts as 0."""
        if self.size == 1:
            return
        parameters = list(parameters)
        for parameter in parameters:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        flat = torch.cat([parameter.grad.flatten() for parameter in parameters if parameter.grad is not None])
        distributed.all_reduce(flat)
        flat /= self.size
        for parameter, grad in zip(parameters, flat.split([p.numel() for p in parameters]), strict=True):
            parameter.grad = grad.view_as(parameter)

    def any(self, said: bool) -> bool:
        """Whether any process says so: all learn the same."""
        if self.size == 1:
            return said
        votes = torch.tensor(float(said), device="cuda" if distributed.get_backend() == "nccl" else "cpu")
        distributed.all_reduce(votes)
        return bool(votes > 0)

    def wait(self) -> None:
        """Go on when all processes are here."""
        if self.size > 1:
            distributed.barrier()

    def leader_first(self, work: Callable[[], None]) -> None:
        """Let the leading process do a piece of work, while the others wait."""
        if self.leads:
            work()
        self.wait()


ALONE = Team()


def join(device: str = "auto", splits: bool = False) -> Team:
    """The team that `torchrun` names in this process's environment; without one a team of one.

    On GPUs each process takes the one of its own number, which "cuda" means from then on.

    Args:
        device: as for `devices.choose_device`.
        splits: whether the recipe asks for it; a team of one has nothing to split.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        return ALONE
    cuda = torch.cuda.is_available() and device != "cpu"
    if cuda:
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    if not distributed.is_initialized():
        distributed.init_process_group("nccl" if cuda else "gloo")
    return Team(distributed.get_rank(), size, splits, "cuda" if cuda else "cpu")
