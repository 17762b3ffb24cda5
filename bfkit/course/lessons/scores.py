"""Lesson 04: curves, and how much of them is chance."""

import numpy as np

from bfkit import paper
from bfkit.course.checking import Task

from ._bundled import held_out_curves

WANTED = 0.9  # a ceiling


def joined(counts, values):
    """Eq. 5: values at rising step counts to values at every step from 1 to the last, by straight lines."""
    return np.interp(np.arange(1, counts[-1] + 1), counts, values)


def _cases() -> list[tuple]:
    drawn = np.array(paper.STEP_COUNTS)
    return [(drawn, held_out_curves()[1][name][0, drawn - 1]) for name in ("l_snr", "d_sim", "i_clip")]


def _nearest(counts, values):
    steps = np.arange(1, counts[-1] + 1)
    return values[np.abs(steps[:, None] - counts).argmin(axis=1)]


def _logarithmic(counts, values):
    return np.interp(np.log(np.arange(1, counts[-1] + 1)), np.log(counts), values)


def _from_zero(counts, values):
    return np.interp(np.arange(counts[-1]), counts, values)


def _seeds(plateau, table, wanted=WANTED**2, of_one=False):
    whole = plateau.filter(metric="all")["reliability"].item()
    seeds = 1 if of_one else table["seed"].n_unique()
    one = whole / (seeds - (seeds - 1) * whole)
    return wanted * (1 - one) / (one * (1 - wanted))


TASKS = (
    Task(
        "scores.joined",
        "Equation 5 yourself",
        """Write `joined(counts, values)`. It gets the step counts that were drawn, rising from 1, and what was
measured at each; it returns a value for *every* step from 1 to the last, on straight lines between the measured
ones.""",
        joined,
        (
            "`np.interp(x, known_x, known_y)` draws the straight lines.",
            "`np.arange(1, n + 1)` is 1, 2, ..., n: the last step is to be among them.",
        ),
        {
            "the nearest": (_nearest, "these are the nearest measured values: there are steps in it, and no lines"),
            "lines over the logarithm": (_logarithmic, "straight over log steps is not straight over steps"),
            "from zero": (_from_zero, "off by one: the first value belongs to step 1"),
        },
        cases=_cases,
    ),
    Task(
        "scores.seeds",
        "how many seeds?",
        """How many seeds would it take until no predictor of t\\* is held back to a correlation under 0.9? Let `r`
be the reliability that *one* seed gives; then `n` seeds give `n * r / (1 + (n - 1) * r)`. The table `plateau` has
the reliability of t\\* (`metric` is `all`) over all the seeds of `table`. A number with a fraction will do.""",
        _seeds,
        (
            "A ceiling is the square root of a reliability.",
            "First solve for the `r` of one seed: `r = R / (m - (m - 1) * R)`, if `m` seeds give `R`.",
        ),
        {
            "ceiling for reliability": (lambda plateau, table: _seeds(plateau, table, WANTED),
                                        "0.9 is the ceiling; the reliability behind it is its square"),
            "all seeds for one": (lambda plateau, table: _seeds(plateau, table, of_one=True),
                                  "the table's reliability is that of all its seeds together, not of one"),
            "those missing": (lambda plateau, table: _seeds(plateau, table) - table["seed"].n_unique(),
                              "these are the seeds that are missing; all of them are asked for"),
        },
        code='whole, drawn = plateau.filter(metric="all")["reliability"].item(), table["seed"].n_unique()\n'
        "one = whole / (drawn - (drawn - 1) * whole)\n"
        "seeds = 0.9**2 * (1 - one) / (one * (1 - 0.9**2))",
        given="plateau, table",
        tolerance=1e-2,
    ),
)  # fmt: skip
