"""`torch.compile` for the parts of a round whose shapes never change, with the way back where it does not work."""

import warnings
from collections.abc import Callable
from functools import wraps
from typing import Any

import torch

from MediRoundLib.modeling import MediRound

# SAM's image encoder and mask decoder. The language model's lengths change with every round.
PARTS = ("encode_image", "draw")


class CompiledSam:
    """Compiles SAM's parts of a model, each when it is used first; after any failure all of them run as they were.

    A compiler need not be there, may not know the processor, or may run out of memory: the answer comes all the same.

    Attributes:
        works: False once something failed.
    """

    def __init__(self, model: MediRound) -> None:
        self.works = True
        self._fast: dict[str, Callable[..., Any]] = {}
        for name in PARTS:
            setattr(model, name, self._covered(name, getattr(model, name)))

    def _covered(self, name: str, plain: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(plain)
        def run(*args: Any) -> Any:
            if self.works:
                try:
                    if name not in self._fast:
                        self._fast[name] = torch.compile(plain, dynamic=False)
                    return self._fast[name](*args)
                except Exception as error:  # whatever a compiler comes up with
                    self.works = False
                    reason = str(error).strip().partition("\n")[0].rstrip(".")
                    warnings.warn(
                        f"SAM runs without torch.compile, which failed here ({type(error).__name__}: {reason}).",
                        RuntimeWarning,
                        stacklevel=2,
                    )
            return plain(*args)

        return run
