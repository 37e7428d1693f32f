"""Images in and out of physical space: reading files, showing one slice, carrying its masks back. Imports no torch."""

from MediRoundLib.volumes.files import read_volume
from MediRoundLib.volumes.slices import Slice, take_slice
from MediRoundLib.volumes.volume import Volume

__all__ = ["Slice", "Volume", "read_volume", "take_slice"]
