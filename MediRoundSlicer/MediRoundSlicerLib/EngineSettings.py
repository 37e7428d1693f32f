"""What the engine process is started with: pure data."""

import dataclasses
from dataclasses import dataclass


@dataclass(frozen=True)
class EngineSettings:
    """
    Attributes:
        python: the interpreter that the engine runs in; "" for Slicer's own.
        checkpoint: a shipped checkpoint's name, or a folder.
        device: "auto", "cpu", "cuda" or "cuda:N".
        dtype: "auto", "float32", "bfloat16" or "float16".
        quantize: "4bit", "8bit" or None.
        threshold: JCM's beta in [0, 1], or None for the checkpoint's own.
        jcm: whether poor features are corrected.
        heldBytes: memory for the caches of all dialogues and images together, or None for what fits the device.
    """

    python: str = ""
    checkpoint: str = "mediround-tiny"
    device: str = "auto"
    dtype: str = "auto"
    quantize: str | None = None
    threshold: float | None = None
    jcm: bool = True
    heldBytes: int | None = None

    def sameProcess(self, other: "EngineSettings") -> bool:
        """Whether a process that was started with these needs no new start for `other`."""
        return dataclasses.replace(self, threshold=other.threshold, jcm=other.jcm) == other
