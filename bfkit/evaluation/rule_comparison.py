"""Stop rules against each other at equal mean cost, and Eq. 7 with metrics left out.

What counts is the loss of ``rules.loss``: the quality that the chosen steps still lack, compared with the last step.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl

from bfkit.predictor.rules import RULES, Curves, at_mean_cost, at_steps, loss
from bfkit.stats import interval, mean, paired_tests

from .efficiency import check_steps

TOLERABLE_LOSS = 0.01  # a round number, near what 20 steps leave in the miniature; no human has judged its pictures


def worst_decile(values: np.ndarray) -> np.ndarray:
    """The mean of the highest tenth along the last axis, at least of one value."""
    rest = values.shape[-1] - max(1, round(0.1 * values.shape[-1]))
    return np.partition(values, rest, axis=-1)[..., rest:].mean(axis=-1)


def losses(measured: Curves) -> dict[str, np.ndarray]:
    """The loss (N, T) by each metric, and by their mean as ``all``."""
    each = {name: loss({name: values}) for name, values in measured.items()}
    return {**each, "all": loss(measured)}


def compare_rules(
    measured: Curves, sources: Mapping[str, Curves], budgets: Sequence[float], tolerable: float = TOLERABLE_LOSS
) -> pl.DataFrame:
    """Every rule of ``RULES`` on every source of curves at every budget, each spending exactly the same total.

    ``sources`` names the curves that the rules read, of the same prompts as ``measured``: predicted ones, the measured
    ones themselves (an oracle, which has seen the very noise it is judged by), or those measured with other seeds (an
    oracle that has not). ``budgets`` are mean steps. Rows of ``budget, curves, rule, metric`` with

    - ``steps, spread``: mean and standard deviation of the steps;
    - ``loss``, ``worst`` (the mean of the worst decile) and ``under`` (the share of prompts whose loss is at most
      ``tolerable``), each with the ends of its bootstrap interval, ``loss_low, loss_high``, ...;
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
                    {**about, "metric": metric, **_outcome(at_steps(lost, steps), at_steps(lost, uniform), tolerable)}
                    for metric, lost in truth.items()
                ]
    return pl.DataFrame(rows).select(
        "budget", "curves", "rule", "metric", pl.exclude("budget", "curves", "rule", "metric")
    )


def _outcome(lost: np.ndarray, uniform: np.ndarray, tolerable: float) -> dict[str, float]:
    """Statistics of the losses (N,) that a rule leaves, and of what it saves of UNIFORM's."""
    found = {
        "loss": interval(mean, lost),
        "worst": interval(worst_decile, lost),
        "under": interval(mean, (lost <= tolerable).astype(float)),
        "saved": interval(mean, uniform - lost),
    }
    columns = {
        f"{name}{end}": value
        for name, values in found.items()
        for end, value in zip(("", "_low", "_high"), values, strict=True)
    }
    return columns | {"wilcoxon": paired_tests(uniform - lost)[0]}


def front(frame: pl.DataFrame) -> pl.DataFrame:
    """What of ``compare_rules`` is a front: the loss left over the mean steps, ``who, steps, value, low, high``.

    UNIFORM, and the price by each source of curves. By the measured curves themselves nothing can be dealt better: that
    line is where the front ends by construction, and no finding.
    """
    price, uniform = RULES["price"].label, RULES["uniform"].label
    rows = frame.filter(metric="all")
    even = rows.filter(rule=uniform).unique("budget", maintain_order=True).with_columns(who=pl.lit("dealt evenly"))
    own = rows.filter(rule=price).with_columns(who=pl.format("by {} curves", "curves"))
    return pl.concat([even, own]).select(
        "who", steps="budget", value="loss", low="loss_low", high="loss_high"
    )  # fmt: skip


def front_title(frame: pl.DataFrame) -> str:
    """The finding of ``compare_rules``' price by the first source, in a line."""
    rows = frame.filter(pl.col("rule") == RULES["price"].label, metric="all")
    source = rows["curves"][0]
    own = rows.filter(curves=source)
    won, lost = own.filter(pl.col("saved_low") > 0), own.filter(pl.col("saved_high") < 0)
    return (
        f"By {source} curves the price beats an even deal at {len(won)} of {len(own)} totals, and loses at {len(lost)}"
    )


def rules_finding(frame: pl.DataFrame, curves: str = "predicted", metric: str = "all") -> str:
    """One sentence on ``compare_rules``: which rules save loss against UNIFORM, their interval above 0, and where."""
    rows = frame.filter(pl.col("rule") != RULES["uniform"].label, curves=curves, metric=metric)
    won, lost = rows.filter(pl.col("saved_low") > 0), rows.filter(pl.col("saved_high") < 0)
    cases = [
        f"{rule} at {' and '.join(f'{budget:.3g}' for budget in own['budget'])} steps"
        for (rule,), own in won.group_by("rule", maintain_order=True)
    ]
    found = f"UNIFORM is beaten by {' and by '.join(cases)}" if cases else "no rule surely beats UNIFORM"
    return f"On {curves} curves {found}; {len(lost)} of {len(rows)} comparisons are clearly lost"
