"""What every phase of training shares: schedule, progress, checkpoints from which a killed run goes on exactly."""

import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from MediRoundLib.errors import MediRoundError
from training.files import refusing_foreign, written_whole
from training.log import Log
from training.recipe import PhaseRecipe
from training.shard import Step, load_optimizer, whole
from training.team import ALONE, Team

SAVE_EVERY_SECONDS = 120.0

Losses = Callable[[Any], dict[str, Tensor]]


def learning_rate_factor(step: int, phase: PhaseRecipe) -> float:
    """Linear warm-up, then linear decay to 0 at the last step (the released recipe's WarmupDecayLR)."""
    if step < phase.warmup:
        return (step + 1) / phase.warmup
    return max(0.0, (phase.steps - step) / max(1, phase.steps - phase.warmup))


@dataclass
class _Stop:
    """Set by the first interrupt: the step is finished and the state written before the run ends."""

    asked: bool = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        self.asked = True


class Steps(Dataset[Any]):
    """Item k is everything that step k needs; it depends on k alone, so that a resumed run draws the same."""

    def __init__(self, make: Callable[[int], Any], steps: int, first: int) -> None:
        self._make, self._steps, self._first = make, steps, first

    def __len__(self) -> int:
        return max(0, self._steps - self._first)

    def __getitem__(self, index: int) -> Any:
        try:
            return self._make(self._first + index)
        except MediRoundError as error:  # raised in a worker it would come with the worker's traceback
            return error


def let_learn(model: nn.Module, phase: PhaseRecipe, learns: Callable[[str], bool] = lambda _: True) -> None:
    """Let those parameters require gradients whose names `learns` takes, but for what the phase freezes."""
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(learns(name) and not name.startswith(phase.frozen))


def optimizers(model: nn.Module, phase: PhaseRecipe) -> list[torch.optim.Optimizer]:
    """What `phase` trains the parameters of `model` with that require gradients.

    Muon (Jordan et al. 2024) takes the matrices between hidden features, scaled so that AdamW's learning rates serve
    (Liu et al. 2025, arXiv 2502.16982, Section 2.2); AdamW takes everything else, such as embeddings and convolutions.
    """
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    matrices = _hidden_matrices(model) if phase.optimizer == "muon" else []
    chosen = {id(matrix) for matrix in matrices}
    rest = [parameter for parameter in trained if id(parameter) not in chosen]
    found: list[torch.optim.Optimizer] = []
    if rest:
        found.append(torch.optim.AdamW(rest, lr=phase.lr, betas=(0.9, 0.95), weight_decay=phase.weight_decay))
    if matrices:
        found.append(
            torch.optim.Muon(
                matrices, lr=phase.lr, weight_decay=phase.weight_decay, adjust_lr_fn="match_rms_adamw", ns_steps=5
            )
        )
    return found


def _hidden_matrices(model: nn.Module) -> list[nn.Parameter]:
    """Weights of the linear layers that learn, but of the vocabulary's, whose rows are words and no features."""
    return [
        parameter
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and not name.endswith("lm_head")
        for parameter in (module.weight,)
        if isinstance(parameter, nn.Parameter) and parameter.requires_grad
    ]


@dataclass(frozen=True)
class Task:
    """What one phase trains.

    Attributes:
        label: name in the progress bar and of the files.
        model: what is trained, as far as it requires gradients.
        state, restore: the trained tensors by name, to and from the file; `restore` raises ValueError or RuntimeError
            for tensors of another model.
        make_batch: number to a batch; a pure function of the number.
        losses: batch to named losses, 0-d; "loss" is minimised, all are shown. Without gradients it may give more.
        held_out: batches of patients that are not trained on, for a look in between (see `PhaseRecipe.check`).
        layers: parts that a team which splits models gathers one after the other; called in `losses` as modules.
    """

    label: str
    model: nn.Module
    state: Callable[[], dict[str, Tensor]]
    restore: Callable[[dict[str, Tensor]], None]
    make_batch: Callable[[int], Any]
    losses: Losses
    held_out: Callable[[int], Any] | None = None
    layers: Sequence[nn.Module] = ()


