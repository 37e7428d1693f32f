"""The report of dialogues for a trainee's log book: a page in HTML or Markdown, with a picture for each round.

It holds what was asked and answered, in the user's own words, and the slices as pictures. It holds no name, number or
date of a patient or study; the volume's name, which may be a patient's, only where the user asks for it. What a user
typed herself, in queries and names of segments, stands there as she typed it.
"""

import datetime
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import slicer
from numpy.typing import NDArray
from slicer.i18n import tr as _

from MediRoundSlicerLib import SegmentStore, SliceCapture
from MediRoundSlicerLib.Dialogues import Dialogue, DialogueError, Reference, Round, unpackMask
from MediRoundSlicerLib.Pictures import Layer, picture, png
from MediRoundSlicerLib.ReportPages import Page, Section, Told, htmlPage, markdownPage
from MediRoundSlicerLib.SegmentStore import SegmentInfo
from MediRoundSlicerLib.StagedFolder import stagedFolder

_MARKDOWN = (".md", ".markdown")
_HTML = (".html", ".htm")
# For a round whose segment is gone, and a reference to one.
_GREY = (140, 146, 156)


def writeReport(
    dialogues: Sequence[Dialogue],
    segmentationNode: Any,
    volumeNode: Any,
    path: Path,
    includeVolumeName: bool = False,
    threshold: float | None = None,
) -> Path:
    """Write the report.

    Args:
        dialogues: about slices of that volume; those without rounds are left out.
        segmentationNode: holds the segments of their rounds; masks are shown as they are now, with the user's edits.
        volumeNode: what the pictures are of, in its window of now; a report without pictures where it is None or gone.
        path: a name that ends in ".md" makes Markdown, with the pictures in a folder beside it, such as
            `report_pictures`; any other makes one HTML file, and ".html" is added where it does not end so.
        includeVolumeName: show the volume's name, which may hold a patient's, in the place of its modality.
        threshold: the quality at which the corrector steps in, for the heading.

    Returns:
        The file of the page.

    Raises:
        DialogueError: there are no rounds, or the files cannot be written; none of them is left then.
    """
    told = [dialogue for dialogue in dialogues if dialogue.rounds]
    if not told:
        raise DialogueError(_("There are no rounds to report yet; ask for a structure first."))
    there = [_present(node) for node in (segmentationNode, volumeNode)]
    subject = _subject(there[1], includeVolumeName)
    page = Page(
        title=_("MediRound dialogue"),
        subject=subject,
        facts=_facts(told, threshold),
        notice=_("For education and research, not for diagnosis."),
        sections=[_Teller(dialogue, *there).section() for dialogue in told],
    )
    markdown = path.suffix.lower() in _MARKDOWN
    if not markdown and path.suffix.lower() not in _HTML:
        path = path.with_name(path.name + ".html")
    with stagedFolder(path.parent) as staged:
        if markdown:
            text, pictures = markdownPage(page, f"{path.stem}_pictures")
            for name, data in pictures.items():
                (staged / name).parent.mkdir(exist_ok=True)
                (staged / name).write_bytes(data)
        else:
            text = htmlPage(page)
        (staged / path.name).write_text(text, encoding="utf-8", newline="\n")
    return path


def _present(node: Any) -> Any:
    """The node, or None where it was removed from the scene."""
    return None if node is None or node.GetScene() is None else node


def _subject(volumeNode: Any, includeVolumeName: bool) -> str:
    """What was looked at: the modality, such as "CT", or the volume's name."""
    if volumeNode is None:
        return _("Image")
    if includeVolumeName:
        return str(volumeNode.GetName())
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    item = hierarchy.GetItemByDataNode(volumeNode)
    modality = hierarchy.GetItemAttribute(item, "DICOM.Modality") if item else ""
    return str(modality) or _("Image")


def _facts(dialogues: Sequence[Dialogue], threshold: float | None) -> list[str]:
    """What holds for all rounds: their number, models, threshold and the day of writing."""
    rounds = [done for dialogue in dialogues for done in dialogue.rounds]
    facts = [_("1 round") if len(rounds) == 1 else _("{count} rounds").format(count=len(rounds))]
    models = dict.fromkeys(done.model for done in rounds if done.model)
    if models:
        facts.append(_("model {name}").format(name=", ".join(models)))
    if threshold is not None:
        facts.append(_("corrected at a quality of {threshold} or below").format(threshold=f"{threshold:.2f}"))
    facts.append(_("written on {day}").format(day=datetime.date.today().isoformat()))
    return facts


