"""A promise instead of a mean: the fewest steps with which, surely enough, most prompts lose little.

Learn then test (Angelopoulos et al., arXiv 2110.01052): a rule's knobs are tried in an order fixed beforehand, from the
most steps down, each by an exact binomial test on prompts that nothing was learnt from, until one fails. With
confidence 1 - delta, the last that passed leaves at most a share alpha of prompts with a loss above epsilon. Nothing is
assumed of the curves, nor that fewer steps lose more; the prompts to come must be drawn as those were.
"""

import math
from collections.abc import Sequence

import numpy as np
import polars as pl
from scipy.stats import binom

from bfkit.dataset.curves import dense_curves
from bfkit.dataset.table import split_by_prompt
from bfkit.predictor.advisor import StepAdvisor
from bfkit.predictor.choice import OFFERED
from bfkit.predictor.promise import CONSTANT, Promise, Terms
from bfkit.predictor.rules import RULES, Curves, at_steps, check_curves, knob_for, loss

TRIED = 48  # knobs of a rule, their mean steps spaced evenly in logarithms


def least_prompts(terms: Terms) -> int:
    """How many prompts a promise takes at least, if none of them loses too much.

    >>> least_prompts(Terms(alpha=0.1, delta=0.1)), least_prompts(Terms(alpha=0.05, delta=0.05))
    (22, 59)
    """
    return math.ceil(math.log(terms.delta) / math.log1p(-terms.alpha))


def last_that_passes(violations: Sequence[int], count: int, terms: Terms) -> int:
    """The fixed sequence: the place of the last setting before the first whose violations, of ``count``, are too many.

    -1 if the first already is. The p-value of "more than alpha of all prompts would violate" is that of so few by luck.
    """
    passed = binom.cdf(np.asarray(violations), count, terms.alpha) <= terms.delta
    return (len(passed) if passed.all() else int(passed.argmin())) - 1


def settings_of(rule: str, typical: Curves) -> list[float]:
    """A rule's knobs from the most steps down, chosen on ``typical`` curves, which no prompt to calibrate on is among.

    For ``constant`` every step count. Raises ValueError for an unknown rule.
    """
    if rule not in (CONSTANT, *OFFERED):
        raise ValueError(f"unknown rule {rule!r}: choose from {', '.join((CONSTANT, *OFFERED))}")
    last = next(iter(check_curves(typical).values())).shape[1]
    if rule == CONSTANT:
        return [float(steps) for steps in range(last, 0, -1)]
    means = np.geomspace(last, 1, TRIED)
    return list(dict.fromkeys([RULES[rule].dear, *(knob_for(rule, typical, mean) for mean in means)]))


def steps_by(rule: str, knob: float, read: Curves) -> np.ndarray:
    """Steps (N,) by a rule, or the same for all."""
    if rule == CONSTANT:
        return np.full(len(next(iter(read.values()))), int(knob))
    return RULES[rule].steps(read, knob)


def calibrate(rule: str, knobs: Sequence[float], read: Curves, measured: Curves, terms: Terms) -> Promise:
    """The promise of a rule that reads the curves ``read`` (N, T), on prompts of which ``measured`` is the truth.

    ``knobs`` are tried in their order (``settings_of``). Raises ValueError for fewer prompts than any promise takes.
    """
    lost = loss(measured)
    count, least = len(lost), least_prompts(terms)
    if count < least:
        raise ValueError(
            f"{count} prompts to calibrate on are too few to promise {1 - terms.alpha:.0%} of prompts at "
            f"{1 - terms.delta:.0%} confidence: measure {least} or more that no predictor has learnt from"
        )
    chosen = [steps_by(rule, knob, read) for knob in knobs]
    violations = [int((at_steps(lost, steps) > terms.epsilon).sum()) for steps in chosen]
    place = last_that_passes(violations, count, terms)
    if place < 0:  # a rule that does not spend the last step on all
        return Promise(CONSTANT, lost.shape[1], terms, lost.shape[1], count)
    return Promise(rule, knobs[place], terms, float(chosen[place].mean()), count)


