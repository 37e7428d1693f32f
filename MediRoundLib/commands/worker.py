"""`mediround worker`: the engine process that the Slicer module talks to."""

import argparse
import sys

from MediRoundLib import worker
from MediRoundLib.errors import MediRoundError

HELP = "answer the Slicer module's messages on stdin and stdout (for programs)"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = "The engine process of the Slicer module: framed messages (MediRoundLib.protocol), not text."


def run(args: argparse.Namespace) -> int:
    """Serve until stdin ends.

    Raises:
        MediRoundError: a person is at the other end.
    """
    if sys.stdin.isatty():
        raise MediRoundError("The worker speaks to programs; for a conversation at the terminal use `mediround chat`.")
    return worker.main()
