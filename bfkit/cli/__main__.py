"""The command ``bfkit``, and ``python -m bfkit.cli``."""

import sys

from bfkit.cli import main
from bfkit.cli.interruption import guarded


def run() -> int:
    """Run the command line in a process of its own; the exit code."""
    return guarded(main)


if __name__ == "__main__":
    sys.exit(run())
