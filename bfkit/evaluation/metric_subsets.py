"""Eq. 7 with metrics left out: what each one contributes to t* and to the quality it keeps."""

from collections.abc import Sequence

import numpy as np
import polars as pl

from bfkit.metrics.registry import METRICS
from bfkit.predictor.rules import Curves, at_mean_cost, at_steps, steps_by_plateau, steps_by_uniform
from bfkit.stats import interval, mean, spearman

from .rule_comparison import losses


def metric_sets(names: Sequence[str]) -> dict[str, list[str]]:
    """All metrics, each left out, and each alone, by what a table calls them."""
    sets = {"all": list(names)}
    sets |= {f"without {METRICS[name].label}": [other for other in names if other != name] for name in names}
    return sets | {f"{METRICS[name].label} alone": [name] for name in names}


def compare_subsets(measured: Curves, predicted: Curves) -> pl.DataFrame:
    """Eq. 7 with each metric left out and alone, at its own cost and at the cost of all: what t* and quality become.

    At ``cost`` "own" the weights are the paper's; at "equal" they are shifted (``rules.steps_by_plateau``) so that the
    steps sum to those of all metrics. Rows of ``cost, metrics, steps, spread``; ``agreement``, Spearman's correlation
    of t* with that of all metrics; ``decides``, the share of prompts for which a single metric's plateau is t* at the
    paper's weights, ties counting for each; the mean loss by each metric and by ``all``; and ``saved, low, high``, the
    loss by all metrics below that of a UNIFORM of the same total, paired.
    """
    if len(measured) < 2:
        raise ValueError(f"only {', '.join(measured)} was measured: an ablation needs two metrics or more")
    truth, full = losses(measured), steps_by_plateau(predicted)
    rows = []
    for cost in ("own", "equal"):
        for label, names in metric_sets(list(measured)).items():
            chosen = {name: predicted[name] for name in names}
            own = steps_by_plateau(chosen)
            steps = own if cost == "own" else at_mean_cost("plateau", chosen, full.mean())
            uniform = steps_by_uniform(measured, steps.mean())
            saved, low, high = interval(mean, at_steps(truth["all"], uniform) - at_steps(truth["all"], steps))
            rows.append({"cost": cost, "metrics": label, "steps": steps.mean(), "spread": steps.std(),
                         "agreement": spearman(full, steps) if np.ptp(full) and np.ptp(steps) else None,
                         "decides": (own == full).mean() if len(names) == 1 else None,
                         **{name: at_steps(lost, steps).mean() for name, lost in truth.items()},
                         "saved": saved, "low": low, "high": high})  # fmt: skip
    return pl.DataFrame(rows, schema_overrides={"agreement": pl.Float64, "decides": pl.Float64})


def subsets_finding(frame: pl.DataFrame) -> str:
    """One sentence on ``compare_subsets`` at equal cost: what Eq. 7 does best to read, and what it gains by that."""
    equal = frame.filter(cost="equal").sort("saved", descending=True)
    best, whole = equal.row(0, named=True), equal.row(by_predicate=pl.col("metrics") == "all", named=True)
    if best["metrics"] == "all":
        return "Eq. 7 does best when it reads all three metrics"
    read = best["metrics"] if best["metrics"].startswith("without") else f"with {best['metrics']}"
    return f"Eq. 7 does best {read}: {best['saved'] - whole['saved']:+.4f} against reading all three"
