"""What every phase of training shares: schedule, progress, checkpoints from which a killed run goes on exactly."""

import os
import pickle
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from MediRoundLib.errors import MediRoundError
from training.recipe import PhaseRecipe

SAVE_EVERY_SECONDS = 120.0


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
        return self._make(self._first + index)


def train(
    parameters: Iterable[nn.Parameter],
    state: Callable[[], dict[str, Tensor]],
    restore: Callable[[dict[str, Tensor]], None],
    make_batch: Callable[[int], Any],
    losses: Callable[[Any], dict[str, Tensor]],
    phase: PhaseRecipe,
    path: Path,
    workers: int,
    label: str,
) -> bool:
    """Train one phase; go on from `path` where it holds this phase's state.

    Args:
        parameters: what is trained.
        state, restore: the trained tensors by name, to and from the file; `restore` raises ValueError or RuntimeError
            for tensors of another model.
        make_batch: step number to a batch; a pure function of the number.
        losses: batch to named losses; "loss" is minimised, all are shown.
        phase: settings.
        path: file of the run's state, written every two minutes, on interrupt and at the end.
        workers: processes that prepare batches; 0 to do it in this one.
        label: name in the progress bar.

    Raises:
        MediRoundError: loss or gradient is not finite, or `path` holds no state or another model's.

    Returns:
        Whether the next phase may begin; False after an interrupt (run the same command again to go on).
    """
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=phase.lr, betas=(0.9, 0.95), weight_decay=phase.weight_decay)
    first = _go_on(path, restore, optimizer) if path.exists() else 0
    stop = _Stop()
    previous = signal.signal(signal.SIGINT, stop), signal.signal(signal.SIGTERM, stop)
    batches = DataLoader(
        Steps(make_batch, phase.steps, first),
        batch_size=None,
        num_workers=workers,
        prefetch_factor=2 if workers else None,
        multiprocessing_context="fork" if workers else None,
        worker_init_fn=_leave_group,
    )
    bar = tqdm(_numbered(batches, first), total=phase.steps, initial=first, desc=label, file=sys.stderr, mininterval=5)
    shown: dict[str, float] = {}
    saved_at = time.monotonic()
    step = first
    try:
        for step, batch in bar:
            for group in optimizer.param_groups:
                group["lr"] = phase.lr * learning_rate_factor(step, phase)
            torch.manual_seed(step)  # dropout too depends on the step alone
            found = losses(batch)
            if not torch.isfinite(found["loss"]):
                raise MediRoundError(f"{label}: the loss is not finite at step {step}; lower `lr` in the recipe.")
            optimizer.zero_grad(set_to_none=True)
            found["loss"].backward()
            if not torch.isfinite(nn.utils.clip_grad_norm_(trained, 1.0)):
                raise MediRoundError(f"{label}: the gradient is not finite at step {step}; lower `lr` in the recipe.")
            optimizer.step()
            for name, value in found.items():
                shown[name] = 0.97 * shown.get(name, float(value.detach())) + 0.03 * float(value.detach())
            bar.set_postfix({name: f"{value:.3f}" for name, value in shown.items()}, refresh=False)
            step += 1
            if stop.asked or step == phase.steps or time.monotonic() - saved_at > SAVE_EVERY_SECONDS:
                _save(path, {"step": step, "state": state(), "optimizer": optimizer.state_dict()})
                saved_at = time.monotonic()
            if stop.asked:
                break
    finally:
        signal.signal(signal.SIGINT, previous[0])
        signal.signal(signal.SIGTERM, previous[1])
    return step >= phase.steps and not stop.asked


def _go_on(path: Path, restore: Callable[[dict[str, Tensor]], None], optimizer: torch.optim.Optimizer) -> int:
    """Take up the state in `path`; returns how many steps it has behind it."""
    try:
        kept = torch.load(path, "cpu", weights_only=True)
        restore(kept["state"])
        optimizer.load_state_dict(kept["optimizer"])
        return int(kept["step"])
    except (RuntimeError, ValueError, KeyError, TypeError, EOFError, pickle.UnpicklingError) as error:
        raise MediRoundError(f"{path} holds no state of this model and recipe; choose another --run folder.") from error


def _leave_group(worker: int) -> None:
    """Keep signals to the run's process group from its workers: the step under way still needs them."""
    os.setpgid(0, 0)


def _numbered(batches: Iterable[Any], first: int) -> Iterator[tuple[int, Any]]:
    yield from enumerate(batches, first)


def _save(path: Path, content: dict[str, Any]) -> None:
    """Write beside and rename, so that a kill in between leaves the old state."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".part")
    torch.save(content, beside)
    beside.replace(path)
