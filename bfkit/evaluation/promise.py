"""A promise instead of a mean: the fewest steps with which, surely enough, most prompts lose little.

Learn then test (Angelopoulos et al., arXiv 2110.01052): a rule's knobs are tried in an order fixed beforehand, from the
most steps down, each by an exact binomial test on prompts that nothing was learnt from, until one fails. With
confidence 1 - delta, the last that passed leaves at most a share alpha of prompts with a loss above epsilon. Nothing is
assumed of the curves, nor that fewer steps lose more; the prompts to come must be drawn as those were.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from scipy.stats import binom

from bfkit.dataset.curves import dense_curves
from bfkit.dataset.table import split_by_prompt
from bfkit.predictor.advisor import StepAdvisor
from bfkit.predictor.choice import OFFERED
from bfkit.predictor.rules import RULES, Curves, at_steps, check_curves, knob_for, loss

CONSTANT = "constant"
TRIED = 48  # knobs of a rule, their mean steps spaced evenly in logarithms


@dataclass(frozen=True)
class Promise:
    """At confidence 1 - ``delta``, at most a share ``alpha`` of prompts loses more than ``epsilon``.

    ``rule`` is one of ``RULES`` with its ``knob``, or ``constant``, whose knob is the step count; ``mean_steps`` are
    those of the ``prompts`` that it was calibrated on.
    """

    rule: str
    knob: float
    epsilon: float
    alpha: float
    delta: float
    mean_steps: float
    prompts: int

    def __str__(self) -> str:
        what = f"{self.knob:g} steps for all" if self.rule == CONSTANT else f"{self.rule} at {self.knob:.4g}"
        return (
            f"With {what}, {self.mean_steps:.1f} on average, at least {1 - self.alpha:.0%} of prompts lose at most "
            f"{self.epsilon:g} of the mean quality, at {1 - self.delta:.0%} confidence ({self.prompts} prompts)"
        )


def least_prompts(alpha: float, delta: float) -> int:
    """How many prompts a promise takes at least, if none of them loses too much.

    >>> least_prompts(0.1, 0.1), least_prompts(0.05, 0.05)
    (22, 59)
    """
    return math.ceil(math.log(delta) / math.log1p(-alpha))


def last_that_passes(violations: Sequence[int], count: int, alpha: float, delta: float) -> int:
    """The fixed sequence: the place of the last setting before the first whose violations, of ``count``, are too many.

    -1 if the first already is. The p-value of "more than alpha of all prompts would violate" is that of so few by luck.
    """
    passed = binom.cdf(np.asarray(violations), count, alpha) <= delta
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


def calibrate(
    rule: str,
    knobs: Sequence[float],
    read: Curves,
    measured: Curves,
    epsilon: float,
    alpha: float = 0.1,
    delta: float = 0.1,
) -> Promise:
    """The promise of a rule that reads the curves ``read`` (N, T), on prompts of which ``measured`` is the truth.

    ``knobs`` are tried in their order (``settings_of``). Raises ValueError for numbers out of range, or fewer prompts
    than any promise takes.
    """
    for name, value in (("alpha", alpha), ("delta", delta)):
        if not 0 < value < 1:
            raise ValueError(f"{name} is a share between 0 and 1; got {value:g}")
    if not 0 <= epsilon <= 1:
        raise ValueError(f"epsilon is a loss from 0 to 1; got {epsilon:g}")
    lost = loss(measured)
    count, least = len(lost), least_prompts(alpha, delta)
    if count < least:
        raise ValueError(
            f"{count} prompts to calibrate on are too few to promise {1 - alpha:.0%} of prompts at {1 - delta:.0%} "
            f"confidence: measure {least} or more that no predictor has learnt from"
        )
    chosen = [steps_by(rule, knob, read) for knob in knobs]
    violations = [int((at_steps(lost, steps) > epsilon).sum()) for steps in chosen]
    place = last_that_passes(violations, count, alpha, delta)
    if place < 0:  # a rule that does not spend the last step on all
        return Promise(CONSTANT, lost.shape[1], epsilon, alpha, delta, lost.shape[1], count)
    return Promise(rule, knobs[place], epsilon, alpha, delta, float(chosen[place].mean()), count)


def coverage(
    rule: str,
    knobs: Sequence[float],
    read: Curves,
    measured: Curves,
    epsilon: float,
    alpha: float = 0.1,
    delta: float = 0.1,
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
        promise = calibrate(rule, knobs, _rows(read, half), _rows(measured, half), epsilon, alpha, delta)
        steps = steps_by(promise.rule, promise.knob, _rows(read, other))
        broken = float((at_steps(lost[other], steps) > epsilon).mean())
        rows.append({"split": split, "rule": rule, "mean_steps": float(steps.mean()), "broken": broken,
                     "kept": broken <= alpha})  # fmt: skip
    return pl.DataFrame(rows)


def promises(
    advisor: StepAdvisor, table: pl.DataFrame, epsilon: float, alpha: float = 0.1, delta: float = 0.1
) -> tuple[dict[str, Promise], pl.DataFrame]:
    """The promise of the constant step count and of each rule, on the prompts of a score table that are held out.

    Each holds by itself, for whoever settles on its rule beforehand. The table has rows of ``rule, steps`` (the mean of
    what is promised), ``kept`` (the share of 100 promises made on a half that the other half keeps), ``broken`` (the
    mean share of the other half that loses more than epsilon); a half is looked at where it has prompts enough, and
    the two are null elsewhere. Raises ValueError as ``calibrate`` does.
    """
    texts, measured = dense_curves(split_by_prompt(table)[1])
    read, typical = advisor.dense(texts), advisor.dense(list(advisor.examples))
    found, rows = {}, []
    for rule in (CONSTANT, *OFFERED):
        knobs = settings_of(rule, typical)
        found[rule] = calibrate(rule, knobs, read, measured, epsilon, alpha, delta)
        row = {"rule": rule, "steps": found[rule].mean_steps, "kept": None, "broken": None}
        if len(texts) // 2 >= least_prompts(alpha, delta):
            splits = coverage(rule, knobs, read, measured, epsilon, alpha, delta)
            row |= splits.select(pl.col("kept").mean(), pl.col("broken").mean()).row(0, named=True)
        rows.append(row)
    return found, pl.DataFrame(rows, schema_overrides={"kept": pl.Float64, "broken": pl.Float64})


def _rows(curves: Curves, index: np.ndarray) -> dict[str, np.ndarray]:
    return {name: values[index] for name, values in curves.items()}
