"""Quality against cost: Eq. 8 and 9, and the weights of Eq. 7 that they choose (Sections 3.4 and 4.2).

Everything is computed from curves: a condition is a row of step counts, one a prompt, and its quality is what the
measured curves say at those steps.
"""

from collections.abc import Mapping

import numpy as np
import polars as pl

from bfkit import paper
from bfkit.metrics.registry import METRICS
from bfkit.predictor.rules import Curves, at_steps, quality, steps_by_uniform
from bfkit.stats import interval, mean, paired_tests

FLOOR = 0.01  # Eq. 9 divides by UNIFORM's quality: a prompt below this has no ratio

Conditions = Mapping[str, np.ndarray]  # name to each prompt's steps (N,)


# --- conditions ------------------------------------------------------------------------------------------------------


def conditions(ours: np.ndarray, measured: Curves) -> dict[str, np.ndarray]:
    """The paper's three: OURS, UNIFORM at the same total number of steps, and REFERENCE at 65 (Section 4).

    OURS' mean is seldom a whole number: UNIFORM then mixes the two around it (``rules.steps_by_uniform``), so that both
    spend the same total.
    """
    steps = {
        "OURS": np.asarray(ours),
        "UNIFORM": steps_by_uniform(measured, float(np.mean(ours))),
        "REFERENCE": np.full(len(ours), paper.REFERENCE_STEPS),
    }
    check_steps(steps, measured)
    return steps


def check_steps(steps: Conditions, measured: Curves) -> None:
    """Raises ValueError for a condition with another number of prompts, or steps that were not measured."""
    count, last = next(iter(quality(measured).values())).shape
    for name, own in steps.items():
        if np.shape(own) != (count,):
            raise ValueError(f"{name} has steps of shape {np.shape(own)} for {count} prompts: compare the same prompts")
        if np.min(own) < 1 or np.max(own) > last:
            raise ValueError(
                f"{name} has steps {np.min(own)} to {np.max(own)}: the curves were measured at 1 to {last}"
            )


# --- Eq. 8 -----------------------------------------------------------------------------------------------------------


def quality_per_tflop(steps: Conditions, measured: Curves, tflops_per_step: float) -> pl.DataFrame:
    """Eq. 8 of each condition and metric, mean and standard error over prompts, as in Table 2.

    Rows of ``condition, metric, steps, tflops, quality, efficiency, error, dealt, owed, owed_low, owed_high``. Each
    prompt's quality is divided by its own TFLOPs before the mean is taken, as the paper does. That mean rewards spread
    alone: the mean of 1/t exceeds 1/(mean of t), by about the squared coefficient of variation where that is small.
    ``dealt`` is therefore the control: Eq. 8 had the condition's own step counts been dealt out to the prompts at
    random (the mean over all the ways to do so). Only what ``efficiency`` has above ``dealt`` is owed to knowing the
    prompts: ``owed``, with its interval over prompts, as a share of ``dealt``.
    Raises ValueError for a cost of zero or steps that do not fit the curves.
    """
    if not tflops_per_step > 0:
        raise ValueError(f"a step costs {tflops_per_step} TFLOPs: Eq. 8 divides by the cost, give more than zero")
    check_steps(steps, measured)
    rows = []
    for condition, own in steps.items():
        cost = own * tflops_per_step
        for name, values in quality(measured).items():
            reached = at_steps(values, own)
            each = reached / cost
            error = each.std(ddof=1) / np.sqrt(len(each)) if len(each) > 1 else None
            others = values.mean(axis=0)[own - 1] / cost  # what the mean prompt has of each one's steps
            owed, low, high = interval(
                mean, np.round((each - others) / others.mean(), 12)
            )  # equal ones, but for rounding
            rows.append({"condition": condition, "metric": name, "steps": own.mean(), "tflops": cost.mean(),
                         "quality": reached.mean(), "efficiency": each.mean(), "error": error,
                         "dealt": others.mean(), "owed": owed, "owed_low": low, "owed_high": high})  # fmt: skip
    return pl.DataFrame(rows, schema_overrides={"error": pl.Float64})


def spread_finding(frame: pl.DataFrame) -> str:
    """One sentence on ``quality_per_tflop``: OURS by Eq. 8, what a random deal has of it, and what knowing adds."""
    means = frame.group_by("condition").agg(pl.col("efficiency", "dealt").mean())
    ours, uniform = (means.row(by_predicate=pl.col("condition") == name, named=True) for name in ("OURS", "UNIFORM"))
    apparent, dealt = (ours[column] / uniform["efficiency"] - 1 for column in ("efficiency", "dealt"))
    adds = _sides(frame.filter(condition="OURS"), "owed_low", "owed_high", "adds", "costs")
    return (
        f"Eq. 8 puts OURS at {apparent:+.1%} against UNIFORM, and the same steps dealt at random at {dealt:+.1%}: "
        f"knowing the prompts {adds or 'adds nothing sure'}"
    )


