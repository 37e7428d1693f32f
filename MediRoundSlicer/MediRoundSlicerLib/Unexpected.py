"""What is said of an error that nobody expected: in a slot of Qt it would be seen by nobody."""

import logging

from slicer.i18n import tr as _


def sentence(error: Exception) -> str:
    """One sentence for the user; the traceback goes to the Python console. Meant for an `except` clause."""
    logging.exception("MediRound")
    return _("That went wrong ({error}). The Python console has the details; please report them.").format(error=error)
