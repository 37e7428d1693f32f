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
