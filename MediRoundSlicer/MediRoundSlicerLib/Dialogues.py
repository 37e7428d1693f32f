"""What a dialogue is: pure data, without nodes, widgets or torch, and its form as JSON inside the scene."""

import base64
import dataclasses
import json
import math
import uuid
import zlib
from dataclasses import dataclass, field
from types import UnionType
from typing import Any, Self, get_args, get_origin, get_type_hints

import numpy as np
from numpy.typing import NDArray
from slicer.i18n import tr as _

VERSION = 1


class DialogueError(Exception):
    """Something that the user can act on; the text is one sentence with the way out, and is shown as it is."""


def newID() -> str:
    return uuid.uuid4().hex


@dataclass(frozen=True)
class PlaneGrid:
    """The pixels of a captured slice, in the patient.

    Attributes:
        pixelToRAS: 16 numbers, row by row: (column, row, 0, 1) of a pixel's centre to world RAS in mm on the slice
            plane, as captured; pixel (0, 0) is at the top left, as displayed.
        pixelToIJK: the same to the volume's voxels, where the plane is one of them: it stays true when the volume's
            transform changes. None for an oblique plane, or a volume under a transform that is not linear.
        shape: (rows, columns) of the image that the engine sees.
        axis: the volume's IJK axis (0, 1, 2) that the plane is perpendicular to, or None for an oblique plane.
        index: the voxel plane along that axis, from 0; None for an oblique plane.
        orientation: "axial", "coronal", "sagittal" or "oblique": the nearest anatomical plane, for the user.
        offset: position along the plane's normal in mm, for the user.
    """

    pixelToRAS: tuple[float, ...]
    pixelToIJK: tuple[float, ...] | None
    shape: tuple[int, int]
    axis: int | None
    index: int | None
    orientation: str
    offset: float

    @property
    def matrix(self) -> NDArray[np.float64]:
        """(4, 4) of `pixelToRAS`."""
        return np.array(self.pixelToRAS, dtype=np.float64).reshape(4, 4)


@dataclass(frozen=True)
class Reference:
    """The segment that a query leans on.

    Attributes:
        segmentID: the segment whose mask, as it is when asked, goes into the query.
        roundID: the round that made it, or None for a segment that the user drew or loaded.
        phrase: the words of the query that said so; "" where the user chose.
        chosen: whether the user chose it with the chip, against the words.
    """

    segmentID: str
    roundID: str | None = None
    phrase: str = ""
    chosen: bool = False


@dataclass(frozen=True)
class Round:
    """One query and what came of it.

    Attributes:
        id: never changes.
        number: from 1, "round 2" and "instance 2" in queries; stays when an earlier round is deleted.
        query, answer, text: the user's words; the exact answer with `[SEG]`; the answer as shown.
        name: the structure's name as the query has it.
        autoName: the name that its segment was given; another name on the segment is the user's own.
        segmentID: the segment that holds its mask.
        reference: what it leaned on, or None.
        referenceMask: that mask as the engine saw it, packed by `packMask`, or "".
        quality, qualityCorrected: the judge's scores in [0, 1] before and after correction, or None.
        corrected: whether the corrector rewrote the feature.
        seconds: time that the engine took.
        model: name of the checkpoint.
        window, level: what the slice was shown with; None for colours.
        pixels: size of the mask on the captured image.
    """

    id: str
    number: int
    query: str
    answer: str
    text: str
    name: str
    autoName: str
    segmentID: str
    reference: Reference | None = None
    referenceMask: str = ""
    quality: float | None = None
    qualityCorrected: float | None = None
    corrected: bool = False
    seconds: float = 0.0
    model: str = ""
    window: float | None = None
    level: float | None = None
    pixels: int = 0

    @property
    def finalQuality(self) -> float | None:
        """The score of the feature that drew the mask."""
        return self.quality if self.qualityCorrected is None else self.qualityCorrected


