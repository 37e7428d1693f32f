"""From a query and the slice in view to a request for the engine, with all that its answer will need."""

import dataclasses
import hashlib
import time
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from slicer.i18n import tr as _

from MediRoundSlicerLib import SegmentStore
from MediRoundSlicerLib.Dialogues import Dialogue, DialogueError, Reference, Round, Told
from MediRoundSlicerLib.EngineMessages import AskRequest
from MediRoundSlicerLib.RoundWriter import Asked
from MediRoundSlicerLib.SliceCapture import CapturedSlice
from MediRoundSlicerLib.Understanding import Choice

# Instead of a reference: what the words say; what the round leaned on before.
AUTO: Literal["auto"] = "auto"
KEEP: Literal["keep"] = "keep"

# What the engine says that it does, and what the user reads.
STAGES = {
    "queued": _("Waiting for the engine"),
    "starting": _("Starting the engine"),
    "loading": _("Loading the model"),
    "encoding": _("Looking at the slice"),
    "replaying": _("Reading the dialogue so far"),
    "reading": _("Reading the query"),
    "judging": _("Judging the answer"),
    "drawing": _("Drawing the mask"),
}


@dataclasses.dataclass(frozen=True)
class Pending:
    """A round that the engine works on.

    Attributes:
        requestID: the engine's number for it; 0 until the engine gave one.
        dialogue: what the round will join, as it was when it was asked; not in the scene yet where it is new.
        volume, segmentation: where its mask goes, wherever the view is by then; segmentation None for one to be made.
        asked: the query and what it leans on.
        started: `time.monotonic()` of asking.
        stage: what the engine does now, in the user's language.
    """

    requestID: int
    dialogue: Dialogue
    volume: Any
    segmentation: Any
    asked: Asked
    started: float
    stage: str

    @property
    def query(self) -> str:
        return self.asked.query

    @property
    def dialogueID(self) -> str:
        return self.dialogue.id

    @property
    def roundID(self) -> str | None:
        """The round that is asked again, or None for a new one."""
        return None if self.asked.replaces is None else self.asked.replaces.id


@dataclasses.dataclass(frozen=True)
class Question:
    """What a query is about; everything is taken now, since the view may move while the round runs.

    Attributes:
        dialogue: that the round will join.
        replaces: the round that is asked again, or None.
        captured: the slice.
        segmentation: where references are read, or None.
        choices: the segments that the query could lean on.
    """

    dialogue: Dialogue
    replaces: Round | None
    captured: CapturedSlice
    segmentation: Any
    choices: list[Choice]

    @property
    def rounds(self) -> tuple[Round, ...]:
        """Those before this one."""
        return self.dialogue.rounds if self.replaces is None else self.dialogue.before(self.replaces.id)

    def asked(self, query: str, reference: Reference | None) -> tuple[Pending, AskRequest]:
        """The request, and what to remember until it is answered.

        Raises:
            DialogueError: the reference is gone, or has nothing on this slice.
        """
        captured = self.captured
        mask, name = self._reference(reference)
        try:
            history = tuple(Told.of(done) for done in self.rounds)
        except ValueError as error:
            raise DialogueError(_("This dialogue is damaged in its file; begin a new one.")) from error
        request = AskRequest(
            dialogueID=self.dialogue.id,
            image=captured.image,
            imageKey=imageKey(captured.image),
            history=history,
            query=query,
            reference=mask,
        )
        pending = Pending(
            requestID=0,
            dialogue=dataclasses.replace(self.dialogue, plane=captured.plane),
            volume=captured.volumeNode,
            segmentation=self.segmentation,
            asked=Asked(query, reference, mask, name, self.replaces, captured.window, captured.level),
            started=time.monotonic(),
            stage=STAGES["queued"],
        )
        return pending, request

    def _reference(self, reference: Reference | None) -> tuple[NDArray[np.bool_] | None, str]:
        """A reference's mask as it is now, and what it is called."""
        if reference is None:
            return None, ""
        choice = next((one for one in self.choices if one.segmentID == reference.segmentID), None)
        if choice is None:
            raise DialogueError(_("The segment referred to was deleted; choose another reference, or none."))
        at = self.captured
        mask = SegmentStore.readPlane(self.segmentation, choice.segmentID, at.volumeNode, at.plane)
        done = next((one for one in self.rounds if one.segmentID == choice.segmentID), None)
        # A round that found nothing may be referred to: the whole image stands in, and the answer says so.
        if done is None and not mask.any():
            raise DialogueError(
                _('"{name}" has nothing on this slice; draw or ask for it here first, or choose no reference.').format(
                    name=choice.name
                )
            )
        return mask, choice.spoken


def imageKey(image: NDArray[np.uint8]) -> str:
    """Equal for equal pixels: the engine encodes an image once, and again after another window was chosen."""
    return f"{image.shape}:{hashlib.blake2b(image.tobytes(), digest_size=16).hexdigest()}"
