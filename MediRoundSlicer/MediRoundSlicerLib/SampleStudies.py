"""Studies in Slicer's Sample Data module, for a first dialogue without any data of one's own.

They ship with the extension, so that nothing is downloaded. They are drawn by a program and show no patient; their
names say so. `Resources/samples.py` in the source repository draws them.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import slicer

CATEGORY = "MediRound"
# Grey values of soft tissue, in HU: what the engine's examples were shown with. Slicer's own choice is far wider.
_WINDOW, _LEVEL = 400, 40
_FOLDER = Path(__file__).resolve().parent.parent / "Resources" / "Samples"


@dataclass(frozen=True)
class SampleStudy:
    """A study that ships with the extension: its title, its node's name, its files' name, and its checksum."""

    title: str
    nodeName: str
    file: str
    sha256: str

    @property
    def path(self) -> Path:
        return _FOLDER / f"{self.file}.nrrd"

    @property
    def thumbnail(self) -> Path:
        return _FOLDER / f"{self.file}.png"


# Titles are not translated: scripts load a study by its title.
STUDIES = (
    SampleStudy(
        "Drawn CT abdomen, not a patient",
        "Drawn CT abdomen",
        "drawn_ct_abdomen",
        "014ef5a2f2d48f94320c09d36003e32f9e90fdadd199214bf74e48705e196d26",
    ),
    SampleStudy(
        "Drawn CT chest, not a patient",
        "Drawn CT chest",
        "drawn_ct_chest",
        "825abef2868b4061bb88be671ad2fef613a16a0d3abac00e96d6a2b9f2c86664",
    ),
)


def registerSampleData() -> None:
    """Add the studies to the Sample Data module; to be called when Slicer has started, and harmless when called again.

    Scripts load them too: `SampleData.downloadSample("Drawn CT abdomen, not a patient")`.
    """
    import SampleData

    for study in STUDIES:
        SampleData.SampleDataLogic.registerCustomSampleDataSource(
            category=CATEGORY,
            sampleName=study.title,
            uris=study.path.as_uri(),
            fileNames=study.path.name,
            nodeNames=study.nodeName,
            checksums=f"SHA256:{study.sha256}",
            thumbnailFileName=str(study.thumbnail),
            customDownloader=load,
        )


def load(source: Any) -> Any:
    """Load a study and show it in a window of soft tissue.

    Args:
        source: one of those that `registerSampleData` adds.

    Returns:
        The volume node, or None where it could not be loaded; the Sample Data module says why.
    """
    import SampleData

    nodes = SampleData.SampleDataLogic().downloadFromSource(source)
    node = nodes[0] if nodes else None
    if node is not None:
        showInWindow(node)
    return node


def showInWindow(volumeNode: Any) -> None:
    """Show a study in a window of soft tissue, in every slice view."""
    if volumeNode.GetDisplayNode() is None:
        volumeNode.CreateDefaultDisplayNodes()
    volumeNode.GetDisplayNode().AutoWindowLevelOff()
    volumeNode.GetDisplayNode().SetWindowLevel(_WINDOW, _LEVEL)
    slicer.util.setSliceViewerLayers(background=volumeNode, fit=True)
