"""Every step count drawn, beside the twelve of Section 3.1: what interpolation does to the curves and to t*.

The paper draws twelve step counts, close at first and far apart later, joins them by straight lines (Section 3.3), and
leaves drawing all of them for later.
"""

from collections.abc import Callable, Sequence

import numpy as np
import polars as pl

from bfkit import paper
from bfkit.dataset.curves import interpolate, interpolate_losses, mean_curves
from bfkit.metrics.registry import METRICS
from bfkit.predictor.rules import at_mean_cost, at_steps, loss, steps_by_plateau
from bfkit.stats import interval, mean

STRAIGHT, IN_LOGARITHMS = "straight lines", "straight in logarithms"


def both_ways(
    table: pl.DataFrame, counts: Sequence[int] = paper.STEP_COUNTS
) -> tuple[list[str], dict[str, dict[str, np.ndarray]]]:
    """A dense table's prompts, and each metric's curves (N, T): as ``drawn``, and from the ``counts`` alone.

    ``IN_LOGARITHMS`` joins D-SIM alone, the one metric that is a distance. Raises ValueError for a table that lacks a
    step count between the first and the last, or one of the ``counts``.
    """
    prompts, drawn, steps = mean_curves(table)
    if steps != tuple(range(1, steps[-1] + 1)):
        lacking = min(set(range(1, steps[-1] + 1)) - set(steps))
        raise ValueError(f"the table has no pictures in {lacking} steps: draw every step count from 1 to {steps[-1]}")
    if strange := set(counts) - set(steps):
        raise ValueError(f"the table ends at {steps[-1]} steps, before {max(strange)}: draw as many, or join fewer")
    at = np.array(counts) - 1
    values = {name: rows.astype(float) for name, rows in drawn.items()}
    straight = {name: interpolate(rows[:, at], counts) for name, rows in values.items()}
    distance = values["d_sim"][:, at]
    curved = interpolate_losses(np.maximum(distance - distance[:, -1:], 0), list(counts)) + distance[:, -1:]
    return prompts, {"drawn": values, STRAIGHT: straight, IN_LOGARITHMS: {**straight, "d_sim": curved}}


def interpolation_errors(curves: dict[str, dict[str, np.ndarray]]) -> pl.DataFrame:
    """How far the joined curves are from the drawn ones: ``metric, joined, error, worst, worst_at, range``.

    ``error`` is the mean absolute difference over steps and prompts, ``worst`` its largest mean over prompts, at
    ``worst_at`` steps; ``range`` what there is to tell: the mean of each curve's range.
    """
    drawn, rows = curves["drawn"], []
    for joined in (STRAIGHT, IN_LOGARITHMS):
        for name in ("d_sim",) if joined == IN_LOGARITHMS else METRICS:
            apart = np.abs(curves[joined][name] - drawn[name])
            by_step = apart.mean(axis=0)
            span = np.ptp(drawn[name], axis=1).mean()
            rows.append({"metric": name, "joined": joined, "error": apart.mean(), "worst": by_step.max(),
                         "worst_at": int(by_step.argmax()) + 1, "range": span})  # fmt: skip
    return pl.DataFrame(rows)


def steps_by_both(curves: dict[str, dict[str, np.ndarray]], mean_steps: float) -> pl.DataFrame:
    """What rules make of drawn and of joined curves: Eq. 7 as it stands, and the price at ``mean_steps``.

    Rows of ``rule, joined, drawn_steps, joined_steps, apart, apart_low, apart_high, same, lost``. ``apart`` is the mean
    absolute difference in steps with its interval over prompts, ``same`` the share of prompts within one step,
    ``lost`` the quality that the joined curves' steps cost more, judged on the drawn ones.
    """
    rules: dict[str, Callable[[dict[str, np.ndarray]], np.ndarray]] = {
        "Eq. 7, plateau": steps_by_plateau,
        "price": lambda known: at_mean_cost("price", known, mean_steps),
    }
    lost, rows = loss(curves["drawn"]), []
    for label, rule in rules.items():
        own = rule(curves["drawn"])
        for joined in (STRAIGHT, IN_LOGARITHMS):
            theirs = rule(curves[joined])
            apart = np.abs(theirs - own)
            far, low, high = interval(mean, apart.astype(float))
            rows.append({"rule": label, "joined": joined, "drawn_steps": own.mean(), "joined_steps": theirs.mean(),
                         "apart": far, "apart_low": low, "apart_high": high, "same": (apart <= 1).mean(),
                         "lost": (at_steps(lost, theirs) - at_steps(lost, own)).mean()})  # fmt: skip
    return pl.DataFrame(rows)


def dense_title(steps: pl.DataFrame) -> str:
    """The finding of ``steps_by_both``, in a line."""
    plateau = steps.filter(rule="Eq. 7, plateau", joined=STRAIGHT).row(0, named=True)
    return (
        f"Joined from twelve, t* lies {plateau['apart']:.1f} steps ({plateau['apart_low']:.1f} to "
        f"{plateau['apart_high']:.1f}) from where every count would put it"
    )


def dense_finding(errors: pl.DataFrame, steps: pl.DataFrame) -> str:
    """One sentence on both."""
    shares = errors.filter(joined=STRAIGHT).select((pl.col("error") / pl.col("range")).max()).item()
    plateau = steps.filter(rule="Eq. 7, plateau", joined=STRAIGHT).row(0, named=True)
    return (
        f"Twelve step counts joined by straight lines miss the drawn curves by {shares:.1%} of their range at most, "
        f"the mean over steps; t* moves by {plateau['apart']:.1f} steps ({plateau['apart_low']:.1f} to "
        f"{plateau['apart_high']:.1f}), from {plateau['drawn_steps']:.1f} drawn to {plateau['joined_steps']:.1f} joined"
    )
