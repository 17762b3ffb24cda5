"""Lesson 11: what people see."""

import numpy as np
from scipy.stats import norm

from bfkit.course.checking import Task


def d_prime(share):
    """The sensitivity behind a share of choices in 2AFC: noise is in both pictures, so sqrt(2) times its z value."""
    return 2**0.5 * norm.ppf(share)


def _protocol(people, name="similar"):
    return people.filter(protocol=name)["share"]


TASKS = (
    Task(
        "study.d_prime",
        "from a share to d′",
        """Somebody compares two pictures whose means are d′ apart, in units of the noise with which each is seen.
Their difference then has a mean of d′ and a noise of √2, so that the better one is chosen with the chance Φ(d′ /
√2). Turn it round: write `d_prime(share)`. `norm.cdf` is Φ and `norm.ppf` its inverse.""",
        d_prime,
        ("A share of one half is a guess: d′ is 0. A share below one half has a d′ below 0.",),
        {
            "one picture's noise": (lambda share: norm.ppf(share),
                                    "two pictures are compared, each with noise: where is √2?"),
            "divided": (lambda share: norm.ppf(share) / 2**0.5, "√2 is on the wrong side"),
            "the other picture": (lambda share: d_prime(1 - share),
                                  "the direction is turned round: over one half is above 0"),
            "a chance": (lambda share: norm.cdf(share), "this goes from d′ to a share; the way back is asked for"),
        },
        cases=lambda: [(0.6,), (0.5,), (0.352,), (np.array([0.25, 0.75]),)],
    ),
    Task(
        "study.people",
        "a crowd is not its mean",
        """Against UNIFORM (`protocol` is `similar`), which share of the observers chose OURS in *more* than half of
their trials? The table `people` has a row an observer, and the share of OURS in `share`.""",
        lambda people: (_protocol(people) > 0.5).mean(),
        ('`people.filter(protocol="similar")["share"] > 0.5` is true or false for each observer.',),
        {
            "the mean share": (lambda people: _protocol(people).mean(),
                               "this is the mean share of choices; a share of people is asked for"),
            "the other protocol": (lambda people: (_protocol(people, "reference") > 0.5).mean(),
                                   "these are the observers of the other protocol, against REFERENCE"),
            "half included": (lambda people: (_protocol(people) >= 0.5).mean(),
                              "exactly half is no more than half"),
        },
        code='similar = people.filter(protocol="similar")\nfor_ours = (similar["share"] > 0.5).mean()',
        given="people",
        tolerance=1e-3,
    ),
)  # fmt: skip
