"""python -m slicer_host [SOURCE] [--shot FILE] [--dark]: the module in a window, for people who change its panel."""

import argparse
import os
from pathlib import Path


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m slicer_host", description="MediRoundSlicer without 3D Slicer")
    parser.add_argument("source", nargs="?", type=Path, help="a volume, or a folder of DICOM files; else a drawn study")
    parser.add_argument("--shot", type=Path, metavar="FILE", help="paint the window into a PNG file and end")
    parser.add_argument("--dark", action="store_true", help="Slicer's dark style")
    arguments = parser.parse_args()
    if not arguments.shot:
        os.environ.setdefault("QT_QPA_PLATFORM", "")  # Qt's own choice; the host's is offscreen

    from slicer_host.host import Host
    from slicer_host.style import DARK
    from slicer_host.window import open_window

    host = Host(waits=not arguments.shot)
    if arguments.dark:
        host.setStyle(DARK)
    open_window(host, arguments.source)
    if arguments.shot:
        for _turn in range(20):
            host.application.thread().msleep(20)
            host.turn()
        host.shotPanel(arguments.shot)
    else:
        host.application.exec()
    host.close()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
