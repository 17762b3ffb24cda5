"""What a calibration promises, as it lies beside the advisor whose rule it was found for."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from bfkit.files import write_file

from .choice import Choice

CONSTANT = "constant"  # the one rule that reads no curve: its knob is the step count
FILE = "promise.json"


@dataclass(frozen=True)
class Terms:
    """At confidence 1 - ``delta``, at most a share ``alpha`` of prompts may lose more than ``epsilon`` of the quality.

    ``epsilon`` is a loss of ``rules.loss``, in [0, 1]. Raises ValueError for numbers out of range.
    """

    epsilon: float = 0.02
    alpha: float = 0.1
    delta: float = 0.1

    def __post_init__(self) -> None:
        for name, value in (("alpha", self.alpha), ("delta", self.delta)):
            if not 0 < value < 1:
                raise ValueError(f"{name} is a share between 0 and 1; got {value:g}")
        if not 0 <= self.epsilon <= 1:
            raise ValueError(f"epsilon is a loss from 0 to 1; got {self.epsilon:g}")


@dataclass(frozen=True)
class Promise:
    """A rule and its knob with which the terms hold, found on so many prompts, which took ``mean_steps``.

    ``rule`` is one of ``rules.RULES``, or ``constant``.
    """

    rule: str
    knob: float
    terms: Terms
    mean_steps: float
    prompts: int

    def __str__(self) -> str:
        what = f"{self.knob:g} steps for all" if self.rule == CONSTANT else f"{self.rule} at {self.knob:.4g}"
        return (
            f"With {what}, {self.mean_steps:.1f} on average, at least {1 - self.terms.alpha:.0%} of prompts lose at "
            f"most {self.terms.epsilon:g} of the mean quality, at {1 - self.terms.delta:.0%} confidence "
            f"({self.prompts} prompts)"
        )

    def choice(self, weights: Mapping[str, float]) -> Choice:
        """The rule with its knob, as ``StepAdvisor.steps`` follows it."""
        return Choice("uniform" if self.rule == CONSTANT else self.rule, self.knob, weights)


def save_promise(promise: Promise, folder: Path) -> None:
    """Write a promise beside the predictor that lies in the folder."""
    write_file(folder / FILE, f"{json.dumps(asdict(promise), indent=2)}\n".encode())


def load_promise(folder: Path) -> Promise | None:
    """What ``save_promise`` wrote; None where nothing was promised, ValueError for a damaged file."""
    path = folder / FILE
    if not path.is_file():
        return None
    try:
        noted = json.loads(path.read_text(encoding="utf-8"))
        return Promise(**{**noted, "terms": Terms(**noted["terms"])})
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is damaged ({error!r}): delete it, or calibrate again") from None
