"""Slicer's scene and its logics on slicer-core, as the application sets them up; no Qt."""

import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import slicer
import slicer.util
import vtk

from slicer_host import files, installing, pictures, translation

# What slicer-core lacks and needs no Qt.
for _name, _module in (("i18n", translation), ("packaging", installing)):
    sys.modules[f"slicer.{_name}"] = _module
    setattr(slicer, _name, _module)

# The views of Slicer's four-up layout: name, orientation, colour of its bar.
VIEWS = (
    ("Red", "Axial", (0.95, 0.29, 0.20)),
    ("Green", "Coronal", (0.43, 0.69, 0.29)),
    ("Yellow", "Sagittal", (0.93, 0.84, 0.30)),
)
# Pixels of a slice view: (width, height), the third is its one slice.
VIEW_SIZE = (400, 300, 1)


class Scene:
    """`slicer.mrmlScene` with the three slice views and the module logics that a scripted module asks for.

    ```
    host = Scene()                                  # sets slicer.mrmlScene and slicer.modules
    host.show(volumeNode)                           # in all views, fitted, as a user's load does
    host.sliceLogics["Red"].SetSliceOffset(12.0)
    ```
    """

    def __init__(self) -> None:
        self.mrmlScene = slicer.vtkMRMLScene()
        self.logic = slicer.vtkSlicerApplicationLogic()
        self.logic.SetMRMLScene(self.mrmlScene)
        colours = self.logic.GetColorLogic()
        colours.SetMRMLScene(self.mrmlScene)
        colours.AddDefaultColorNodes()
        self.logic.SetModuleLogic("Colors", colours)
        self._cache = tempfile.TemporaryDirectory(prefix="slicer_cache_", ignore_cleanup_errors=True)
        self._remote = files.give_cache(self.mrmlScene, self._cache.name)
        self.logic.SetSliceLogics(vtk.vtkCollection())
        self.logic.SetViewLogics(vtk.vtkCollection())
        slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(self.mrmlScene, True)
        slicer.mrmlScene = self.mrmlScene
        slicer.modules = SimpleNamespace()
        for name, make in (
            ("volumes", slicer.vtkSlicerVolumesLogic),
            ("segmentations", slicer.vtkSlicerSegmentationsModuleLogic),
        ):
            self._add_module(name, make())
        self._views: dict[str, pictures.SliceView] = {}
        self.sliceLogics: dict[str, Any] = {}
        for name, orientation, colour in VIEWS:
            self._add_view(name, orientation, colour)

    def _add_module(self, name: str, logic: Any) -> None:
        logic.SetMRMLScene(self.mrmlScene)
        if hasattr(logic, "SetMRMLApplicationLogic"):
            logic.SetMRMLApplicationLogic(self.logic)
        self.logic.SetModuleLogic(name.capitalize(), logic)
        setattr(slicer.modules, name, SimpleNamespace(logic=lambda: logic))

    def _add_view(self, name: str, orientation: str, colour: tuple[float, float, float]) -> None:
        logic = slicer.vtkMRMLSliceLogic()
        logic.SetMRMLApplicationLogic(self.logic)
        logic.SetMRMLScene(self.mrmlScene)
        node = logic.AddSliceNode(name)
        node.SetOrientation(orientation)
        node.SetLayoutLabel(name[0])
        node.SetLayoutColor(*colour)
        node.SetMappedInLayout(1)
        node.SetDimensions(*VIEW_SIZE)
        node.SetFieldOfView(VIEW_SIZE[0], VIEW_SIZE[1], 1)
        self.logic.GetSliceLogics().AddItem(logic)
        self.sliceLogics[name] = logic

    def show(self, volume: Any) -> None:
        """Show a volume in the background of every view, fitted and snapped to its slices."""
        for logic in self.sliceLogics.values():
            logic.GetSliceCompositeNode().SetBackgroundVolumeID(volume.GetID())
            logic.FitSliceToBackground()
            logic.SnapSliceOffsetToIJK()
            logic.UpdatePipeline()

    def sliceImage(self, name: str) -> npt.NDArray[np.uint8]:
        """(height, width, 3) of what a slice view shows, background and segments, row 0 at the top."""
        return self.sliceView(name).draw()

    def sliceView(self, name: str) -> pictures.SliceView:
        """The window of a slice view, made on the first call."""
        if name not in self._views:
            self._views[name] = pictures.SliceView(self.sliceLogics[name], self.logic)
        return self._views[name]

    def closeViews(self) -> None:
        """Ends the windows that `sliceImage` draws in."""
        while self._views:
            self._views.popitem()[1].close()

    def loadSeries(self, folder: str | Path) -> Any:
        """Loads the DICOM series of a folder, as a user does with the DICOM module, and shows it; the volume node."""
        volume = files.load_series(folder)
        self.show(volume)
        return volume

    def saveScene(self, path: str | Path) -> None:
        """Saves an .mrb, or an .mrml with its data beside it. Raises AssertionError where it fails."""
        assert files.save_scene(str(path)), f"cannot save {path}"

    def loadScene(self, path: str | Path) -> None:
        """Closes the scene and loads another in its place. Raises AssertionError where it fails."""
        assert files.load_scene(str(path)), f"cannot load {path}"

    def closeScene(self) -> None:
        """File, Close Scene."""
        self.mrmlScene.Clear(0)
