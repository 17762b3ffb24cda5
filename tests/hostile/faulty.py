"""``python faulty.py FAULT NUMBER FOLDER WORD...``: the command line, with one thing that goes wrong on its way.

FAULT is ``none``, ``full`` or ``denied`` (the NUMBER-th opening of a file in FOLDER for writing, or its move, fails),
``short`` (no file takes more than NUMBER bytes), or ``clock`` (it jumps by NUMBER days when the first file is written).
Workers import this file again, and have the same fault.
"""

import errno
import os
import resource
import signal
import sys
import time

FAULT, NUMBER, FOLDER, *WORDS = sys.argv[1:] if len(sys.argv) > 3 else ("none", "0", "")
seen = 0


def watch(event: str, arguments: tuple) -> None:
    """Called by Python for everything of note that it does."""
    global seen
    if event == "open":
        path, mode, flags = arguments
        writes = bool(flags & (os.O_WRONLY | os.O_RDWR)) if isinstance(flags, int) else "r" not in str(mode)
    elif event in ("os.rename", "os.link", "os.mkdir"):
        path, writes = arguments[0], True
    else:
        return
    if not writes or not isinstance(path, str) or not path.startswith(FOLDER):
        return
    seen += 1
    if FAULT in ("full", "denied") and seen == int(NUMBER):
        number = errno.ENOSPC if FAULT == "full" else errno.EACCES
        raise OSError(number, os.strerror(number), path)
    if FAULT == "clock" and seen == 1:
        now = time.time
        time.time = lambda: now() + float(NUMBER) * 24 * 3600


def make_small(command: str) -> None:
    """What takes minutes at full size, in seconds."""
    if command in ("dataset", "quickstart"):
        from bfkit.dataset import shards

        shards.IMAGES_A_SHARD = 8  # a shard a prompt
    if command == "compare":
        from bfkit.evaluation import compare, compare_plan

        compare.COMBINED, compare.SHARES, compare.paper.REFERENCE_STEPS, compare_plan.PICTURES = (), (), 5, 1
    if command == "quickstart":
        from bfkit.evaluation import quickstart, recipes

        quickstart.FEWEST, recipes.best = 2, lambda: recipes.Recipe(1, (1, 2))
    if command in ("networks", "learning-curve", "recipes", "quickstart"):
        from dataclasses import replace

        from bfkit.evaluation import learning_curve, recipes
        from bfkit.profiles import PROFILES

        mini = PROFILES["mini"]
        epochs = dict.fromkeys(mini.predictor.epochs, 1)
        PROFILES["mini"] = replace(mini, predictor=replace(mini.predictor, epochs=epochs))
        learning_curve.trainings.__defaults__ = (PROFILES["mini"], (3, 6), 0, None)
        recipes.trainings.__defaults__ = (PROFILES["mini"], 3, recipes.RECIPES[:2], 0, None)


sys.addaudithook(watch)
if FAULT == "short":
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(NUMBER), int(NUMBER)))

if __name__ == "__main__":
    from bfkit.cli import main
    from bfkit.cli.interruption import guarded

    def command() -> int:
        make_small(WORDS[0])
        return main(WORDS)

    code = guarded(command)
    print(f"{seen} files written", flush=True)
    sys.exit(code)
