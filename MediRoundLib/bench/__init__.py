"""What `mediround bench` measures; reports are plain data for JSON, and Markdown that reads well in a terminal."""

from MediRoundLib.bench.parts import PARTS
from MediRoundLib.bench.setting import ANSWER, hardware, picture, queries
from MediRoundLib.bench.ways import bench

__all__ = ["ANSWER", "PARTS", "bench", "hardware", "picture", "queries"]
