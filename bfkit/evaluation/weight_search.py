"""The weights of Eq. 7, chosen by the efficiency measurement (Section 3.4)."""

import itertools
from typing import Literal

import numpy as np
import polars as pl

from bfkit import paper
from bfkit.metrics.registry import METRICS
from bfkit.predictor.plateau import plateaus
from bfkit.predictor.rules import Curves, quality

from .efficiency import FLOOR, _ratio

WEIGHT_GRID = tuple(round(0.1 * i, 1) for i in range(21))

Reading = Literal["kept", "relative", "gain", "alone"]


def search_weights(
    measured: Curves,
    tflops_per_step: float,
    predicted: Curves | None = None,
    grid: tuple[float, ...] = WEIGHT_GRID,
) -> pl.DataFrame:
    """Every combination of weights on a grid, judged by Section 4.2 on the training prompts.

    A row a combination: the weights ``w_l_snr, w_d_sim, w_i_clip``; mean and spread of t*, ``steps, spread``;
    ``quality``, the mean over metrics and prompts; ``kept``, the share of REFERENCE's quality; ``efficiency``, Eq. 8;
    ``gain``, Eq. 8 with the quality above that of a single step; ``relative``, Eq. 9 against a UNIFORM of the same mean
    (a fraction of a step being a mix of its neighbours). Metrics count alike. A weight of 0 is no limit: half of a
    falling curve lies above its median, so that 129 values give t* = 65 or more. t* is read off ``predicted`` curves,
    if given, else off the measured ones: what a predictor says of its own training prompts flatters it.
    """
    values = quality(measured)
    (count, last), names = next(iter(values.values())).shape, tuple(values)
    source = measured if predicted is None else predicted
    own = {name: plateaus(source[name], grid, METRICS[name].lower_is_better).astype(np.intp) for name in names}
    reference = float(np.mean([rows[:, min(paper.REFERENCE_STEPS, last) - 1] for rows in values.values()]))
    frames = []
    for first in range(len(grid)):  # a slab of the cube at a time
        steps = own[names[0]][first]
        for name in names[1:]:
            steps = np.maximum(steps[..., None, :], own[name])
        weights = np.array(list(itertools.product(grid[first : first + 1], *[grid] * (len(names) - 1))))
        columns = {f"w_{name}": column for name, column in zip(names, weights.T, strict=True)}
        frames.append(pl.DataFrame(columns | _judged(values, steps.reshape(-1, count), tflops_per_step, reference)))
    return pl.concat(frames)


def _judged(
    values: dict[str, np.ndarray], steps: np.ndarray, tflops_per_step: float, reference: float
) -> dict[str, np.ndarray]:
    """The columns of ``search_weights`` for allocations (K, N)."""
    last = next(iter(values.values())).shape[1]
    spent = steps.mean(axis=1)
    below = np.floor(spent).astype(int)
    above, part = np.minimum(below + 1, last), (spent - below)[:, None]
    reached, efficiency, gain, relative = [], [], [], []
    for rows in values.values():
        own = rows[np.arange(len(rows)), steps - 1]
        uniform = rows[:, below - 1].T * (1 - part) + rows[:, above - 1].T * part
        reached.append(own.mean(axis=1))
        efficiency.append((own / steps).mean(axis=1))
        gain.append(((own - rows[:, 0]) / steps).mean(axis=1))
        relative.append(np.nanmean(_ratio(own, uniform, FLOOR), axis=1))
    return {
        "steps": spent,
        "spread": steps.std(axis=1),
        "quality": np.mean(reached, axis=0),
        "kept": np.mean(reached, axis=0) / reference,
        "efficiency": np.mean(efficiency, axis=0) / tflops_per_step,
        "gain": np.mean(gain, axis=0) / tflops_per_step,
        "relative": np.mean(relative, axis=0),
    }


def weights_finding(search: pl.DataFrame, kept: float = 0.99, near: float = 0.01) -> str:
    """One sentence on ``search_weights``: the best that keep enough, how many are as good, and the paper's own."""
    allowed = search.filter(pl.col("kept") >= kept)
    own = search.filter(*(pl.col(f"w_{name}") == weight for name, weight in paper.WEIGHTS.items()))
    papers = "" if own.is_empty() else f"; the paper's keep {own['kept'].item():.1%}"
    if allowed.is_empty():
        return f"No weights keep {kept:.0%} of REFERENCE's quality{papers}"
    best = best_weights(search, kept=kept)
    named = ", ".join(f"{best[f'w_{name}']:.1f}" for name in METRICS)
    alike = len(allowed.filter(pl.col("efficiency") >= (1 - near) * best["efficiency"])) - 1
    return (
        f"Of {len(search):,} weights {len(allowed):,} keep {kept:.0%} of REFERENCE's quality; best is ({named}), "
        f"and {alike or 'no'} other{'s' * (alike != 1)} within {near:.0%} of it{papers}"
    )


def best_weights(search: pl.DataFrame, reading: Reading = "kept", kept: float = 0.99) -> dict[str, float]:
    """The row of ``search_weights`` that a reading of "using the efficiency measurement" (Section 3.4) prefers.

    - ``"kept"``, the default: the highest Eq. 8 among the weights that keep ``kept`` of REFERENCE's quality. It is not
      degenerate, since fewer steps lose quality; but Eq. 8 rewards spread (``quality_per_tflop``), and so does this.
    - ``"relative"``: the highest Eq. 9. Its UNIFORM follows the cost, so no constraint is needed; it vanishes at both
      ends, where every prompt gets one step or all, and it does not care what is spent between.
    - ``"gain"``: the highest Eq. 8 with the quality gained over a single step. A maximum inside the curve, but where it
      falls is steepest, long before it is flat.
    - ``"alone"``: the highest Eq. 8. Degenerate: one step already has some quality and nothing is cheaper, so the
      largest weights of any grid win.

    Raises ValueError for another reading, or where no weights keep enough.
    """
    columns = {"kept": "efficiency", "relative": "relative", "gain": "gain", "alone": "efficiency"}
    if reading not in columns:
        raise ValueError(f"unknown reading {reading!r}: choose from {', '.join(columns)}")
    allowed = search.filter(pl.col("kept") >= kept) if reading == "kept" else search
    if allowed.is_empty():
        raise ValueError(
            f"no weights keep {kept:.1%} of REFERENCE's quality, the best {search['kept'].max():.1%}: ask for less"
        )
    weights = [column for column in search.columns if column.startswith("w_")]
    return allowed.sort(columns[reading], *weights, descending=[True] + [False] * len(weights)).row(0, named=True)
