"""Where a curve goes flat: the plateau step of one metric, and t*, the last of the three (Section 3.4, Eq. 7).

>>> plateau_step([0.9, 0.5, 0.3, 0.2, 0.15, 0.12, 0.1, 0.1], weight=0.2)
3
"""

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy.typing import ArrayLike

from bfkit import paper
from bfkit.metrics.registry import METRICS

CENTERS = {"median": np.median, "mean": np.mean}


def plateau_step(
    values: ArrayLike,
    weight: float,
    lower_is_better: bool = True,
    steps: Sequence[int] | None = None,
    center: Literal["median", "mean"] = "median",
) -> int:
    """The last step at which a curve still stands out from its own median (Eq. 7).

    t* = max {t : m_t >= median(m) + weight * std(m)}, with the population standard deviation (ddof 0). The paper writes
    mu and calls it the median; ``center="mean"`` is the other reading. Eq. 7 reads a falling curve; a rising one
    (``lower_is_better=False``, I-CLIP) is turned over first: otherwise the answer would be its last step, or none.

    ``values`` has one entry a step; ``steps`` names them (default 1, 2, ...). Where nothing stands out, because the
    curve is flat or no value reaches the threshold, the first step is the answer. Raises ValueError on an empty curve
    or a value that is not finite.
    """
    curve = np.asarray(values, float)
    if curve.ndim != 1 or not len(curve):
        raise ValueError(f"a curve is a non-empty row of values, one a step; got shape {curve.shape}")
    if not np.isfinite(curve).all():
        raise ValueError(
            f"the curve has a value that is not a number at index {np.flatnonzero(~np.isfinite(curve))[0]}"
        )
    names = np.arange(1, len(curve) + 1) if steps is None else np.asarray(steps)
    if len(names) != len(curve):
        raise ValueError(f"{len(curve)} values for {len(names)} steps: give one value for each step")
    return int(names[plateaus(curve[None], [weight], lower_is_better, center)[0, 0] - 1])


def plateaus(
    values: Float[np.ndarray, "n t"],
    weights: ArrayLike,
    lower_is_better: bool = True,
    center: Literal["median", "mean"] = "median",
) -> Int[np.ndarray, "w n"]:
    """``plateau_step`` of many curves (N, T) at steps 1..T under many weights (W,) at once: steps (W, N)."""
    falling = np.asarray(values, float) if lower_is_better else -np.asarray(values, float)
    spread = falling.std(axis=1, ddof=0)
    varied = spread > 1e-12 * np.maximum(1.0, np.abs(falling).max(axis=1))
    thresholds = CENTERS[center](falling, axis=1) + np.asarray(weights, float)[:, None] * spread
    return last_step((falling >= thresholds[..., None]) & varied[:, None])


def last_step(flags: Bool[np.ndarray, "*curves t"]) -> Int[np.ndarray, "*curves"]:
    """The last step, from 1, at which flags (..., T) are up; 1 where none is."""
    return np.where(flags.any(axis=-1), flags.shape[-1] - flags[..., ::-1].argmax(axis=-1), 1)


def plateau_steps(
    curves: Mapping[str, ArrayLike],
    weights: Mapping[str, float] = paper.WEIGHTS,
    steps: Sequence[int] | None = None,
) -> int:
    """t*: the last of the metrics' plateau steps (Eq. 7), each metric read in its own direction.

    Raises ValueError for no curves, a metric that ``METRICS`` does not know, or one without a weight.

    >>> plateau_steps({"d_sim": [0.6, 0.3, 0.1, 0.0], "i_clip": [0.5, 0.8, 0.9, 1.0]})
    2
    """
    if not curves:
        raise ValueError("no curves: give at least one metric's values")
    if unknown := sorted(set(curves) - set(METRICS)):
        raise ValueError(f"unknown metric {unknown[0]!r}: choose from {', '.join(METRICS)}")
    if missing := sorted(set(curves) - set(weights)):
        raise ValueError(f"no weight for {', '.join(missing)}: give one for each of {', '.join(curves)}")
    return max(
        plateau_step(curve, weights[name], METRICS[name].lower_is_better, steps) for name, curve in curves.items()
    )
