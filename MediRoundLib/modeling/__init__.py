"""Pure `torch.nn` modules: nothing in here reads a file or knows a path."""

from MediRoundLib.modeling.mediround import MediRound

__all__ = ["MediRound"]
