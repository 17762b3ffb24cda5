"""Stop rules against each other at equal mean cost, and Eq. 7 with metrics left out.

What counts is the loss of ``rules.loss``: the quality that the chosen steps still lack, compared with the last step.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl

from .efficiency import check_steps
from .metrics import METRICS
from .rules import (
    RULES,
    Curves,
    at_mean_cost,
    at_steps,
    loss,
    steps_by_plateau,
    steps_by_uniform,
)
from .stats import interval, mean, paired_tests, spearman

JND = 0.01  # a round number, near what 20 steps leave in the miniature; no human has judged its pictures


def worst_decile(values: np.ndarray) -> np.ndarray:
    """The mean of the highest tenth along the last axis, at least of one value."""
    rest = values.shape[-1] - max(1, round(0.1 * values.shape[-1]))
    return np.partition(values, rest, axis=-1)[..., rest:].mean(axis=-1)


def losses(measured: Curves) -> dict[str, np.ndarray]:
    """The loss (N, T) by each metric, and by their mean as ``all``."""
    each = {name: loss({name: values}) for name, values in measured.items()}
    return {**each, "all": loss(measured)}


def compare_rules(
    measured: Curves, sources: Mapping[str, Curves], budgets: Sequence[float], jnd: float = JND
) -> pl.DataFrame:
    """Every rule of ``RULES`` on every source of curves at every budget, each spending exactly the same total.

    ``sources`` names the curves that the rules read, of the same prompts as ``measured``: predicted ones, the measured
    ones themselves (an oracle, which has seen the very noise it is judged by), or those measured with other seeds (an
    oracle that has not). ``budgets`` are mean steps. Rows of ``budget, curves, rule, metric`` with

    - ``steps, spread``: mean and standard deviation of the steps;
    - ``loss``, ``worst`` (the mean of the worst decile) and ``under`` (the share of prompts whose loss is at most
      ``jnd``), each with the ends of its bootstrap interval, ``loss_low, loss_high``, ...;
    - ``saved``: UNIFORM's loss less the rule's, paired, with its interval, and Wilcoxon's p-value, ``wilcoxon``;
    - ``regret``: mean absolute difference in steps from the same rule on the measured curves;
    - ``above_best``: the loss by all metrics above that of the price on the measured curves, the best allocation there
      is (``oracle.oracles``); the same in all metrics' rows.
    """
    truth = losses(measured)
    rows = []
    for budget in budgets:
        goals = {rule: at_mean_cost(rule, measured, budget) for rule in RULES}
        uniform, best = goals["uniform"], at_steps(truth["all"], goals["price"]).mean()
        for source, curves in sources.items():
            for rule, known in RULES.items():
                steps = at_mean_cost(rule, curves, budget)
                check_steps({known.label: steps}, measured)
                about = {"budget": budget, "curves": source, "rule": known.label, "steps": steps.mean(),
                         "spread": steps.std(), "regret": np.abs(steps - goals[rule]).mean(),
                         "above_best": at_steps(truth["all"], steps).mean() - best}  # fmt: skip
                rows += [
                    {**about, "metric": metric, **_outcome(at_steps(lost, steps), at_steps(lost, uniform), jnd)}
                    for metric, lost in truth.items()
                ]
    return pl.DataFrame(rows).select(
        "budget", "curves", "rule", "metric", pl.exclude("budget", "curves", "rule", "metric")
    )


def _outcome(lost: np.ndarray, uniform: np.ndarray, jnd: float) -> dict[str, float]:
    """Statistics of the losses (N,) that a rule leaves, and of what it saves of UNIFORM's."""
    found = {
        "loss": interval(mean, lost),
        "worst": interval(worst_decile, lost),
        "under": interval(mean, (lost <= jnd).astype(float)),
        "saved": interval(mean, uniform - lost),
    }
    columns = {
        f"{name}{end}": value
        for name, values in found.items()
        for end, value in zip(("", "_low", "_high"), values, strict=True)
    }
    return columns | {"wilcoxon": paired_tests(uniform - lost)[0]}


def verdict(frame: pl.DataFrame, curves: str = "predicted", metric: str = "all") -> str:
    """One sentence on ``compare_rules``: which rules save loss against UNIFORM, their interval above 0, and where."""
    rows = frame.filter(pl.col("rule") != RULES["uniform"].label, curves=curves, metric=metric)
    won, lost = rows.filter(pl.col("saved_low") > 0), rows.filter(pl.col("saved_high") < 0)
    cases = [f"{row['rule']} at {row['budget']:.3g} steps" for row in won.iter_rows(named=True)]
    found = f"UNIFORM is beaten by {', '.join(cases)}" if cases else "no rule beats UNIFORM"
    return f"On {curves} curves {found}; {len(lost)} of {len(rows)} comparisons are clearly lost"


# --- metrics left out ------------------------------------------------------------------------------------------------


def metric_sets(names: Sequence[str]) -> dict[str, list[str]]:
    """All metrics, each left out, and each alone, by what a table calls them."""
    sets = {"all": list(names)}
    sets |= {f"without {METRICS[name].label}": [other for other in names if other != name] for name in names}
    return sets | {f"{METRICS[name].label} alone": [name] for name in names}


def ablate_metrics(measured: Curves, predicted: Curves) -> pl.DataFrame:
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


def metrics_verdict(frame: pl.DataFrame) -> str:
    """One sentence on ``ablate_metrics`` at equal cost: what Eq. 7 does best to read, and what it gains by that."""
    equal = frame.filter(cost="equal").sort("saved", descending=True)
    best, whole = equal.row(0, named=True), equal.row(by_predicate=pl.col("metrics") == "all", named=True)
    if best["metrics"] == "all":
        return "Eq. 7 does best when it reads all three metrics"
    read = best["metrics"] if best["metrics"].startswith("without") else f"with {best['metrics']}"
    return f"Eq. 7 does best {read}: {best['saved'] - whole['saved']:+.4f} against reading all three"
