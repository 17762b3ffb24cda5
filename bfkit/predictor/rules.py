"""Stop rules: from a prompt's three curves to its number of steps, each rule with one knob that sets what it costs.

Eq. 7 reads a curve's shape and not its height, so that a faint curve and a strong one of the same shape get the same
steps. The threshold and the price read the height: the loss, the quality that a step count still lacks. Which curves a
rule is given, predicted or measured, all metrics or one, is the caller's choice.

>>> curves = {"d_sim": np.array([[0.40, 0.20, 0.10, 0.05, 0.0], [0.04, 0.02, 0.01, 0.005, 0.0]])}
>>> steps_by_plateau(curves), steps_by_threshold(curves, 0.06), steps_by_price(curves, 0.04)
(array([2, 2]), array([4, 1]), array([5, 1]))
>>> at_mean_cost("price", curves, 2.5)
array([4, 1])
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from bfkit import paper
from bfkit.metrics.registry import METRICS

from .plateau import last_step, plateaus

Curves = Mapping[str, np.ndarray]  # a metric's values (N, T) of N prompts at steps 1..T


def check_curves(curves: Curves) -> dict[str, np.ndarray]:
    """The curves as float64 (N, T).

    Raises ValueError for no metrics, one that ``METRICS`` does not know, no prompts, shapes that differ, or a value
    that is no number.
    """
    if not curves:
        raise ValueError("no curves: give at least one metric's values")
    rows = {name: np.asarray(values, float) for name, values in curves.items()}
    shape = next(iter(rows.values())).shape
    for name, values in rows.items():
        if name not in METRICS:
            raise ValueError(f"unknown metric {name!r}: choose from {', '.join(METRICS)}")
        if values.ndim != 2 or not values.size:
            raise ValueError(f"{name} has shape {values.shape}: give a row of values, one a step, for each prompt")
        if values.shape != shape:
            raise ValueError(
                f"{name} has shape {values.shape}, another metric {shape}: give the same prompts and steps"
            )
        if not np.isfinite(values).all():
            row, step = np.argwhere(~np.isfinite(values))[0] + (0, 1)
            raise ValueError(f"{name} has a value that is no number, in row {row} at step {step}: measure it again")
    return rows


def quality(curves: Curves) -> dict[str, np.ndarray]:
    """Each metric turned so that more is better, as in Table 2: 1 - L-SNR, 1 - D-SIM, I-CLIP."""
    return {
        name: 1 - values if METRICS[name].lower_is_better else values for name, values in check_curves(curves).items()
    }


def loss(curves: Curves) -> np.ndarray:
    """The quality that each step count still lacks, compared with the last one: (N, T), the mean over the metrics.

    0 at the last step; below 0 where a curve overshoots. The metrics count alike, in their own units of [0, 1].
    """
    return np.mean([values[:, -1:] - values for values in quality(curves).values()], axis=0)


def at_steps(values: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """What curves (N, T) say at each prompt's own step count (N,)."""
    return values[np.arange(len(values)), np.asarray(steps) - 1]


# --- the rules -----------------------------------------------------------------------------------------------------


def steps_by_plateau(curves: Curves, shift: float = 0.0, weights: Mapping[str, float] = paper.WEIGHTS) -> np.ndarray:
    """t* of each prompt (Eq. 7), the paper's rule: (N,) steps.

    The knob is ``shift``, added to all the weights: 0 is the paper, more stops earlier.
    """
    each = [
        plateaus(values, [weights[name] + shift], METRICS[name].lower_is_better)[0]
        for name, values in check_curves(curves).items()
    ]
    return np.max(each, axis=0)


def steps_by_threshold(curves: Curves, tolerable: float) -> np.ndarray:
    """The first step from which on the loss stays within what is tolerable: (N,) steps.

    From which on, not the first of all: a curve with bumps may dip below the threshold once by luck.
    """
    visible = loss(curves) > tolerable
    return np.where(visible.any(axis=1), np.minimum(last_step(visible) + 1, visible.shape[1]), 1)


