"""``python -m bfkit.cli``."""

import sys

from bfkit.cli import main

if __name__ == "__main__":
    sys.exit(main())