def _sides(rows: pl.DataFrame, low: str, high: str, above: str, below: str) -> str:
    """On which metrics an interval lies above 0, and on which below; empty where it does on none."""
    sides = {above: pl.col(low) > 0, below: pl.col(high) < 0}
    found = {side: [METRICS[name].label for name in rows.filter(where)["metric"]] for side, where in sides.items()}
    return ", ".join(f"{side} on {' and '.join(labels)}" for side, labels in found.items() if labels)


def quality_kept(steps: Conditions, measured: Curves) -> pl.DataFrame:
    """What OURS keeps of REFERENCE's mean quality: ``metric, ours, reference, kept, low, high``, over prompts."""
    check_steps(steps, measured)
    rows = []
    for name, values in quality(measured).items():
        ours, reference = (at_steps(values, steps[condition]) for condition in ("OURS", "REFERENCE"))
        kept, low, high = interval(lambda a, b: mean(a) / mean(b), ours, reference)
        rows.append({"metric": name, "ours": ours.mean(), "reference": reference.mean(), "kept": kept, "low": low,
                     "high": high})  # fmt: skip
    return pl.DataFrame(rows)


def kept_finding(frame: pl.DataFrame) -> str:
    """One sentence on ``quality_kept``."""
    said = [f"{row['kept']:.1%} ({row['low']:.1%} to {row['high']:.1%}) of its {METRICS[row['metric']].label} quality"
            for row in frame.iter_rows(named=True)]  # fmt: skip
    return f"Against {paper.REFERENCE_STEPS} steps for all, OURS keeps {', '.join(said)}"


# --- Eq. 9 -----------------------------------------------------------------------------------------------------------


def _ratio(own: np.ndarray, other: np.ndarray, floor: float) -> np.ndarray:
    """Eq. 9, not a number where the denominator is below the floor."""
    return np.divide(own, other, out=np.full(np.shape(own), np.nan), where=other >= floor) - 1


def relative_quality(
    steps: Conditions,
    measured: Curves,
    ours: str = "OURS",
    other: str = "UNIFORM",
    *,
    equal_cost: bool = True,
    floor: float = FLOOR,
) -> pl.DataFrame:
    """Eq. 9, prompt by prompt: ``prompt, metric, ours, other, difference, relative``; ``prompt`` is the curves' row.

    ``relative`` is missing where the other's quality is below ``floor``: there the ratio says nothing but that the
    denominator is small. ``difference`` is always there. Raises ValueError if one spends more steps than the other:
    a comparison with REFERENCE says ``equal_cost=False``.
    """
    check_steps(steps, measured)
    spent = {name: int(steps[name].sum()) for name in (ours, other)}
    if equal_cost and spent[ours] != spent[other]:
        raise ValueError(
            f"{ours} spends {spent[ours]} steps and {other} {spent[other]}: Eq. 9 compares equal totals, "
            "set one with rules.at_mean_cost"
        )
    frames = []
    for name, values in quality(measured).items():
        own, others = at_steps(values, steps[ours]), at_steps(values, steps[other])
        columns = {"ours": own, "other": others, "difference": own - others, "relative": _ratio(own, others, floor)}
        frames.append(pl.DataFrame({"prompt": np.arange(len(own)), "metric": name, **columns}))
    return pl.concat(frames).with_columns(pl.col("relative").fill_nan(None))


def relative_summary(prompts: pl.DataFrame) -> pl.DataFrame:
    """``relative_quality`` in one row a metric.

    ``metric``; ``mean, low, high``, Eq. 9 with its bootstrap interval, and ``median``; ``better, worse``, shares of
    prompts, the rest being ties; ``wilcoxon, t_test``, p-values of the paired tests on the differences of all prompts;
    ``left_out``, how many have no ratio.
    """
    rows = []
    for (metric,), part in prompts.group_by("metric", maintain_order=True):
        ratios, difference = part["relative"].drop_nulls().to_numpy(), part["difference"].to_numpy()
        if not len(ratios):
            raise ValueError(f"no prompt has a quality above the floor by {metric}: Eq. 9 has nothing to divide by")
        center, low, high = interval(mean, ratios)
        wilcoxon, t_test = paired_tests(difference)
        rows.append({"metric": metric, "mean": center, "low": low, "high": high, "median": np.median(ratios),
                     "better": (difference > 0).mean(), "worse": (difference < 0).mean(), "wilcoxon": wilcoxon,
                     "t_test": t_test, "left_out": len(difference) - len(ratios)})  # fmt: skip
    return pl.DataFrame(rows)


def gain_finding(summary: pl.DataFrame) -> str:
    """One sentence on ``relative_summary``: on which metrics the interval of OURS against UNIFORM leaves 0 out."""
    sides = _sides(summary, "low", "high", "better", "worse")
    return f"At equal cost OURS {f'is {sides} than' if sides else 'cannot be told from'} UNIFORM"