def steps_by_price(curves: Curves, price: float) -> np.ndarray:
    """The steps with the best quality minus ``price`` a step: (N,) steps.

    On a convex curve that is to stop when the next step gains less than its price. On a curve with bumps it looks past
    a flat stretch to a gain that pays for it (the curve's concave envelope), where a first crossing would be caught.
    One price for all shares out a batch's budget: no other allocation of the same total loses less on these curves
    (Everett 1963, "Generalized Lagrange multiplier method").
    """
    lost = loss(curves)
    return (lost + price * np.arange(1, lost.shape[1] + 1)).argmin(axis=1) + 1


def deal_evenly(total: int, count: int) -> np.ndarray:
    """``total`` steps for ``count`` prompts as evenly as whole numbers allow: (count,) steps; 5 for 2 is 2, 3."""
    return np.diff(np.arange(count + 1) * total // count)


def steps_by_uniform(curves: Curves, steps: float) -> np.ndarray:
    """UNIFORM, which does not look at the curves: the same for all, (N,) steps, between 1 and T.

    A fraction is a mix of the two whole numbers around it, so that the total is round(N * steps).
    """
    count, last = next(iter(check_curves(curves).values())).shape
    return deal_evenly(round(count * float(np.clip(steps, 1, last))), count)


# --- equal cost ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Rule:
    """A stop rule: its name in figures, curves and knob to steps, and the knob at one step and at all steps."""

    label: str
    steps: Callable[[Curves, float], np.ndarray]
    cheap: float
    dear: float


RULES: dict[str, Rule] = {
    "plateau": Rule("Eq. 7, plateau", steps_by_plateau, cheap=20.0, dear=-20.0),  # a curve of 129 values ends within 13
    "threshold": Rule("threshold", steps_by_threshold, cheap=1.0, dear=-1.0),
    "price": Rule("price", steps_by_price, cheap=1.0, dear=-1.0),
    "uniform": Rule("UNIFORM", steps_by_uniform, cheap=1.0, dear=1e4),
}


def _bracket(known: Rule, curves: Curves, total: int) -> tuple[float, float]:
    """Two knobs next to each other, or the same one: the first spends at most ``total`` steps, the other at least."""
    cheap, dear = known.cheap, known.dear
    least, most = (int(known.steps(curves, knob).sum()) for knob in (cheap, dear))
    if not least <= total <= most:
        raise ValueError(
            f"{total} steps are out of reach of {known.label}: it spends {least} to {most} on these curves"
        )
    for _ in range(100):  # more than a float64 can be halved between two knobs of this size
        middle = (cheap + dear) / 2
        spent = known.steps(curves, middle).sum()
        if spent == total:
            return middle, middle
        cheap, dear = (cheap, middle) if spent > total else (middle, dear)
    return cheap, dear


def knob_for(rule: str | Rule, curves: Curves, mean_steps: float) -> float:
    """The knob with which a rule, or one of ``RULES``, spends ``mean_steps`` a prompt on these curves, or just less.

    Raises ValueError for an unknown rule or a mean it cannot spend.
    """
    known = rule if isinstance(rule, Rule) else _known(rule)
    return _bracket(known, curves, _total(curves, mean_steps))[0]


def at_mean_cost(rule: str, curves: Curves, mean_steps: float) -> np.ndarray:
    """A rule's steps (N,) with the knob set so that their sum is round(N * mean_steps), exactly.

    The knob is found by bisection. Where the steps jump past the sum, as they do at the corners of interpolated curves,
    the prompts that would jump go, in their order, as far on their way as the sum allows. Nothing measured on these
    prompts is needed: a price or a threshold that shares out a batch's budget is known before a picture is drawn.
    Raises ValueError for an unknown rule or a mean it cannot spend.
    """
    known, total = _known(rule), _total(curves, mean_steps)
    cheap, dear = (known.steps(curves, knob) for knob in _bracket(known, curves, total))
    way = np.maximum(dear - cheap, 0)
    left = total - cheap.sum() - (np.cumsum(way) - way)
    return cheap + np.clip(left, 0, way)


def _known(rule: str) -> Rule:
    if rule not in RULES:
        raise ValueError(f"unknown rule {rule!r}: choose from {', '.join(RULES)}")
    return RULES[rule]


def _total(curves: Curves, mean_steps: float) -> int:
    return round(mean_steps * len(next(iter(check_curves(curves).values()))))
