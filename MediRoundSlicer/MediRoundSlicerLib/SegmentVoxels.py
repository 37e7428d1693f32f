"""Voxels of one segment, read and changed in place; no other segment and no other voxel is touched.

Several segments may share a labelmap, each with its own label value. A change that would take voxels from another one,
or make a shared labelmap larger, first gives the segment a labelmap of its own. A labelmap is as large as what is in it
needs, so cost follows the segment and not the volume.
"""

import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import slicer
import vtk
from numpy.typing import NDArray
from vtk.util.numpy_support import vtk_to_numpy

from MediRoundSlicerLib import Transforms
from MediRoundSlicerLib.PlaneGeometry import Floats
from MediRoundSlicerLib.PlaneVoxels import Whole

Index = tuple[Whole, Whole, Whole]


@dataclass(frozen=True)
class Block:
    """Voxels of a segment, packed: the box that holds them all, on the grid of its labelmap.

    Attributes:
        matrix: IJK to the segmentation's own RAS, 16 numbers.
        low: (k, j, i) of the box's first voxel.
        shape: of the box in voxels, (k, j, i); zeros where the segment is empty.
        bits: its voxels, one bit each, deflated.
    """

    matrix: tuple[float, ...]
    low: tuple[int, ...]
    shape: tuple[int, ...]
    bits: bytes

    @property
    def index(self) -> Index:
        k, j, i = (np.arange(start, start + count) for start, count in zip(self.low, self.shape, strict=True))
        return k[:, None, None], j[None, :, None], i[None, None, :]

    @property
    def voxels(self) -> NDArray[np.bool_]:
        bits = np.frombuffer(zlib.decompress(self.bits), np.uint8)
        return np.unpackbits(bits, count=int(np.prod(self.shape))).reshape(self.shape).astype(bool)


def representationName() -> str:
    return str(slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName())


def labelmapOf(segmentation: Any, segmentID: str) -> Any:
    """The vtkOrientedImageData of a segment, which it may share with others; None where it has none."""
    return segmentation.GetSegment(segmentID).GetRepresentation(representationName())


def matrixOf(image: Any) -> Floats | None:
    """(4, 4) IJK to the segmentation's own RAS; None for a labelmap without voxels, whose grid means nothing."""
    if image is None or _array(image) is None:
        return None
    matrix = vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(matrix)
    return Transforms.arrayOf(matrix)


def read(segmentation: Any, segmentID: str, index: Index) -> NDArray[np.bool_]:
    """Whether the voxels are the segment's; `index` is (k, j, i) on its labelmap's grid, broadcasting."""
    image = labelmapOf(segmentation, segmentID)
    array = None if image is None else _array(image)
    if array is None:
        return np.zeros(np.broadcast_shapes(*(axis.shape for axis in index)), bool)
    return _read(array, _low(image), index, segmentation.GetSegment(segmentID).GetLabelValue())


def write(segmentation: Any, segmentID: str, matrix: Floats, index: Index, values: NDArray[np.bool_]) -> bool:
    """Set or clear voxels of a segment, and tell whoever shows it.

    Args:
        segmentation: a vtkSegmentation that stores binary labelmaps.
        segmentID: the segment.
        matrix: (4, 4) of its labelmap, or of the labelmap to be made where it is empty.
        index: (k, j, i) on that grid: three flat arrays, or three that span a box, each along its own axis.
        values: bool, broadcasting with `index`.

    Returns:
        Whether anything changed.
    """
    segment = segmentation.GetSegment(segmentID)
    own = read(segmentation, segmentID, index)
    added, removed = values & ~own, own & ~values
    if not added.any() and not removed.any():
        return False
    if added.any():
        image = _roomFor(segmentation, segmentID, matrix, index, added)
    else:
        image = labelmapOf(segmentation, segmentID)
    array = _array(image)
    assert array is not None
    within, places = _places(index, _low(image), array.shape)
    voxels = array[places]
    voxels[removed[within]] = 0
    voxels[added[within]] = segment.GetLabelValue()
    array[places] = voxels
    # Not the image's own event: at that, Slicer would throw the surfaces of all segments away.
    image.GetPointData().GetScalars().Modified()
    _announce(segmentation, segmentID)
    return True


