"""Eq. 7 with metrics left out: what each one contributes to t*, to its accuracy, and to the quality it keeps."""

from collections.abc import Sequence

import numpy as np
import polars as pl

from bfkit.metrics.registry import METRICS
from bfkit.predictor.rules import Curves, at_mean_cost, at_steps, steps_by_plateau, steps_by_uniform
from bfkit.stats import interval, mean, rank_correlation, spearman

from .rule_comparison import losses

NEAR = 0.25  # of the measured t*: a prediction within a quarter of it is near


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


def subset_accuracy(measured: Curves, predicted: Curves) -> pl.DataFrame:
    """How well Eq. 7 hits the measured t* of all metrics when it reads only some of the predicted curves.

    Both are curves of the same prompts. Rows of ``metrics, steps`` (the mean), ``correlation, low, high``, Spearman's
    with the measured t* and its interval over prompts; ``part, part_low, part_high``, what is lost of it against all
    metrics, paired; ``exact`` and ``near``, the shares of prompts hit, and hit to within ``NEAR`` of the measured t*,
    each with the ends of its interval, ``exact_low`` and so on; and ``measured``, the correlation if the metrics read
    were predicted without error. Raises ValueError for a single metric or fewer than three prompts.
    """
    if len(measured) < 2:
        raise ValueError(f"only {', '.join(measured)} was measured: an ablation needs two metrics or more")
    goal, full = steps_by_plateau(measured), steps_by_plateau(predicted)
    if len(goal) < 3:
        raise ValueError(f"{len(goal)} prompts are too few to rank: give three or more")

    def lost(all_: np.ndarray, own: np.ndarray, true: np.ndarray) -> np.ndarray:
        return rank_correlation(all_, true) - rank_correlation(own, true)

    rows = []
    for label, names in metric_sets(list(measured)).items():
        own = steps_by_plateau({name: predicted[name] for name in names})
        apart = np.abs(own.astype(float) - goal)
        found = {
            "": ("correlation", interval(rank_correlation, own, goal)),
            "part_": ("part", interval(lost, full, own, goal)),
            "exact_": ("exact", interval(mean, (apart == 0).astype(float))),
            "near_": ("near", interval(mean, (apart <= NEAR * goal).astype(float))),
        }
        row = {"metrics": label, "steps": own.mean()}
        for prefix, (name, values) in found.items():
            row |= dict(zip((name, f"{prefix}low", f"{prefix}high"), values, strict=True))
        perfect = steps_by_plateau({name: measured[name] for name in names})
        rows.append({**row, "measured": float(rank_correlation(perfect, goal))})
    return pl.DataFrame(rows)


def subset_accuracy_finding(frame: pl.DataFrame) -> str:
    """One sentence on ``subset_accuracy``: how accurate t* is, and which metrics it surely rests on."""
    whole = frame.row(by_predicate=pl.col("metrics") == "all", named=True)
    without = frame.filter(pl.col("metrics").str.starts_with("without"))
    said = {
        "rests on": without.filter(pl.col("part_low") > 0)["metrics"].to_list(),
        "would be better without": without.filter(pl.col("part_high") < 0)["metrics"].to_list(),
    }
    named = [
        f"{verb} {' and '.join(n.removeprefix('without ') for n in names)}" for verb, names in said.items() if names
    ]
    sure = "" if whole["low"] > 0 else "do not surely "
    return (
        f"Predicted and measured t* {sure}go together, with a rank correlation of {whole['correlation']:.2f} "
        f"({whole['low']:.2f} to {whole['high']:.2f}), {whole['near']:.0%} of prompts within a quarter; it "
        + (" and ".join(named) if named else "surely rests on no single metric")
    )