def _captured(volumeNode: Any, dialogue: Dialogue) -> tuple[SliceCapture.CapturedSlice | None, str]:
    """The slice of a dialogue, or why there is none; the words do not name the volume."""
    if volumeNode is None:
        return None, _("The volume is not loaded, so there are no pictures.")
    try:
        return SliceCapture.capturePlane(volumeNode, dialogue.plane), ""
    except DialogueError:
        return None, _("The volume has no such slice any more, so there are no pictures.")


class _Teller:
    """Tells one dialogue: its slice and its rounds."""

    def __init__(self, dialogue: Dialogue, segmentationNode: Any, volumeNode: Any) -> None:
        self._dialogue = dialogue
        self._segmentation = segmentationNode
        self._volume = volumeNode
        self._slice, self._problem = _captured(volumeNode, dialogue)
        self._layers = {done.id: layer for done in dialogue.rounds if (layer := self._layer(done)) is not None}

    def section(self) -> Section:
        rounds = [self._told(done) for done in self._dialogue.rounds]
        if self._slice is None:
            return Section(
                self._dialogue.title, _("The volume is not loaded, so there are no pictures."), rounds=rounds
            )
        caption = []
        if self._slice.window is not None and self._slice.level is not None:
            caption.append(
                _("window {window}, level {level}").format(
                    window=f"{self._slice.window:g}", level=f"{self._slice.level:g}"
                )
            )
        if any(done.referenceMask for done in self._dialogue.rounds if done.id in self._layers):
            caption.append(_("thin outlines are references"))
        layers = list(self._layers.values())
        return Section(
            self._dialogue.title,
            " · ".join(caption),
            plain=png(picture(self._slice.image)),
            together=self._drawn(layers) if len(layers) > 1 else None,
            rounds=rounds,
        )

    def _told(self, done: Round) -> Told:
        segment = self._segment(done.segmentID)
        layer = self._layers.get(done.id)
        if segment is None:
            note = _("Its segment was deleted.")
        elif layer is not None and not layer.mask.any():
            note = _("Its mask is empty.")
        else:
            note = ""
        leaned = [] if done.reference is None else self._referenceLayer(done, done.reference)
        return Told(
            number=done.number,
            name=segment.name if segment is not None else done.autoName or done.name,
            colour=segment.colour if segment is not None else _GREY,
            query=done.query,
            answer=done.text,
            facts=self._facts(done),
            note=note,
            picture=None if layer is None else self._drawn([*leaned, layer]),
        )

    def _facts(self, done: Round) -> list[tuple[str, str]]:
        facts = [(_("Reference"), self._referenceWords(done.reference))]
        if done.quality is not None and done.qualityCorrected is not None:
            words = _("{before}, corrected to {after}")
            facts.append(
                (_("Quality"), words.format(before=f"{done.quality:.2f}", after=f"{done.qualityCorrected:.2f}"))
            )
        elif done.quality is not None:
            facts.append((_("Quality"), f"{done.quality:.2f}"))
        facts.append((_("Time"), _("{seconds} s").format(seconds=f"{done.seconds:.1f}")))
        return facts

    def _referenceWords(self, reference: Reference | None) -> str:
        if reference is None:
            return _("none")
        segment = self._segment(reference.segmentID)
        name = _("a deleted segment") if segment is None else segment.name
        leaned = None if reference.roundID is None else self._dialogue.round(reference.roundID)
        words = name
        # A name that the module gave says the round itself.
        if leaned is not None and name != leaned.autoName:
            words = _("round {number} · {name}").format(number=leaned.number, name=name)
        if reference.chosen:
            return _("{reference}, chosen by hand").format(reference=words)
        if reference.phrase:
            return _("{reference}, from “{phrase}”").format(reference=words, phrase=reference.phrase)
        return words

    def _segment(self, segmentID: str) -> SegmentInfo | None:
        return None if self._segmentation is None else SegmentStore.segment(self._segmentation, segmentID)

    def _layer(self, done: Round) -> Layer | None:
        """The mask of a round as it is now, or None where its segment or the volume is gone."""
        segment = self._segment(done.segmentID)
        if segment is None or self._slice is None:
            return None
        mask = SegmentStore.readPlane(self._segmentation, segment.id, self._volume, self._dialogue.plane)
        return Layer(mask, segment.colour)

    def _referenceLayer(self, done: Round, reference: Reference) -> list[Layer]:
        """What the engine saw of the reference, as a thin outline."""
        if not done.referenceMask:
            return []
        segment = self._segment(reference.segmentID)
        mask = unpackMask(done.referenceMask)
        return [Layer(mask, _GREY if segment is None else segment.colour, filled=False)]

    def _drawn(self, layers: Sequence[Layer]) -> bytes:
        assert self._slice is not None
        image: NDArray[np.uint8] = self._slice.image
        return png(picture(image, layers))
