"""A conversation on the real scene, with an engine that answers when the test says so."""

from typing import Any

import numpy as np
from fake_engine import FakeEngine, square
from MediRoundSlicerLib import SegmentStore, SliceCapture
from MediRoundSlicerLib.Conversation import Conversation
from slicer.util import addVolumeFromArray

LUNG = "Segment the left lung."
OTHER = "Segment the other lung."


class Talk:
    """A conversation in the Red view, and everything that it said."""

    def __init__(self, scene: Any) -> None:
        self.host = scene
        values = np.random.default_rng(0).integers(0, 400, (6, 40, 60)).astype(np.int16)
        self.volume = addVolumeFromArray(values, nodeClassName="vtkMRMLScalarVolumeNode", name="CT chest")
        self.volume.SetSpacing(2.0, 2.0, 5.0)
        self.volume.CreateDefaultDisplayNodes()
        self.volume.GetDisplayNode().AutoWindowLevelOff()
        self.volume.GetDisplayNode().SetWindowLevel(400, 200)
        scene.show(self.volume)
        self.engine = FakeEngine()
        self.conversation = Conversation(self.engine)
        self.failures: list[str] = []
        self.notices: list[str] = []
        self.conversation.failed.connect(self.failures.append)
        self.conversation.noticed.connect(self.notices.append)
        self.conversation.setView("Red")
        self.slice(2)

    def slice(self, k: int) -> None:
        """Scroll the Red view to an axial slice."""
        self.host.sliceLogics["Red"].SetSliceOffset(5.0 * k)

    def round(self, query: str, k: int = 0, **options: Any) -> Any:
        """Ask and be answered with the k-th square."""
        assert self.conversation.ask(query, **options), self.failures
        self.engine.reply(square(self.engine.requests[-1].image.shape, k))
        assert self.conversation.current is not None
        return self.conversation.current.rounds[-1]

    @property
    def plane(self) -> Any:
        """What the Red view shows."""
        found = SliceCapture.planeOfView("Red")
        assert found is not None
        return found[1]

    @property
    def rounds(self) -> list[Any]:
        return [] if self.conversation.current is None else list(self.conversation.current.rounds)

    @property
    def names(self) -> list[str]:
        node = self.conversation.segmentationNode
        return [] if node is None else [info.name for info in SegmentStore.segments(node)]

    def mask(self, done: Any) -> Any:
        assert self.conversation.current is not None
        node, plane = self.conversation.segmentationNode, self.conversation.current.plane
        return SegmentStore.readPlane(node, done.segmentID, self.volume, plane)

    def draw(self, name: str, mask: Any) -> str:
        """A segment that the user drew herself."""
        node = SegmentStore.segmentationFor(self.volume)
        segmentID = SegmentStore.addSegment(node, name, "", {})
        SegmentStore.writePlane(node, segmentID, self.volume, self.plane, mask)
        return segmentID
