"""Saves and loads scenes, and loads DICOM series, by Slicer's own logics and storage; no Qt."""

from pathlib import Path
from typing import Any

import slicer
import vtk


def give_cache(scene: Any, folder: str) -> Any:
    """Lets a scene unpack bundles; the logic that comes back must live as long."""
    logic = slicer.vtkMRMLRemoteIOLogic()
    logic.GetCacheManager().SetRemoteCacheDirectory(folder)
    logic.GetCacheManager().SetMRMLScene(scene)
    scene.SetCacheManager(logic.GetCacheManager())
    scene.SetDataIOManager(logic.GetDataIOManager())
    return logic


def save_scene(path: str, messages: Any = None) -> bool:
    """Writes an .mrb, or an .mrml with the data of its nodes beside it, as Slicer's Save dialog does."""
    scene = slicer.mrmlScene
    if path.endswith(".mrb"):
        return bool(scene.WriteToMRB(path, None, messages or slicer.vtkMRMLMessageCollection()))
    folder = Path(path).parent
    folder.mkdir(parents=True, exist_ok=True)
    scene.SetURL(path)
    scene.SetRootDirectory(str(folder))
    written = True
    for node in slicer.util.getNodesByClass("vtkMRMLStorableNode"):
        if node.GetSaveWithScene() and node.AddDefaultStorageNode():
            ending = node.GetStorageNode().GetDefaultWriteFileExtension()
            written = write_node(node, str(folder / f"{node.GetName()}.{ending}")) and written
    return bool(scene.Commit(path)) and written


def load_scene(path: str, clear: bool = True, messages: Any = None) -> bool:
    """Reads an .mrb or .mrml into the scene, in the place of what is there or besides it."""
    scene = slicer.mrmlScene
    if path.endswith(".mrb"):
        return bool(scene.ReadFromMRB(path, clear, messages or slicer.vtkMRMLMessageCollection()))
    scene.SetURL(path)
    scene.SetRootDirectory(str(Path(path).parent))
    return bool(scene.Connect() if clear else scene.Import())


def write_node(node: Any, path: str) -> bool:
    if not node.AddDefaultStorageNode():
        return False
    storage = node.GetStorageNode()
    storage.SetFileName(path)
    return bool(storage.WriteData(node))


def load_series(folder: str | Path) -> Any:
    """Loads the DICOM files of a folder as one volume, ordered by position, as the DICOM module does."""
    import pydicom

    slices = []
    for path in sorted(Path(folder).rglob("*")):
        if path.is_file():
            header = pydicom.dcmread(path, stop_before_pixels=True)
            slices.append((_position(header), str(path), str(header.get("SeriesDescription", path.parent.name))))
    slices.sort()
    names = vtk.vtkStringArray()
    for _place, path_text, _name in slices:
        names.InsertNextValue(path_text)
    node = slicer.modules.volumes.logic().AddArchetypeVolume(slices[0][1], slices[0][2], 0, names)
    return node


def _position(header: Any) -> float:
    """Place of a slice along the normal of its plane, in mm."""
    row = [float(one) for one in header.get("ImageOrientationPatient", (1, 0, 0, 0, 1, 0))]
    place = [float(one) for one in header.get("ImagePositionPatient", (0, 0, 0))]
    normal = [
        row[1] * row[5] - row[2] * row[4],
        row[2] * row[3] - row[0] * row[5],
        row[0] * row[4] - row[1] * row[3],
    ]
    return sum(a * b for a, b in zip(normal, place, strict=True))
