"""Pictures of the slice views: Slicer's own displayable managers, drawn offscreen."""

import os
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import slicer
import vtk
from vtk.util.numpy_support import vtk_to_numpy

# What draws in a slice view beside its background, as far as this module is concerned.
MANAGERS = ("vtkMRMLModelSliceDisplayableManager", "vtkMRMLSegmentationsDisplayableManager2D")


class SliceView:
    """The window of one slice view.

    ```
    view = SliceView(sliceLogic, applicationLogic)
    pixels = view.draw()        # (height, width, 3) uint8, row 0 at the top
    view.close()
    ```
    """

    def __init__(self, logic: Any, application: Any) -> None:
        if sys.platform == "linux":
            # Mesa draws without a display and without a GPU.
            os.environ.setdefault("VTK_DEFAULT_OPENGL_WINDOW", "vtkEGLRenderWindow")
        self._logic = logic
        self._observers: list[tuple[Any, int]] = []
        self._window = vtk.vtkRenderWindow()
        self._window.SetOffScreenRendering(1)
        self._window.SetMultiSamples(0)
        renderer = vtk.vtkRenderer()
        self._window.AddRenderer(renderer)
        self._interactor = vtk.vtkGenericRenderWindowInteractor()
        self._interactor.SetRenderWindow(self._window)
        self._mapper = vtk.vtkImageMapper()
        self._mapper.SetColorWindow(255)
        self._mapper.SetColorLevel(127.5)
        background = vtk.vtkActor2D()
        background.SetMapper(self._mapper)
        background.GetProperty().SetDisplayLocationToBackground()
        # Before the managers add theirs: what is drawn first lies under the half transparent segments.
        renderer.AddViewProp(background)
        self._background = background
        factory = slicer.vtkMRMLSliceViewDisplayableManagerFactory.GetInstance()
        factory.SetMRMLApplicationLogic(application)
        for name in MANAGERS:
            if not factory.IsDisplayableManagerRegistered(name):
                factory.RegisterDisplayableManager(name)
        self._group = factory.InstantiateDisplayableManagers(renderer)
        self._group.SetMRMLDisplayableNode(logic.GetSliceNode())

    def draw(self) -> npt.NDArray[np.uint8]:
        """(height, width, 3) of what the view shows, as Slicer draws it, row 0 at the top."""
        width, height, _slices = self._logic.GetSliceNode().GetDimensions()
        self._window.SetSize(width, height)
        self._logic.UpdatePipeline()
        image = self._logic.GetImageDataConnection()
        shows = image is not None and bool(self._logic.GetSliceCompositeNode().GetBackgroundVolumeID())
        if shows:
            self._mapper.SetInputConnection(image)
        self._background.SetVisibility(shows)
        self._window.Render()
        pixels = vtk.vtkUnsignedCharArray()
        self._window.GetPixelData(0, 0, width - 1, height - 1, 0, pixels, 0)
        return vtk_to_numpy(pixels).reshape(height, width, 3)[::-1].copy()

    def onChange(self, changed: Callable[[], None]) -> None:
        """Calls a function whenever the view should be drawn again."""
        for subject, event in (
            (self._group, vtk.vtkCommand.UpdateEvent),
            (self._logic, vtk.vtkCommand.ModifiedEvent),
            (self._logic.GetSliceNode(), vtk.vtkCommand.ModifiedEvent),
        ):
            self._observers.append((subject, subject.AddObserver(event, lambda *_event: changed())))

    def close(self) -> None:
        """Ends what observes the scene."""
        for subject, tag in self._observers:
            subject.RemoveObserver(tag)
        self._group.SetMRMLDisplayableNode(None)
        self._interactor.SetRenderWindow(None)
        self._window.Finalize()
