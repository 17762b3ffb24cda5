"""Two ways to do the same work, timed in turn."""

import statistics
import time
from collections.abc import Callable
from typing import Any

import torch

from bfkit.devices import device_name, synchronize

REPEATS = 3


def side_by_side(
    ours: Callable[[], Any], plain: Callable[[], Any], repeats: int = REPEATS, device: torch.device | None = None
) -> dict[str, Any]:
    """Median seconds of both, called in turn, and the median ratio plain / ours with its least and most.

    ``fastest`` is that ratio of the shortest times, which a busy machine disturbs least.
    ``device`` is where both compute (default: the CPU): it is waited for, and named.
    """
    device = torch.device("cpu") if device is None else device
    ours()
    plain()
    synchronize(device)
    pairs = []
    for _ in range(repeats):
        times = []
        for run in (ours, plain):
            began = time.perf_counter()
            run()
            synchronize(device)
            times.append(time.perf_counter() - began)
        pairs.append(times)
    ratios = sorted(plain_ / ours_ for ours_, plain_ in pairs)
    return {
        "device": device_name(device),
        "ours_seconds": statistics.median(pair[0] for pair in pairs),
        "plain_seconds": statistics.median(pair[1] for pair in pairs),
        "ratio": statistics.median(ratios),
        "least": ratios[0],
        "most": ratios[-1],
        "fastest": min(pair[1] for pair in pairs) / min(pair[0] for pair in pairs),
    }
