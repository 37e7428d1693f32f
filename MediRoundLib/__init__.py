"""MediRound's engine: multi-round segmentation of medical images by conversation.

For education and research, not for diagnosis.

`Engine` is loaded on first use, so that the torch-free parts (`dialogue`, `references`, `protocol`) can be imported
inside 3D Slicer without pulling in torch.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from MediRoundLib.engine import Dialogue, Engine, Round

__version__ = "0.1.0"
__all__ = ["Dialogue", "Engine", "Round", "__version__"]


def __getattr__(name: str) -> Any:
    if name in {"Dialogue", "Engine", "Round"}:
        from MediRoundLib import engine

        return getattr(engine, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
