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
    paper's weights, ties counting for each; the mean loss by each metric and by ``all``; ``saved, low, high``, the
    loss by all metrics below that of a UNIFORM of the same total, paired; and ``more, more_low, more_high``, the same
    below that of reading all the metrics.
    """
    if len(measured) < 2:
        raise ValueError(f"only {', '.join(measured)} was measured: an ablation needs two metrics or more")
    truth, full = losses(measured), steps_by_plateau(predicted)
    whole = np.empty(0)
    rows = []
    for cost in ("own", "equal"):
        for label, names in metric_sets(list(measured)).items():
            chosen = {name: predicted[name] for name in names}
            own = steps_by_plateau(chosen)
            steps = own if cost == "own" else at_mean_cost("plateau", chosen, full.mean())
            uniform = steps_by_uniform(measured, steps.mean())
            lost = at_steps(truth["all"], steps)
            whole = lost if label == "all" else whole  # the first of them
            more = interval(mean, whole - lost)
            saved, low, high = interval(mean, at_steps(truth["all"], uniform) - lost)
            rows.append({"cost": cost, "metrics": label, "steps": steps.mean(), "spread": steps.std(),
                         "agreement": spearman(full, steps) if np.ptp(full) and np.ptp(steps) else None,
                         "decides": (own == full).mean() if len(names) == 1 else None,
                         **{name: at_steps(each, steps).mean() for name, each in truth.items()},
                         "saved": saved, "low": low, "high": high,
                         **dict(zip(("more", "more_low", "more_high"), more, strict=True))})  # fmt: skip
    return pl.DataFrame(rows, schema_overrides={"agreement": pl.Float64, "decides": pl.Float64})


def subsets_finding(frame: pl.DataFrame) -> str:
    """One sentence on ``compare_subsets`` at equal cost: who beats UNIFORM, and what is better to read than all."""
    equal = frame.filter(cost="equal")
    won, lost = equal.filter(pl.col("low") > 0), equal.filter(pl.col("high") < 0)
    others = equal.filter(pl.col("more_low") > 0).sort("more", descending=True)["metrics"]
    better = f"{' and '.join(others)} beat{'s' * (len(others) == 1)}" if len(others) else "nothing surely beats"
    return (
        f"Of {len(equal)} readings of Eq. 7, {len(won)} beat UNIFORM and {len(lost)} lose to it; "
        f"{better} reading all the metrics"
    )
