"""`slicer.app.coreIOManager()`: what `slicer.util.loadVolume`, `saveScene` and their like go through."""

from pathlib import Path
from typing import Any

import slicer
from PySide6 import QtCore

from slicer_host import files

SCENE, VOLUME, SEGMENTATION = "SceneFile", "VolumeFile", "SegmentationFile"


class qSlicerCoreIOManager(QtCore.QObject):
    """Reads and writes files by their kind."""

    newFileLoaded = QtCore.Signal(object)

    def fileType(self, path: str) -> str:
        if str(path).endswith((".mrb", ".mrml")):
            return SCENE
        return SEGMENTATION if str(path).endswith((".seg.nrrd", ".seg.nhdr")) else VOLUME

    def fileWriterFileType(self, node: Any) -> str:
        return SEGMENTATION if node.IsA("vtkMRMLSegmentationNode") else VOLUME

    def loadNodes(self, fileType: str, properties: dict[str, Any], loaded: Any = None, messages: Any = None) -> bool:
        """Whether the file could be read; `loaded` is a vtkCollection that gets the nodes."""
        path = str(properties["fileName"])
        if fileType == SCENE:
            return files.load_scene(path, bool(properties.get("clear", True)), messages)
        if fileType == SEGMENTATION:
            node = slicer.modules.segmentations.logic().LoadSegmentationFromFile(path)
        else:
            options = sum(bit for key, bit in (("labelmap", 1), ("singleFile", 8)) if properties.get(key))
            name = properties.get("name") or Path(path).name.partition(".")[0]
            node = slicer.modules.volumes.logic().AddArchetypeVolume(path, name, options)
        if node is None:
            return False
        if fileType == VOLUME and properties.get("show", True) and not properties.get("labelmap"):
            slicer.util.setSliceViewerLayers(background=node, fit=True)
        if loaded is not None:
            loaded.AddItem(node)
        return True

    def saveNodes(self, fileType: str, properties: dict[str, Any], messages: Any = None) -> bool:
        """Whether the scene, or the node of that ID, could be written."""
        path = str(properties["fileName"])
        if fileType == SCENE:
            return files.save_scene(path, messages)
        return files.write_node(slicer.mrmlScene.GetNodeByID(properties["nodeID"]), path)
