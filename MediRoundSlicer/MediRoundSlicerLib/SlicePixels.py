"""Pixels of a plane through a volume, made by the same steps as a slice view makes them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import slicer
import vtk
from numpy.typing import NDArray
from slicer.i18n import tr as _
from vtk.util.numpy_support import vtk_to_numpy

from MediRoundSlicerLib import Transforms
from MediRoundSlicerLib.Dialogues import DialogueError, PlaneGrid
from MediRoundSlicerLib.PlaneGeometry import Floats

_OPAQUE = 255


@dataclass(frozen=True)
class Slab:
    """A view that shows several slices as one.

    Attributes:
        mode: how they are joined, as vtkImageReslice counts the ways.
        slices: how many.
        fraction: their distance, in parts of `step`.
        step: (3,) along the view's normal in world, in mm.
    """

    mode: int
    slices: int
    fraction: float
    step: Floats


def check(volumeNode: Any) -> None:
    """Raises DialogueError for a volume that slice views cannot show as an image."""
    image = volumeNode.GetImageData()
    colours = volumeNode.IsA("vtkMRMLVectorVolumeNode")
    tensors = volumeNode.IsA("vtkMRMLDiffusionTensorVolumeNode")
    if tensors or (colours and image.GetNumberOfScalarComponents() not in (3, 4)):
        raise DialogueError(
            _("{volume} holds vectors and no colours or grey values; choose another volume.").format(
                volume=volumeNode.GetName()
            )
        )
    if image.GetScalarType() in (vtk.VTK_LONG_LONG, vtk.VTK_UNSIGNED_LONG_LONG):
        raise DialogueError(
            _("Slice views cannot show the 64-bit numbers of {volume}; convert it with Cast Scalar Volume.").format(
                volume=volumeNode.GetName()
            )
        )


def slabOf(view: Any, volumeNode: Any) -> Slab | None:
    """The thick slab that a slice node shows of a volume, or None where it shows a thin slice."""
    if not view.GetSlabReconstructionEnabled():
        return None
    xyToRAS = Transforms.arrayOf(view.GetXYToRAS())
    if view.GetSliceSpacingMode() == slicer.vtkMRMLSliceNode.PrescribedSliceSpacingMode:
        spacing = view.GetPrescribedSliceSpacing()[2]
    else:
        # The distance of slices along the voxels' axis that is nearest to the view's normal.
        matrix = Transforms.ijkToWorld(volumeNode)
        matrix = Transforms.ijkToRAS(volumeNode) if matrix is None else matrix
        normal = xyToRAS[:3, 2] / np.linalg.norm(xyToRAS[:3, 2])
        axis = int(np.argmax(np.abs(np.linalg.solve(matrix[:3, :3], normal))))
        spacing = abs(float(normal @ matrix[:3, axis]))
    thickness = view.GetSlabReconstructionThickness()
    if spacing <= 0 or thickness <= spacing:
        return None
    fraction = spacing / view.GetSlabReconstructionOversamplingFactor()
    return Slab(view.GetSlabReconstructionType(), int(thickness / spacing), fraction, xyToRAS[:3, 2])


def render(volumeNode: Any, plane: PlaneGrid, slab: Slab | None = None) -> NDArray[np.uint8]:
    """The pixels of a plane as displayed: (H, W) uint8 for greys, (H, W, 3) for colours."""
    if volumeNode.GetDisplayNode() is None:
        volumeNode.CreateDefaultDisplayNodes()
    display = volumeNode.GetDisplayNode()
    reslice = _reslice(volumeNode, plane, slab, not display.GetInterpolate())
    shown = display.NewInstance()
    # As the slice views do: a display node of its own, with the volume's levels and none computed from the slice.
    modifying = shown.StartModify()
    shown.SetScene(display.GetScene())
    shown.Copy(display)
    shown.SetAutoWindowLevel(0)
    shown.SetAutoThreshold(0)
    shown.EndModify(modifying)
    shown.SetInputImageDataConnection(reslice.GetOutputPort())
    shown.SetBackgroundImageStencilDataConnection(reslice.GetOutputPort(1))
    output = shown.GetOutputImageDataConnection()
    output.GetProducer().Update()
    image = output.GetProducer().GetOutputDataObject(output.GetIndex())
    pixels = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(*plane.shape, -1)
    return _onBlack(pixels, volumeNode.IsA("vtkMRMLVectorVolumeNode"))


def _reslice(volumeNode: Any, plane: PlaneGrid, slab: Slab | None, blocky: bool) -> Any:
    reslice = vtk.vtkImageReslice()
    reslice.SetInputData(volumeNode.GetImageData())
    reslice.SetBackgroundColor(0, 0, 0, 0)
    reslice.AutoCropOutputOff()
    reslice.SetOutputOrigin(0, 0, 0)
    reslice.SetOutputSpacing(1, 1, 1)
    reslice.SetOutputDimensionality(3)
    reslice.SetOutputExtent(0, plane.shape[1] - 1, 0, plane.shape[0] - 1, 0, 0)
    reslice.GenerateStencilOutputOn()
    reslice.SetResliceTransform(_transform(volumeNode, plane, slab))
    if blocky or (slab is None and _onVoxels(plane)):
        reslice.SetInterpolationModeToNearestNeighbor()
    else:
        reslice.SetInterpolationModeToLinear()
    if slab is not None:
        reslice.SetSlabMode(slab.mode)
        reslice.SetSlabNumberOfSlices(slab.slices)
        reslice.SetSlabSliceSpacingFraction(slab.fraction)
    return reslice


def _transform(volumeNode: Any, plane: PlaneGrid, slab: Slab | None) -> Any:
    """From (column, row, height) to voxels."""
    world, bent = Transforms.ijkToWorld(volumeNode), False
    straight = Transforms.ijkToRAS(volumeNode) if world is None else world
    if plane.pixelToIJK is not None:
        matrix = np.array(plane.pixelToIJK).reshape(4, 4)
    else:
        bent = world is None
        matrix = plane.matrix if bent else np.linalg.solve(straight, plane.matrix)
    if slab is not None:
        matrix[:3, 2] = slab.step if bent else np.linalg.solve(straight[:3, :3], slab.step)
    if not bent:
        linear = vtk.vtkTransform()
        linear.SetMatrix(Transforms.matrixOf(matrix))
        return linear
    general = vtk.vtkGeneralTransform()
    general.PostMultiply()
    general.Concatenate(Transforms.matrixOf(matrix))
    general.Concatenate(Transforms.generalFromWorld(volumeNode))
    general.Concatenate(Transforms.matrixOf(np.linalg.inv(straight)))
    return general


def _onVoxels(plane: PlaneGrid) -> bool:
    """Whether every pixel is a voxel."""
    if plane.pixelToIJK is None:
        return False
    matrix = np.array(plane.pixelToIJK)
    return bool(np.abs(matrix - np.rint(matrix)).max() < 1e-9)


def _onBlack(pixels: NDArray[np.uint8], colours: bool) -> NDArray[np.uint8]:
    """Colours, or one grey where all of them are equal, on the view's black; the last component is opacity."""
    if pixels.shape[2] in (2, 4, 5):
        opacity = pixels[..., -1]
        pixels = pixels[..., : 3 if pixels.shape[2] > 2 else 1]
        if (opacity != _OPAQUE).any():
            pixels = np.rint(pixels * (opacity[..., None] / _OPAQUE)).astype(np.uint8)
    grey = pixels.shape[2] == 1 or not (
        colours or any((pixels[..., 0] != pixels[..., other]).any() for other in range(1, pixels.shape[2]))
    )
    return np.ascontiguousarray(pixels[..., 0] if grey else pixels)
