"""``python -m bfkit.cli``."""

import sys

from . import main

sys.exit(main())
