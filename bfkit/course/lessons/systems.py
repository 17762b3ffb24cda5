"""Lesson 09: other ways to draw sooner."""

import numpy as np

from bfkit.course.checking import Task


def front(cost, loss):
    """Which points are beaten by no other: none loses less at the same cost or at a lower one. (N,) each."""
    return np.array([not (loss[cost <= own] < left).any() for own, left in zip(cost, loss, strict=True)])


def _cases() -> list[tuple]:
    rng = np.random.default_rng(0)
    cost = np.repeat([1.0, 2.0, 4.0, 8.0], 3)
    return [
        (cost, 1 / cost + rng.uniform(0, 0.5, len(cost))),
        (np.array([3.0, 1.0, 2.0, 4.0]), np.array([0.3, 0.5, 0.6, 0.3])),
    ]


def _among_equals(cost, loss):
    return np.array([not (loss[cost == own] < left).any() for own, left in zip(cost, loss, strict=True)])


def _sorted_only(cost, loss):
    order = np.argsort(cost, kind="stable")
    better = np.append(True, np.diff(loss[order]) < 0)
    return better[np.argsort(order)]


def _told(gains, sign=1, metric="d_sim_plain", certain=True):
    rows = gains.filter(metric=metric).iter_rows(named=True)
    ends = ("low" if sign > 0 else "high") if certain else "gain"
    return {row["system"] for row in rows if sign * row[ends] > 0 and row["system"] not in ("UNIFORM", "REFERENCE")}


TASKS = (
    Task(
        "systems.surely",
        "who surely comes nearer?",
        """Which systems come *surely* nearer to the plain pipeline's finished picture than UNIFORM, for the same
cost? In `gains`, `metric` is `d_sim_plain`, and `low` to `high` is the interval of the gain. Leave out REFERENCE,
which costs more. Answer with a set of names; it may be empty, `set()`.""",
        _told,
        ("Surely nearer: the whole interval lies above zero. The figure of this lesson draws it.",),
        {
            "by the points": (lambda gains: _told(gains, certain=False),
                              "some of these have an interval that reaches below zero"),
            "surely farther": (lambda gains: _told(gains, -1), "these surely stay farther off"),
            "their own ends": (lambda gains: _told(gains, metric="d_sim"),
                               "this compares each with its *own* finished picture, not with the plain pipeline's"),
        },
        code='rows = gains.filter(pl.col("low") > 0, pl.col("system") != "REFERENCE", metric="d_sim_plain")\n'
        'nearer = set(rows["system"])',
        given="gains",
    ),
    Task(
        "systems.front",
        "the front yourself",
        """Write `front(cost, loss)`: for every point whether it stands on the front, an array of true and false. A
point is off the front if some other loses *less* at the same cost or at a lower one. Points may come in any order.""",
        front,
        (
            "`loss[cost <= own]` are the losses of all that cost as much as this point or less.",
            "A point beats nobody by being itself: ask for *less*, not for as little.",
        ),
        {
            "the best alone": (lambda cost, loss: loss == loss.min(),
                               "only the least loss of all is on it; what costs less may lose more and be on it too"),
            "equal cost only": (_among_equals,
                                "a point is compared with its equals in cost alone; cheaper ones may beat it too"),
            "the next cheaper": (_sorted_only, "a point is compared with the next cheaper one alone, not with all"),
            "those off it": (lambda cost, loss: ~front(cost, loss), "the direction is turned round: these are beaten"),
        },
        cases=_cases,
    ),
)  # fmt: skip
