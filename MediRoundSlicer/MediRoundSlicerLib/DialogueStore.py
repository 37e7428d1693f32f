"""Dialogues in the scene: each is a node of its own, so that saving and opening a scene brings them back.

The node is one that every Slicer knows (`vtkMRMLScriptedModuleNode`), so a scene keeps its dialogues also where this
module is not installed. Node references name the volume and the segmentation: Slicer keeps them right when a scene is
imported into another.
"""

import dataclasses
from dataclasses import dataclass
from typing import Any

import slicer
import slicer.util

from MediRoundSlicerLib.Dialogues import Dialogue, DialogueError, newID

NODE_CLASS = "vtkMRMLScriptedModuleNode"
MODULE = "MediRoundSlicerDialogue"
PARAMETER = "dialogue"
VOLUME = "volume"
SEGMENTATION = "segmentation"


@dataclass(frozen=True)
class Stored:
    """A dialogue and the nodes that it is about; a node is None where the user deleted it."""

    dialogue: Dialogue
    node: Any
    volume: Any
    segmentation: Any


class DialogueStore:
    """The dialogues of `slicer.mrmlScene`.

    ```
    store = DialogueStore()
    store.put(dialogue, volumeNode, segmentationNode)        # a new one, or another state of a known one
    for stored in store.all(): ...
    store.remove(dialogue.id)
    ```
    """

    def __init__(self) -> None:
        # What each node's text was read as: reading anew on every event would cost with the length of the dialogues.
        self._read: dict[str, tuple[str, Dialogue | DialogueError]] = {}

    def all(self) -> list[Stored]:
        """All dialogues, in the order in which they were begun; those that cannot be read are left out."""
        found = [stored for node in _nodes() if (stored := self._stored(node)) is not None]
        return sorted(found, key=lambda stored: stored.dialogue.begun)

    def get(self, dialogueID: str) -> Stored | None:
        return next((stored for stored in self.all() if stored.dialogue.id == dialogueID), None)

    def problems(self) -> dict[str, str]:
        """Why a dialogue cannot be read, by the ID of its node."""
        read = {node.GetID(): self._dialogue(node) for node in _nodes()}
        return {identifier: str(error) for identifier, error in read.items() if isinstance(error, DialogueError)}

    def put(self, dialogue: Dialogue, volume: Any, segmentation: Any) -> None:
        """Add a dialogue to the scene, or bring its node up to date."""
        known = self.get(dialogue.id)
        node = slicer.mrmlScene.CreateNodeByClass(NODE_CLASS) if known is None else known.node
        wasModifying = node.StartModify()
        node.SetName(f"MediRound {dialogue.title}")
        node.SetAttribute("ModuleName", MODULE)
        node.SetParameter(PARAMETER, dialogue.toJSON())
        if known is None:
            node.UnRegister(None)  # CreateNodeByClass leaves a count that Python does not know of
            slicer.mrmlScene.AddNode(node)
        node.SetNodeReferenceID(VOLUME, volume.GetID() if volume else None)
        node.SetNodeReferenceID(SEGMENTATION, segmentation.GetID() if segmentation else None)
        node.EndModify(wasModifying)

    def remove(self, dialogueID: str) -> None:
        known = self.get(dialogueID)
        if known is not None:
            slicer.mrmlScene.RemoveNode(known.node)

    def nextBegun(self) -> int:
        return max((stored.dialogue.begun for stored in self.all()), default=0) + 1

    def tellApart(self) -> None:
        """Give dialogues that came a second time, with a scene that was added twice, ids of their own."""
        known: set[str] = set()
        for node in _nodes():
            stored = self._stored(node)
            if stored is not None and stored.dialogue.id in known:
                other = dataclasses.replace(stored.dialogue, id=newID(), begun=self.nextBegun())
                node.SetParameter(PARAMETER, other.toJSON())
            elif stored is not None:
                known.add(stored.dialogue.id)

    def clear(self) -> None:
        """The scene is closed; what was read is let go of."""
        self._read = {}

    def _stored(self, node: Any) -> Stored | None:
        dialogue = self._dialogue(node)
        if isinstance(dialogue, DialogueError):
            return None
        return Stored(dialogue, node, node.GetNodeReference(VOLUME), node.GetNodeReference(SEGMENTATION))

    def _dialogue(self, node: Any) -> Dialogue | DialogueError:
        text, identifier = node.GetParameter(PARAMETER), node.GetID()
        if self._read.get(identifier, (None,))[0] != text:
            self._read[identifier] = (text, _parsed(text))
        return self._read[identifier][1]


def _nodes() -> list[Any]:
    return [node for node in slicer.util.getNodesByClass(NODE_CLASS) if node.GetAttribute("ModuleName") == MODULE]


def _parsed(text: str) -> Dialogue | DialogueError:
    try:
        return Dialogue.fromJSON(text)
    except DialogueError as error:
        return error
