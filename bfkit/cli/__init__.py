"""The command line, ``bfkit COMMAND``: bad input ends with one sentence on stderr and exit code 2."""

import argparse
import sys
import warnings
from collections.abc import Sequence

from ..profiles import get_profile
from ..reproduce import NotebookError
from . import data, reports, study


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    parser = argparse.ArgumentParser(prog="bfkit", description="How many denoising steps does a prompt deserve?")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for room in (data, reports, study):
        room.add_commands(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; bad input ends with one sentence on stderr and exit code 2."""
    arguments = build_parser().parse_args(argv)
    with warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)
        warnings.showwarning = lambda message, *_: print(f"bfkit: note: {message}", file=sys.stderr)
        try:
            arguments.action(get_profile(arguments.profile), arguments)
        except (ValueError, OSError, ChildProcessError) as error:
            print(f"bfkit: {error}", file=sys.stderr)
            return 2
        except NotebookError as error:
            print(f"bfkit: {error}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            print("bfkit: stopped; what was finished is kept, and the same command goes on from there", file=sys.stderr)
            return 130
    return 0