@dataclass(frozen=True)
class Dialogue:
    """The rounds about one slice.

    Attributes:
        id: never changes.
        title: for the list of dialogues, such as "Axial 34".
        plane: where it is about.
        viewName: the slice view that it was begun in, such as "Red".
        rounds: oldest first.
        begun: order of beginning among the scene's dialogues, from 1.
    """

    id: str
    title: str
    plane: PlaneGrid
    viewName: str
    rounds: tuple[Round, ...] = ()
    begun: int = 0

    @property
    def nextNumber(self) -> int:
        return max((done.number for done in self.rounds), default=0) + 1

    def round(self, roundID: str) -> Round | None:
        return next((done for done in self.rounds if done.id == roundID), None)

    def before(self, roundID: str) -> tuple[Round, ...]:
        """The rounds before that one."""
        ids = [done.id for done in self.rounds]
        return self.rounds[: ids.index(roundID)]

    def withRound(self, made: Round) -> "Dialogue":
        """With `made` in the place of the round of its id, or at the end."""
        if self.round(made.id) is None:
            return dataclasses.replace(self, rounds=(*self.rounds, made))
        return dataclasses.replace(self, rounds=tuple(made if done.id == made.id else done for done in self.rounds))

    def withoutRound(self, roundID: str) -> "Dialogue":
        return dataclasses.replace(self, rounds=tuple(done for done in self.rounds if done.id != roundID))

    def toJSON(self) -> str:
        return json.dumps({"version": VERSION, **dataclasses.asdict(self)}, ensure_ascii=False)

    @classmethod
    def fromJSON(cls, text: str) -> Self:
        """Raises DialogueError for what is not a dialogue, or one of a later version."""
        try:
            record = json.loads(text)
            version = record.pop("version")
            if version > VERSION:
                raise DialogueError(
                    _("The scene holds a dialogue of a later version of MediRound; update the extension to see it.")
                )
            plane = _known(PlaneGrid, record.pop("plane"))
            if {len(matrix) for matrix in (plane.pixelToRAS, plane.pixelToIJK) if matrix is not None} != {16}:
                raise ValueError("matrix")
            rounds = tuple(_round(made) for made in record.pop("rounds"))
            dialogue: Self = _known(cls, {**record, "plane": plane, "rounds": rounds})
            return dialogue
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DialogueError(
                _("A dialogue of the scene is damaged and was left out; its segments are there.")
            ) from error


def _round(record: dict[str, Any]) -> Round:
    reference = record.pop("reference", None)
    made: Round = _known(Round, {**record, "reference": None if reference is None else _known(Reference, reference)})
    return made


def _known(kind: Any, record: dict[str, Any]) -> Any:
    """A dataclass from the fields that it has: what a later version adds is let pass.

    Raises:
        TypeError: a field is missing, or is something else than it should be.
    """
    types = get_type_hints(kind)
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in record.items()}
    for name, value in values.items():
        if name in types and not _fits(value, types[name]):
            raise TypeError(f"{kind.__name__}.{name}")
    return kind(**{name: value for name, value in values.items() if name in types})


def _fits(value: Any, kind: Any) -> bool:
    """Whether a value is of a field's type, such as `float | None` or `tuple[int, int]`."""
    parts = get_args(kind)
    if isinstance(kind, UnionType):
        return any(_fits(value, part) for part in parts)
    if get_origin(kind) is tuple:
        if not isinstance(value, tuple):
            return False
        wanted = parts[:1] * len(value) if parts[-1] is Ellipsis else parts
        return len(value) == len(wanted) and all(map(_fits, value, wanted))
    if kind is float:
        return isinstance(value, int | float) and math.isfinite(value)
    return isinstance(value, kind)


def packMask(mask: NDArray[np.bool_]) -> str:
    """(H, W) bool to a short text: "H W " and its bits, deflated, in base64."""
    bits = base64.b64encode(zlib.compress(np.packbits(mask).tobytes())).decode("ascii")
    return f"{mask.shape[0]} {mask.shape[1]} {bits}"


def unpackMask(text: str) -> NDArray[np.bool_]:
    """The inverse of `packMask`. Raises ValueError for another text."""
    height, width, bits = text.split(" ")
    shape = int(height), int(width)
    try:
        values = np.frombuffer(zlib.decompress(base64.b64decode(bits)), np.uint8)
    except zlib.error as error:
        raise ValueError(str(error)) from error
    return np.unpackbits(values, count=shape[0] * shape[1]).reshape(shape).astype(bool)


@dataclass(frozen=True)
class Told:
    """A round as the engine is told it again: what its memory of the dialogue is made of.

    Attributes:
        key: equal for equal query, answer and reference mask.
        query, answer: exact.
        reference: (H, W) bool or None.
    """

    key: str
    query: str
    answer: str
    reference: NDArray[np.bool_] | None = field(default=None, compare=False)

    @classmethod
    def of(cls, done: Round) -> Self:
        digest = zlib.crc32(f"{done.query}\0{done.answer}\0{done.referenceMask}".encode())
        mask = unpackMask(done.referenceMask) if done.referenceMask else None
        return cls(f"{done.id}:{digest:08x}", done.query, done.answer, mask)
