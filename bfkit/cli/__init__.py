"""The command line, ``bfkit COMMAND``: bad input ends with one sentence on stderr and exit code 2.

A command imports what it needs when it runs, so that help comes at once, and this file next to nothing, so that
``interruption`` is there before anything that takes time.
"""

import argparse
import io
import sys
import warnings
from collections.abc import Sequence

from bfkit import __version__
from bfkit.profiles import get_profile

from .interruption import STOPPED


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    from . import course, data, doctor, draw, limits, quickstart, reports, study

    parser = argparse.ArgumentParser(prog="bfkit", description="How many denoising steps does a prompt deserve?")
    parser.add_argument("--version", action="version", version=f"bfkit {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for room in (draw, data, limits, quickstart, reports, study, course, doctor):
        room.add_commands(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; bad input ends with one sentence on stderr and exit code 2, failed notebooks with 1."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal shows what it can of a prompt
    with warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)
        warnings.showwarning = lambda message, *_: print(f"bfkit: note: {message}", file=sys.stderr)
        try:
            arguments = build_parser().parse_args(argv)
            from .options import own_models

            return arguments.action(own_models(get_profile(arguments.profile), arguments), arguments) or 0
        except (ValueError, OSError, ImportError, ChildProcessError) as error:
            print(f"bfkit: {_sentence(error)}", file=sys.stderr)
            return 2
        except KeyboardInterrupt:
            print(STOPPED, file=sys.stderr)
            return 130


def _sentence(error: Exception) -> str:
    """What an error says; the system's own errors have a number and a name, and say neither what to do."""
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        return f"{error.filename} cannot be used ({error.strerror}): see to it and run again"
    return str(error)
