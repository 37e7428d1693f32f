"""What goes wrong in a user's hands: every message is one clear sentence with the way out."""


class MediRoundError(Exception):
    """An error that the user can act on; the command line prints its text and exits with code 2."""


class ImageError(MediRoundError):
    """The source is no image that can be opened, or the plane, slice or window asked for is not in it."""


class QueryError(MediRoundError):
    """The query cannot be asked: it is empty, or too long for what the model can read."""


class ReferenceNotFound(MediRoundError):
    """The query refers to a round that does not exist, or the given reference does not fit the image."""


class CheckpointError(MediRoundError):
    """The weights cannot be loaded: unknown, of another layout, incomplete or damaged."""


class DialogueFileError(MediRoundError):
    """A file of dialogues is not in MR-MedSeg's form; the message names file, dialogue and turn."""


class OutOfMemory(MediRoundError):
    """The device ran out of memory; the message names the setting to change."""


class PackagesError(MediRoundError):
    """A package that the engine needs is missing, damaged or too old."""


class Cancelled(MediRoundError):
    """The user gave up the request that was running."""


class UnknownDialogue(MediRoundError):
    """The engine process holds no such dialogue, or not so many rounds of it: open it again."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory was full; torch's errors are known by name and text, so that torch need not be imported."""
    if isinstance(error, (MemoryError, OutOfMemory)) or type(error).__name__ == "OutOfMemoryError":
        return True
    words = ("out of memory", "can't allocate memory", "not enough memory")
    return isinstance(error, RuntimeError) and any(word in str(error).lower() for word in words)
