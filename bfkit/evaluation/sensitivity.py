"""What might close the gap between OURS and the paper's gain: other weights, other readings of Eq. 7, more prompts.

Each is tried alone, on the same held-out prompts, against a UNIFORM of its own total (Eq. 9).
"""

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import polars as pl

from bfkit import paper, stats
from bfkit.dataset.curves import dense_curves, mean_curves
from bfkit.metrics.registry import METRICS
from bfkit.predictor.plateau import plateau_step, plateaus
from bfkit.predictor.rules import Curves, steps_by_plateau
from bfkit.stats import interval, mean

from .efficiency import conditions, relative_quality
from .learning_curve import CURVE
from .weight_search import best_weights, search_weights


def gain(steps: np.ndarray, measured: Curves) -> tuple[float, float, float]:
    """Eq. 9's mean over the metrics: OURS' quality over UNIFORM's, less 1, with its interval over prompts."""
    rows = relative_quality(conditions(steps, measured), measured)
    each = rows.group_by("prompt").agg(pl.col("relative").mean()).sort("prompt")["relative"].drop_nulls()
    return interval(mean, each.to_numpy())


def steps_of_weights(
    curves: Curves, weights: Mapping[str, float], center: Literal["median", "mean"] = "median"
) -> np.ndarray:
    """t* (N,) of curves at every step, under other weights or about another centre than the paper's."""
    own = [plateaus(rows, [weights[name]], METRICS[name].lower_is_better, center)[0] for name, rows in curves.items()]
    return np.max(own, axis=0)


def steps_at_counts(curves: Curves, counts: Sequence[int]) -> np.ndarray:
    """t* (N,) when Eq. 7 reads only the step counts that were drawn."""
    at = np.asarray(counts)
    own = [
        at[plateaus(rows[:, at - 1], [paper.WEIGHTS[name]], METRICS[name].lower_is_better)[0] - 1]
        for name, rows in curves.items()
    ]
    return np.max(own, axis=0)


def learnt_steps(prompts: int) -> np.ndarray:
    """t* (N,) of the held-out prompts, in order of their ids, by a predictor that learnt from so many prompts."""
    learnt = pl.read_csv(CURVE).filter(prompts=prompts, part=0, metric=paper.METRICS[0]).sort("prompt_id")
    return learnt["steps"].to_numpy()


def tries(
    predicted: Curves, measured: Curves, training: Curves, tflops_per_step: float, learnt: bool = False
) -> pl.DataFrame:
    """Every try and what it gains: rows of ``tried, steps, gain, low, high, paper``.

    ``predicted`` and ``measured`` are the held-out prompts' curves, ``training`` the training prompts' measured ones,
    on which weights are chosen. ``learnt`` adds the shipped learning curve's predictors, which are the miniature's.
    """
    last = next(iter(predicted.values())).shape[1]
    search = search_weights(training, tflops_per_step)
    chosen = {
        reading: {name: best_weights(search, reading)[f"w_{name}"] for name in METRICS}
        for reading in ("kept", "relative")
    }
    tried = {
        "as in the paper": steps_by_plateau(predicted),
        "weights by Eq. 8 at 99% quality": steps_of_weights(predicted, chosen["kept"]),
        "weights by Eq. 9": steps_of_weights(predicted, chosen["relative"]),
        "Eq. 7 about the mean": steps_of_weights(predicted, paper.WEIGHTS, "mean"),
        "Eq. 7 at the drawn steps alone": steps_at_counts(predicted, [n for n in paper.STEP_COUNTS if n <= last]),
    }
    if learnt:
        sizes = pl.read_csv(CURVE)["prompts"].unique().sort()
        tried |= {f"learnt from {size} prompts": learnt_steps(size) for size in sizes[:-1]}
    tried["a perfect prediction"] = steps_by_plateau(measured)
    published = float(np.mean(list(paper.RELATIVE_QUALITY.values())))
    rows = [(name, float(steps.mean()), *gain(steps, measured)) for name, steps in tried.items()]
    return pl.DataFrame(rows, schema=["tried", "steps", "gain", "low", "high"], orient="row").with_columns(
        paper=pl.when(tried="as in the paper").then(published)
    )


def sensitivity_finding(frame: pl.DataFrame) -> str:
    """One sentence on ``tries``: what closes the gap, if anything does; many tries win one by luck, and it says so."""
    won = frame.filter(pl.col("low") > 0)
    if len(won):
        luck = f"of {len(frame)} tries, {len(frame) / 40:.1f} would seem so by luck alone"
        return f"Better than UNIFORM, each by its own interval: {', '.join(won['tried'])}; {luck}"
    best = frame.sort("gain", descending=True).row(0, named=True)
    return (
        f"Of {len(frame)} tries none surely beats UNIFORM; nearest is “{best['tried']}”, {best['gain']:+.2%} "
        f"({best['low']:+.2%} to {best['high']:+.2%})"
    )


def plateau_choices(held_out: pl.DataFrame) -> pl.DataFrame:
    """t* of measured curves under each reading of Eq. 7.

    Rows of ``series, center, steps, spread, change, change_low, change_high, rank_correlation``. The series is every
    step from 1 on, interpolated, or the step counts that were drawn; ``change`` of the mean t*, with its interval over
    prompts, and the correlation are with the default reading, the dense series about its median.
    """
    prompts, sparse, counts = mean_curves(held_out)
    _, dense = dense_curves(held_out)
    found: dict[tuple[str, str], np.ndarray] = {}
    for series, curves, steps in (("dense", dense, None), ("sparse", sparse, counts)):
        for center in ("median", "mean"):
            each = [
                max(
                    plateau_step(curves[name][row], paper.WEIGHTS[name], info.lower_is_better, steps, center)
                    for name, info in METRICS.items()
                )
                for row in range(len(prompts))
            ]
            found[series, center] = np.array(each, float)
    default, rows = found["dense", "median"], []
    for (series, center), t in found.items():
        change = dict(zip(("change", "change_low", "change_high"), interval(mean, t - default), strict=True))
        rows.append({"series": series, "center": center, "steps": t.mean(), "spread": t.std(), **change,
                     "rank_correlation": stats.spearman(default, t)})  # fmt: skip
    return pl.DataFrame(rows)


def choices_finding(found: pl.DataFrame) -> str:
    """One sentence on ``plateau_choices``: what moves t* most, if anything surely does."""
    rows = found.with_columns(size=pl.col("change").abs()).sort("size", descending=True)
    row = rows.filter((pl.col("change_low") > 0) | (pl.col("change_high") < 0)).head(1)
    if row.is_empty():
        return "No other reading of Eq. 7 surely moves the mean t*"
    own = row.row(0, named=True)
    return (
        f"Of the readings of Eq. 7, the {own['series']} series about its {own['center']} moves the mean t* most: by "
        f"{own['change']:+.1f} steps ({own['change_low']:+.1f} to {own['change_high']:+.1f})"
    )
