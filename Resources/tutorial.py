"""Makes the pictures of the README's tutorial: the path that the tests walk, in a window with the slice views.

python -m Resources.tutorial      # writes Resources/tutorial_*.png
"""

import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
# The first round starts the engine and loads its model.
PATIENCE = 180.0


def main() -> None:
    for folder in (ROOT / "Testing", ROOT / "MediRoundSlicer" / "Testing" / "Python"):
        sys.path.insert(0, str(folder))
    from slicer_host import Host
    from slicer_host.hand import Hand
    from slicer_host.window import open_window

    host = Host()
    open_window(host, None)

    import slicer
    from MediRoundSlicerJourney import Journey

    def look(name: str) -> None:
        for _turn in range(15):  # the slice views paint a moment later
            host.application.thread().msleep(20)
            host.turn()
        path = HERE / f"tutorial_{name}.png"
        host.shotPanel(path)
        print(path.relative_to(ROOT))

    volume = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")[0]
    with tempfile.TemporaryDirectory() as scratch:
        Journey(slicer.modules.MediRoundSlicerWidget, volume, Path(scratch), Hand(host, PATIENCE), look).walk()
    host.close()


if __name__ == "__main__":
    main()
