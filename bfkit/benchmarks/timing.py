"""Two ways to do the same work, timed in turn."""

import statistics
import time
from collections.abc import Callable
from typing import Any

REPEATS = 3


def side_by_side(ours: Callable[[], Any], plain: Callable[[], Any], repeats: int = REPEATS) -> dict[str, float]:
    """Median seconds of both, called in turn, and the median ratio plain / ours with its least and most."""
    ours()
    plain()
    pairs = []
    for _ in range(repeats):
        times = []
        for run in (ours, plain):
            began = time.perf_counter()
            run()
            times.append(time.perf_counter() - began)
        pairs.append(times)
    ratios = sorted(plain_ / ours_ for ours_, plain_ in pairs)
    return {
        "ours_seconds": statistics.median(pair[0] for pair in pairs),
        "plain_seconds": statistics.median(pair[1] for pair in pairs),
        "ratio": statistics.median(ratios),
        "least": ratios[0],
        "most": ratios[-1],
    }
