"""What a dialogue leaves behind: segments for 3D Slicer, labelmaps, a transcript and a picture. Imports no torch.

`write_results` and `AnsweredRound` are loaded on first use, so that `terminology` and `colours` can be imported inside
3D Slicer, which need not have Pillow and SimpleITK.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from MediRoundLib.outputs.results import write_results
    from MediRoundLib.outputs.rounds import AnsweredRound

__all__ = ["AnsweredRound", "write_results"]


def __getattr__(name: str) -> Any:
    if name == "AnsweredRound":
        from MediRoundLib.outputs.rounds import AnsweredRound

        return AnsweredRound
    if name == "write_results":
        from MediRoundLib.outputs.results import write_results

        return write_results
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