def coverage(
    rule: str,
    knobs: Sequence[float],
    read: Curves,
    measured: Curves,
    terms: Terms,
    splits: int = 100,
    seed: int = 0,
) -> pl.DataFrame:
    """Promises made on one half of the prompts and looked at on the other, one row a random split.

    Rows of ``split, rule, mean_steps`` (those of the other half), ``broken`` (the share of it that loses more than
    epsilon) and ``kept`` (whether that is at most alpha). Raises ValueError as ``calibrate`` does.
    """
    lost, rng, rows = loss(measured), np.random.default_rng(seed), []
    for split in range(splits):
        order = rng.permutation(len(lost))
        half, other = order[: len(order) // 2], order[len(order) // 2 :]
        promise = calibrate(rule, knobs, _rows(read, half), _rows(measured, half), terms)
        steps = steps_by(promise.rule, promise.knob, _rows(read, other))
        broken = float((at_steps(lost[other], steps) > terms.epsilon).mean())
        rows.append({"split": split, "rule": rule, "mean_steps": float(steps.mean()), "broken": broken,
                     "kept": broken <= terms.alpha})  # fmt: skip
    return pl.DataFrame(rows)


def promises(advisor: StepAdvisor, table: pl.DataFrame, terms: Terms) -> tuple[dict[str, Promise], pl.DataFrame]:
    """The promise of the constant step count and of each rule, on the prompts of a score table that are held out.

    Each holds by itself, for whoever settles on its rule beforehand. The table has rows of ``rule, steps`` (the mean of
    what is promised), ``kept`` (the share of 100 promises made on a half that the other half keeps), ``broken`` (the
    mean share of the other half that loses more than epsilon) and ``fewer`` (the share of the halves in which the rule
    spends fewer steps than the constant promised for the same); a half is looked at where it has prompts enough, and
    the three are null elsewhere. Raises ValueError as ``calibrate`` does.
    """
    texts, measured = dense_curves(split_by_prompt(table)[1])
    read, typical = advisor.dense(texts), advisor.dense(list(advisor.examples))
    found, rows, even = {}, [], pl.Series()
    for rule in (CONSTANT, *OFFERED):
        knobs = settings_of(rule, typical)
        found[rule] = calibrate(rule, knobs, read, measured, terms)
        row = {"rule": rule, "steps": found[rule].mean_steps, "kept": None, "broken": None, "fewer": None}
        if len(texts) // 2 >= least_prompts(terms):
            splits = coverage(rule, knobs, read, measured, terms)
            row |= splits.select(pl.col("kept").mean(), pl.col("broken").mean()).row(0, named=True)
            even = splits["mean_steps"] if rule == CONSTANT else even
            row["fewer"] = None if rule == CONSTANT else (splits["mean_steps"] < even).mean()
        rows.append(row)
    return found, pl.DataFrame(rows, schema_overrides=dict.fromkeys(("kept", "broken", "fewer"), pl.Float64))


SURE = 0.95  # of the random halves


def promises_finding(kept: pl.DataFrame) -> str:
    """One sentence on ``promises``: whether a rule promises the same for fewer steps than one count for all."""
    even = kept.row(by_predicate=pl.col("rule") == CONSTANT, named=True)
    said = []
    for row in kept.filter(pl.col("rule") != CONSTANT).iter_rows(named=True):
        share = row["fewer"]
        sure = "too few prompts to say how surely" if share is None else f"fewer in {share:.0%} of the random halves"
        told = "surely fewer" if (share or 0) >= SURE else "not surely fewer"
        said.append(f"{row['rule']} takes {row['steps']:.1f}, {told} ({sure})")
    return f"One count for all promises it with {even['steps']:.0f} steps; {'; '.join(said)}"


def _rows(curves: Curves, index: np.ndarray) -> dict[str, np.ndarray]:
    return {name: values[index] for name, values in curves.items()}