def pack(segmentation: Any, segmentID: str) -> Block:
    """All voxels of a segment."""
    image = labelmapOf(segmentation, segmentID)
    array = None if image is None else _array(image)
    if array is None:
        return Block(tuple(np.eye(4).ravel()), (0, 0, 0), (0, 0, 0), zlib.compress(b""))
    own = array == segmentation.GetSegment(segmentID).GetLabelValue()
    box = _box(own)
    low = tuple(int(start + part.start) for start, part in zip(_low(image), box, strict=True))
    matrix = matrixOf(image)
    assert matrix is not None
    bits = zlib.compress(np.packbits(own[box]).tobytes(), 1)
    return Block(tuple(map(float, matrix.ravel())), low, tuple(own[box].shape), bits)


def imageOf(block: Block) -> Any:
    """A labelmap of just these voxels, with label 1."""
    matrix = np.array(block.matrix).reshape(4, 4)
    image = _newImage(None, matrix, np.array(block.low), np.array(block.shape), vtk.VTK_UNSIGNED_CHAR)
    array = _array(image)
    if array is not None:
        array[:] = block.voxels
    return image


def separate(segmentation: Any, segmentID: str) -> None:
    """Give a segment a labelmap of its own, as small as it can be."""
    if _isShared(segmentation, segmentID):
        _detach(segmentation, segmentID)


def _announce(segmentation: Any, segmentID: str) -> None:
    """Tell that a segment's voxels changed, and make its surface again where surfaces are shown."""
    segment = segmentation.GetSegment(segmentID)
    names: list[str] = []
    segment.GetContainedRepresentationNames(names)
    for name in names:
        if name != representationName():
            segment.RemoveRepresentation(name)
            segmentation.CreateRepresentation(name)
    segmentation.InvokeEvent(slicer.vtkSegmentation.SourceRepresentationModified, segmentID)
    segmentation.InvokeEvent(slicer.vtkSegmentation.RepresentationModified, segmentID)


def _isShared(segmentation: Any, segmentID: str) -> bool:
    others: list[str] = []
    segmentation.GetSegmentIDsSharingBinaryLabelmapRepresentation(segmentID, others, False)
    return bool(others)


def _roomFor(segmentation: Any, segmentID: str, matrix: Floats, index: Index, added: NDArray[np.bool_]) -> Any:
    """The segment's labelmap, made so that voxels can be added to it without harm to other segments."""
    image = labelmapOf(segmentation, segmentID)
    array = None if image is None else _array(image)
    first, last = _bounds(index, added)
    if array is not None:
        inside = bool((first >= _low(image)).all() and (last < _low(image) + array.shape).all())
        if inside and (not _isShared(segmentation, segmentID) or _isFree(array, _low(image), index, added)):
            return image
        if _isShared(segmentation, segmentID):
            image = _detach(segmentation, segmentID)
            array = _array(image)
    low, end = first, last + 1
    if array is not None:
        low, end = np.minimum(low, _low(image)), np.maximum(end, _low(image) + array.shape)
    kind = vtk.VTK_UNSIGNED_CHAR if array is None else image.GetScalarType()
    made = _newImage(image if array is not None else None, matrix, low, end - low, kind)
    if array is not None:
        start = _low(image) - low
        into = _array(made)
        assert into is not None
        into[tuple(slice(s, s + n) for s, n in zip(start, array.shape, strict=True))] = array
    else:
        segmentation.GetSegment(segmentID).SetLabelValue(1)
    segmentation.GetSegment(segmentID).AddRepresentation(representationName(), made)
    return made


