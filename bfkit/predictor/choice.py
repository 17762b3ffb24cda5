"""Which rule reads an advisor's curves, and how its knob is set: by what may be lost, or by what may be spent."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import polars as pl

from bfkit import paper

from .rules import RULES, Curves, Rule, check_curves, knob_for, steps_by_plateau

OFFERED = ("plateau", "threshold", "price")
PROMISED = "promised"  # whichever rule a calibration has set
UNITS = ("steps", "tflops", "seconds", "joules")  # of a budget that is shared out


@dataclass(frozen=True)
class Choice:
    """A rule of ``RULES`` with its knob; ``weights`` are those of Eq. 7, which the plateau reads."""

    rule: str = "plateau"
    knob: float = 0.0
    weights: Mapping[str, float] = field(default_factory=lambda: paper.WEIGHTS)

    def steps(self, curves: Curves) -> np.ndarray:
        """Steps (N,) of curves (N, T) a metric."""
        return _weighted(self.rule, self.weights).steps(curves, self.knob)

    def table(self, prompts: Sequence[str], curves: Curves) -> pl.DataFrame:
        """``prompt``, what each metric's curve alone would ask for, and ``steps``, one row a prompt."""
        alone = {name: self.steps({name: values}) for name, values in curves.items()}
        columns = {"prompt": list(prompts), **alone, "steps": self.steps(curves)}
        return pl.DataFrame(columns, schema_overrides=dict.fromkeys((*alone, "steps"), pl.UInt16))


def choose(
    rule: str,
    tolerance: float | None,
    mean_steps: float | None,
    weights: Mapping[str, float],
    typical: Callable[[], Curves],
) -> Choice:
    """The rule with its knob set.

    By ``tolerance``, the loss that the threshold leaves; or so that prompts like those of the ``typical`` curves take
    ``mean_steps`` on average. With neither, Eq. 7 as it stands, and the other rules at what it spends. Raises
    ValueError for an unknown rule, numbers that are none, both at once, or a mean that the rule cannot spend.
    """
    if rule not in OFFERED:
        raise ValueError(f"unknown rule {rule!r}: choose from {', '.join(OFFERED)}")
    if tolerance is not None and mean_steps is not None:
        raise ValueError("the tolerance and the mean steps set the same knob: give one of them")
    if tolerance is not None:
        if rule != "threshold":
            raise ValueError(f"a tolerance is the loss that the threshold leaves: it goes with it, not with {rule}")
        if not 0 <= tolerance <= 1:
            raise ValueError(f"a tolerance is a loss from 0 to 1; got {tolerance:g}")
        return Choice(rule, tolerance)
    if mean_steps is None and rule == "plateau":
        return Choice(rule, weights=weights)
    curves = check_curves(typical())
    if mean_steps is None:
        mean_steps = float(Choice(weights=weights).steps(curves).mean())
    last = next(iter(curves.values())).shape[1]
    if not math.isfinite(mean_steps) or not 1 <= mean_steps <= last:
        raise ValueError(f"mean steps are a number from 1 to {last}; got {mean_steps:g}")
    return Choice(rule, knob_for(_weighted(rule, weights), curves, mean_steps), weights)


def _weighted(rule: str, weights: Mapping[str, float]) -> Rule:
    """The rule, Eq. 7 with these weights."""
    known = RULES[rule]
    return known if rule != "plateau" else replace(known, steps=lambda c, shift: steps_by_plateau(c, shift, weights))
