"""The Export button: labelmaps, the whole segmentation, the report."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import qt
from slicer.i18n import tr as _

from MediRoundSlicerLib import Export, Report, Unexpected
from MediRoundSlicerLib.Dialogues import DialogueError
from MediRoundSlicerLib.Look import Look
from MediRoundSlicerLib.Signal import Signal
from MediRoundSlicerLib.Style import setKind


class ExportMenu:
    """What is exported is about one volume, that of the dialogue in view: all its dialogues with the same segmentation.

    ```
    menu = ExportMenu(look, ui.exportButton, conversation)
    menu.begun.connect(strip.clear)
    menu.done.connect(strip.notice)         # (sentence)
    menu.failed.connect(strip.error)        # (sentence)
    ```
    """

    def __init__(self, look: Look, button: Any, conversation: Any) -> None:
        self.begun = Signal()
        self.done = Signal()
        self.failed = Signal()
        self._look = look
        self._button = button
        self._conversation = conversation
        setKind(button, "more")
        button.setFocusPolicy(qt.Qt.TabFocus)
        menu = qt.QMenu(button)
        for text, export in (
            (_("Labelmap nodes"), self.exportNodes),
            (_("Labelmap files (NIfTI)…"), self.exportNIfTI),
            (_("Labelmap files (NRRD)…"), self.exportNRRD),
            (_("Segmentation (.seg.nrrd)…"), self.exportSegmentation),
            (_("Report (HTML)…"), self.exportReport),
        ):
            menu.addAction(text).connect("triggered()", partial(self._run, export))
        button.setMenu(menu)
        look.changed.connect(self._drawIcon)
        self._drawIcon()

    def exportNodes(self) -> str:
        nodes = Export.exportLabelmapNodes(*self._subject())
        return _("Labelmap nodes added to the scene: {count}.").format(count=len(nodes))

    def exportNIfTI(self) -> str:
        return self._exportFiles(".nii.gz")

    def exportNRRD(self) -> str:
        return self._exportFiles(".nrrd")

    def exportSegmentation(self) -> str:
        path = qt.QFileDialog.getSaveFileName(
            self._button.window(), _("Export the segmentation"), "segmentation.seg.nrrd", "*.seg.nrrd"
        )
        if not path:
            return ""
        written = Export.exportSegmentation(self._conversation.segmentationNode, Path(path))
        return _("The segmentation was written to {path}.").format(path=written)

    def exportReport(self) -> str:
        subject = self._subject()
        path = qt.QFileDialog.getSaveFileName(
            self._button.window(), _("Export a report"), "report.html", "HTML (*.html);;Markdown (*.md)"
        )
        if not path:
            return ""
        written = Report.writeReport(*subject, Path(path))
        return _("The report was written to {path}.").format(path=written)

    def _exportFiles(self, suffix: str) -> str:
        subject = self._subject()
        folder = qt.QFileDialog.getExistingDirectory(self._button.window(), _("Folder for the labelmap files"))
        if not folder:
            return ""
        Export.exportFiles(*subject, Path(folder), suffix)
        return _("The labelmaps were written to {path}.").format(path=folder)

    def _subject(self) -> tuple[list[Any], Any, Any]:
        """The dialogues, their segmentation and the volume. Raises DialogueError where there are none."""
        conversation, current = self._conversation, self._conversation.current
        segmentation, volume = conversation.segmentationNode, conversation.volumeNode
        every = conversation.stored()
        for stored in every:
            # A dialogue that was chosen from the list may be about a volume that is not in view.
            if current is not None and stored.dialogue.id == current.id:
                volume = stored.volume
        dialogues = [
            stored.dialogue for stored in every if stored.volume is volume and stored.segmentation is segmentation
        ]
        if not dialogues:
            raise DialogueError(_("There are no rounds to export yet; ask for a structure first."))
        return dialogues, segmentation, volume

    def _run(self, export: Callable[[], str]) -> None:
        self.begun.emit()
        try:
            said = export()
        except DialogueError as error:
            self.failed.emit(str(error))
        except Exception as error:  # in a slot of Qt it would be seen by nobody
            self.failed.emit(Unexpected.sentence(error))
        else:
            if said:
                self.done.emit(said)

    def _drawIcon(self) -> None:
        self._button.setIcon(self._look.icon("export"))
