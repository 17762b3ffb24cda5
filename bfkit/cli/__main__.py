"""``python -m bfkit.cli``."""

import sys

from bfkit.cli import main

sys.exit(main())
