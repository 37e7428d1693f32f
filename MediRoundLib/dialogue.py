"""What is known of a dialogue's earlier rounds: pure data, shared by the engine and the Slicer module. No torch."""

from dataclasses import dataclass


@dataclass(frozen=True)
class PastRound:
    """An earlier round, as far as later queries can refer to it.

    Attributes:
        number: from 1; "round N" and "instance N".
        query: the user's words.
        name: the structure's name, or the user's own name for the segment; "" where there is none.
    """

    number: int
    query: str
    name: str = ""
