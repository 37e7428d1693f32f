"""What a run says of itself while it trains: a progress bar with the time left, and TensorBoard's events."""

import sys
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

WRITE_EVERY_STEPS = 10


class Log:
    """Of one phase; silent where `speaks` is False."""

    def __init__(self, folder: Path, label: str, steps: int, first: int, speaks: bool) -> None:
        self._label, self._step = label, first
        self._shown: dict[str, float] = {}
        self._bar = tqdm(total=steps, initial=first, desc=label, file=sys.stderr, mininterval=5, disable=not speaks)
        # What a killed run wrote behind the state that it goes on from is dropped.
        self._events = SummaryWriter(str(folder), purge_step=first) if speaks and first < steps else None

    def step(self, losses: Mapping[str, Tensor]) -> None:
        """One more step with these losses; they are shown as running means."""
        if self._bar.disable:
            return
        for name, loss in losses.items():
            value = float(loss)
            self._shown[name] = 0.97 * self._shown.get(name, value) + 0.03 * value
        self._step += 1
        self._bar.set_postfix({name: f"{value:.3f}" for name, value in self._shown.items()}, refresh=False)
        self._bar.update()
        if self._step % WRITE_EVERY_STEPS == 0:
            self._write("train", self._shown)

    def look(self, means: Mapping[str, float], step: int) -> None:
        """What held-out patients gave after `step` steps."""
        said = ", ".join(f"{name} {value:.3f}" for name, value in means.items())
        self._bar.write(f"{self._label}, held-out patients after {step} steps: {said}", file=sys.stderr)
        self._write("held out", means)

    def close(self) -> None:
        self._bar.close()
        if self._events:
            self._events.close()

    def _write(self, group: str, values: Mapping[str, float]) -> None:
        if self._events:
            for name, value in values.items():
                self._events.add_scalar(f"{group}/{name}", value, self._step)
