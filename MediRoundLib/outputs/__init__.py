"""What a dialogue leaves behind: segments for 3D Slicer, labelmaps, a transcript and a picture. Imports no torch."""

from MediRoundLib.outputs.results import write_results
from MediRoundLib.outputs.rounds import AnsweredRound

__all__ = ["AnsweredRound", "write_results"]
