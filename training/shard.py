"""A model split over the processes of a run, so that none holds it whole: torch's FSDP2 (`fully_shard`).

Each process keeps a part of every tensor and gathers the others' while it works on a layer (Zhao et al. 2023, arXiv
2304.11277; ZeRO's third stage). What leaves for a file is whole, so that a run may go on with another number of
processes.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor


class Step(nn.Module):
    """A model and its losses as one module, whose `forward` is a step: FSDP gathers parameters when that is called."""

    def __init__(self, model: nn.Module, losses: Callable[[Any], dict[str, Tensor]]) -> None:
        super().__init__()
        self.model = model
        self._losses = losses
        self._own: list[str] = []

    def split(self, layers: Sequence[nn.Module], device: str, size: int) -> None:
        """Split the model over `size` processes: each of its `layers` by itself, what is around them together."""
        mesh = init_device_mesh(device, (size,))
        inside = {id(parameter) for layer in layers for parameter in layer.parameters()}
        self._own = [name for name, each in self.model.named_parameters() if id(each) not in inside]
        for layer in layers:
            fully_shard(layer, mesh=mesh)
        fully_shard(self, mesh=mesh)

    def let_go(self) -> None:
        """Forget what was gathered: only a backward pass would do it, and there is none after a look."""
        for part in self.modules():
            if isinstance(part, FSDPModule):
                part.reshard()

    def forward(self, batch: Any) -> dict[str, Tensor]:
        found = self._losses(batch)
        if torch.is_grad_enabled() and self._own:
            # What a batch does not use, such as the embedding of boxes where nothing is referred to, needs its zeros:
            # the processes add up gradients one after the other and must all have the same.
            named = dict(self.model.named_parameters())
            learning = [named[name] for name in self._own if named[name].requires_grad]
            found["loss"] = found["loss"] + 0.0 * sum(each.flatten()[0] for each in learning)
        return found


def whole(value: Any) -> Any:
    """Tensors, or mappings and sequences of such, with every part from all processes, which must all ask for it."""
    if isinstance(value, DTensor):
        return value.full_tensor()
    if isinstance(value, Mapping):
        return {key: whole(each) for key, each in value.items()}
    return [whole(each) for each in value] if isinstance(value, list | tuple) else value


def load_optimizer(stepper: torch.optim.Optimizer, held: Mapping[str, Any]) -> None:
    """Give an optimizer a state of whole tensors; where its parameters are split, so are these."""
    parameters = [each for group in stepper.param_groups for each in group["params"]]
    state = {
        number: {name: _like(parameters[number], value) for name, value in own.items()}
        for number, own in held["state"].items()
    }
    stepper.load_state_dict({**held, "state": state})


def _like(parameter: Tensor, value: Any) -> Any:
    if not isinstance(parameter, DTensor) or not isinstance(value, Tensor) or value.shape != parameter.shape:
        return value
    return distribute_tensor(value.to(parameter.device), parameter.device_mesh, parameter.placements)
