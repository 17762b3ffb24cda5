"""The command line, ``bfkit COMMAND``: bad input ends with one sentence on stderr and exit code 2.

A command imports what it needs when it runs, so that help comes at once.
"""

import argparse
import sys
import warnings
from collections.abc import Sequence

from bfkit import __version__
from bfkit.profiles import get_profile

from . import data, reports, study


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    parser = argparse.ArgumentParser(prog="bfkit", description="How many denoising steps does a prompt deserve?")
    parser.add_argument("--version", action="version", version=f"bfkit {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for room in (data, reports, study):
        room.add_commands(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; bad input ends with one sentence on stderr and exit code 2, failed notebooks with 1."""
    arguments = build_parser().parse_args(argv)
    with warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)
        warnings.showwarning = lambda message, *_: print(f"bfkit: note: {message}", file=sys.stderr)
        try:
            return arguments.action(get_profile(arguments.profile), arguments) or 0
        except (ValueError, OSError, ImportError, ChildProcessError) as error:
            print(f"bfkit: {error}", file=sys.stderr)
            return 2
        except KeyboardInterrupt:
            print("bfkit: stopped; what was finished is kept, and the same command goes on from there", file=sys.stderr)
            return 130
