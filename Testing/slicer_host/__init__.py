"""A small host for the Slicer module's tests: Slicer's real MRML libraries, and PySide6 with PythonQt's manners.

It imitates what 3D Slicer gives to a scripted module, as far as this module uses it, and nothing more.

```
host = Host()                            # with Qt, a scene, `qt`, `ctk` and `slicer.app`
widget = host.openModule("MediRoundSlicer")
host.typeText(widget.ui.query, "Segment the liver.")
host.key(widget.ui.query, "Enter")
host.wait(lambda: widget.rounds, 30, "the answer")
```
`slicer_host.scene` is the scene alone, without Qt.
"""

from typing import Any


def __getattr__(name: str) -> Any:
    if name != "Host":
        raise AttributeError(name)
    from slicer_host.host import Host  # only here does Qt come in

    return Host