def train(task: Task, phase: PhaseRecipe, run: Path, workers: int = 0, team: Team = ALONE) -> bool:
    """Train one phase; go on from RUN/LABEL.pt where it holds this phase's state.

    Args:
        task: what is trained.
        phase: settings.
        run: folder; gets LABEL.pt every two minutes, on interrupt and at the end, and TensorBoard's events in
            log/LABEL.
        workers: processes that prepare batches; 0 to do it in this one.
        team: the processes that share the work; `task.make_batch` makes this one's part of a batch.

    Raises:
        MediRoundError: loss or gradient is not finite, or the file holds no state or another model's.

    A team that splits models leaves this one split.

    Returns:
        Whether the next phase may begin; False after an interrupt (run the same command again to go on).
    """
    path = run / f"{task.label}.pt"
    forward, steppers, first = _prepare(task, phase, path, team)
    trained = [parameter for parameter in task.model.parameters() if parameter.requires_grad]
    stop = _Stop()
    previous = signal.signal(signal.SIGINT, stop), signal.signal(signal.SIGTERM, stop)
    log = Log(run / "log" / task.label, task.label, phase.steps, first, team.leads)
    saved_at = time.monotonic()
    step, stopping = first, False
    try:
        batches = iter(_batches(task.make_batch, first * phase.accumulate, phase.steps * phase.accumulate, workers))
        for step in range(first, phase.steps):
            for group in (group for stepper in steppers for group in stepper.param_groups):
                group["lr"] = phase.lr * learning_rate_factor(step, phase)
            torch.manual_seed(step)  # dropout too depends on the step alone
            found = _backward(task, forward, phase, batches, step)
            if not team.splits:  # else they were averaged on their way back
                team.average(trained)
            norm = whole(nn.utils.get_total_norm([each.grad for each in trained if each.grad is not None]))
            nn.utils.clip_grads_with_norm_(trained, 1.0, norm)
            if not torch.isfinite(norm):
                raise MediRoundError(
                    f"{task.label}: the gradient is not finite at step {step}; lower `lr` in the recipe."
                )
            for stepper in steppers:
                stepper.step()
            log.step(found)
            step += 1
            due = phase.check and (step % phase.check == 0 or step == phase.steps)
            if task.held_out and due and (team.leads or team.splits):
                log.look(_look(task, forward, phase), step)
            stopping = team.any(stop.asked)
            late = team.any(time.monotonic() - saved_at > SAVE_EVERY_SECONDS)
            if stopping or late or step == phase.steps:
                if team.leads or team.splits:
                    kept = whole([stepper.state_dict() for stepper in steppers])
                    content = {"step": step, "state": whole(task.state()), "optimizers": kept}
                if team.leads:
                    with written_whole(path) as beside:
                        torch.save(content, beside)
                saved_at = time.monotonic()
            if stopping:
                break
    finally:
        log.close()
        signal.signal(signal.SIGINT, previous[0])
        signal.signal(signal.SIGTERM, previous[1])
    team.wait()  # the next phase reads what the leading process wrote
    return not stopping


def _prepare(task: Task, phase: PhaseRecipe, path: Path, team: Team) -> tuple[Losses, list[torch.optim.Optimizer], int]:
    """What makes a batch's losses, the optimizers, and how many steps lie behind the state in `path`."""
    kept: dict[str, Any] | None = None
    if path.exists():
        with refusing_foreign(path):
            kept = torch.load(path, "cpu", weights_only=True)
            task.restore(kept["state"])
    forward: Losses = task.losses
    if team.splits:
        # Splitting puts other parameters in the place of the model's, so there may be no optimizer yet.
        forward = split = Step(task.model, task.losses)
        split.split(task.layers, team.device, team.size)
    steppers = optimizers(task.model, phase)
    if kept is None:
        return forward, steppers, 0
    with refusing_foreign(path):
        for stepper, held in zip(steppers, kept["optimizers"], strict=True):
            load_optimizer(stepper, held)
        return forward, steppers, int(kept["step"])


def _next(batches: Iterator[Any]) -> Any:
    batch = next(batches)
    if isinstance(batch, MediRoundError):
        raise batch
    return batch


def _backward(task: Task, forward: Losses, phase: PhaseRecipe, batches: Iterator[Any], step: int) -> dict[str, Tensor]:
    """Gradients of one step, over `phase.accumulate` batches; the mean of their losses."""
    task.model.zero_grad(set_to_none=True)
    total: dict[str, Tensor] = {}
    for _ in range(phase.accumulate):
        with _half(task.model, phase):
            found = forward(_next(batches))
        if not torch.isfinite(found["loss"]):
            raise MediRoundError(f"{task.label}: the loss is not finite at step {step}; lower `lr` in the recipe.")
        (found["loss"] / phase.accumulate).backward()
        for name, value in found.items():
            total[name] = total.get(name, torch.zeros(())) + value.detach().cpu() / phase.accumulate
    return total


def _look(task: Task, forward: Losses, phase: PhaseRecipe) -> dict[str, float]:
    """The mean losses of the held-out batches; nothing learns from them, and the random numbers of training stay."""
    assert task.held_out is not None
    was = task.model.training
    task.model.eval()
    total: dict[str, float] = {}
    with torch.no_grad(), _half(task.model, phase):
        for number in range(phase.check_batches):
            for name, value in forward(task.held_out(number)).items():
                total[name] = total.get(name, 0.0) + float(value) / phase.check_batches
    if isinstance(forward, Step):
        forward.let_go()
    task.model.train(was)
    return total


def _half(model: nn.Module, phase: PhaseRecipe) -> torch.autocast:
    device = next(model.parameters()).device
    return torch.autocast(device.type, torch.bfloat16, enabled=phase.precision == "bf16")


def _batches(make: Callable[[int], Any], first: int, end: int, workers: int) -> DataLoader[Any]:
    return DataLoader(
        Steps(make, end, first),
        batch_size=None,
        num_workers=workers,
        prefetch_factor=2 if workers else None,
        multiprocessing_context="fork" if workers else None,
        worker_init_fn=_leave_group,
    )


def _leave_group(worker: int) -> None:
    """Keep signals to the run's process group from its workers: the step under way still needs them."""
    os.setpgid(0, 0)