def _detach(segmentation: Any, segmentID: str) -> Any:
    """Move a segment's voxels into a new labelmap of its own, which is returned."""
    segment, image = segmentation.GetSegment(segmentID), labelmapOf(segmentation, segmentID)
    array, label = _array(image), segment.GetLabelValue()
    assert array is not None
    own = array == label
    box = _box(own)
    low = _low(image) + [part.start for part in box]
    matrix = matrixOf(image)
    assert matrix is not None
    made = _newImage(image, matrix, low, np.array(own[box].shape), vtk.VTK_UNSIGNED_CHAR)
    into = _array(made)
    if into is not None:
        into[:] = own[box]
    array[box][own[box]] = 0
    image.GetPointData().GetScalars().Modified()
    segment.SetLabelValue(1)
    segment.AddRepresentation(representationName(), made)
    return made


def _newImage(like: Any, matrix: Floats, low: Any, shape: Any, kind: int) -> Any:
    """A labelmap of zeros over a box; `like` has the same grid to the last digit, or is None."""
    image = slicer.vtkOrientedImageData()
    if like is None:
        image.SetGeometryFromImageToWorldMatrix(Transforms.matrixOf(matrix))
    else:
        image.SetOrigin(like.GetOrigin())
        image.SetSpacing(like.GetSpacing())
        image.CopyDirections(like)
    last = np.asarray(low) + shape - 1
    image.SetExtent(*(int(bound) for axis in (2, 1, 0) for bound in (low[axis], last[axis])))
    image.AllocateScalars(kind, 1)
    array = _array(image)
    if array is not None:
        array[:] = 0
    return image


def _array(image: Any) -> NDArray[Any] | None:
    """The (k, j, i) voxels of a labelmap, shared with it; None where it has none."""
    scalars = image.GetPointData().GetScalars()
    dimensions = image.GetDimensions()
    if scalars is None or min(dimensions) < 1:
        return None
    return np.asarray(vtk_to_numpy(scalars)).reshape(dimensions[::-1])


def _low(image: Any) -> Whole:
    """(k, j, i) of a labelmap's first voxel."""
    extent = image.GetExtent()
    return np.array([extent[4], extent[2], extent[0]])


def _read(array: NDArray[Any], low: Whole, index: Index, label: int) -> NDArray[np.bool_]:
    places, inside = [], np.ones((), bool)
    for axis, start, count in zip(index, low, array.shape, strict=True):
        inside = inside & (axis >= start) & (axis < start + count)
        places.append(np.clip(axis - start, 0, count - 1))
    return (array[tuple(places)] == label) & inside


def _places(index: Index, low: Whole, shape: tuple[int, ...]) -> tuple[Any, Any]:
    """Which of the voxels are in a labelmap, as an index into their values, and where they are in it."""
    axes = [axis - start for axis, start in zip(index, low, strict=True)]
    kept = [(axis >= 0) & (axis < count) for axis, count in zip(axes, shape, strict=True)]
    if axes[0].ndim == 1:
        inside = kept[0] & kept[1] & kept[2]
        return inside, tuple(axis[inside] for axis in axes)
    chosen = [np.flatnonzero(one) for one in kept]
    return np.ix_(*chosen), np.ix_(*(axis.ravel()[one] for axis, one in zip(axes, chosen, strict=True)))


def _isFree(array: NDArray[Any], low: Whole, index: Index, added: NDArray[np.bool_]) -> bool:
    """Whether no segment of a labelmap has any of these voxels."""
    within, places = _places(index, low, array.shape)
    return not array[places][added[within]].any()


def _bounds(index: Index, mask: NDArray[np.bool_]) -> tuple[Whole, Whole]:
    """First and last (k, j, i) of the voxels where the mask is set."""
    if mask.ndim == 1:
        found = [axis[mask] for axis in index]
    else:
        found = [axis.ravel()[part] for axis, part in zip(index, _box(mask), strict=True)]
    return np.array([axis.min() for axis in found]), np.array([axis.max() for axis in found])


def _box(own: NDArray[np.bool_]) -> tuple[slice, slice, slice]:
    """The smallest box around what is set; an empty one where nothing is."""
    parts = []
    for axis in range(3):
        found = np.flatnonzero(own.any(axis=tuple(other for other in range(3) if other != axis)))
        parts.append(slice(int(found[0]), int(found[-1]) + 1) if found.size else slice(0, 0))
    return parts[0], parts[1], parts[2]
