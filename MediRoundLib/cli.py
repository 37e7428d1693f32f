"""The command `mediround`: one module a subcommand in `MediRoundLib.commands`, and what is common to them."""

import argparse
import io
import sys
from collections.abc import Sequence

from MediRoundLib import __version__
from MediRoundLib.commands import bench, chat, convert, evaluate, info, worker
from MediRoundLib.errors import MediRoundError, is_out_of_memory

# Each has HELP, add_arguments(parser) and run(args) -> exit code, and imports what is heavy only when it runs.
_COMMANDS = {
    "bench": bench,
    "chat": chat,
    "convert": convert,
    "evaluate": evaluate,
    "info": info,
    "worker": worker,
}

_FAILED, _INTERRUPTED = 2, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line. Returns the exit code: 0, 2 for an error that was explained, 130 after Ctrl-C."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without Chinese shows "?" instead of a traceback
    args = _parser().parse_args(argv)
    try:
        code: int = _COMMANDS[args.command].run(args)
        return code
    except MediRoundError as error:
        return _explain(str(error))
    except KeyboardInterrupt:
        return _INTERRUPTED
    except OSError as error:
        return _explain(f"{error.filename or 'A file'} cannot be read or written ({error.strerror or error}).")
    except Exception as error:
        if is_out_of_memory(error):
            return _explain("The computer ran out of memory; close other programs, or choose a smaller image or model.")
        raise


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mediround",
        description="Segmentation of medical images by conversation. For education and research, not for diagnosis.",
    )
    parser.add_argument("--version", action="version", version=f"mediround {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, module in _COMMANDS.items():
        module.add_arguments(commands.add_parser(name, help=module.HELP, description=module.HELP))
    return parser


def _explain(sentence: str) -> int:
    print(f"mediround: {sentence}", file=sys.stderr)
    return _FAILED


if __name__ == "__main__":
    sys.exit(main())
