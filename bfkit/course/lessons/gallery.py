"""Lesson 12: pictures."""

import numpy as np

from bfkit import paper
from bfkit.course.checking import Task

from ._bundled import held_out_curves


def worst(distances, steps, few):
    """Rows that are farthest from their end: distances (N, T), a column a step, at steps (N,), to indices (few,)."""
    left = distances[np.arange(len(steps)), steps - 1]
    return np.argsort(-left)[:few]


def _cases() -> list[tuple]:
    distances = held_out_curves()[1]["d_sim"]
    steps = np.random.default_rng(0).integers(2, 30, len(distances))
    return [(distances, steps, 3), (distances, steps, len(steps))]


def _next_step(distances, steps, few):
    return worst(distances, steps + 1, few)


def _everywhere(distances, steps, few):
    return np.argsort(-distances.mean(axis=1))[:few]


TASKS = (
    Task(
        "gallery.worst",
        "find the worst yourself",
        """Write `worst(distances, steps, few)`. `distances` holds the D-SIM that each prompt's picture still has to
its end, a column for each step from 1 on; `steps` is what each prompt gets. Return the `few` rows that are farthest
from their end at *their own* step, the farthest first.""",
        worst,
        (
            "`distances[np.arange(len(steps)), steps - 1]` takes one entry of each row.",
            "`np.argsort` sorts upwards: sort what is negated.",
        ),
        {
            "index for step": (_next_step, "off by one: column 0 is step 1"),
            "the best": (lambda distances, steps, few: worst(-distances, steps, few),
                         "these are the nearest to their end"),
            "over all steps": (_everywhere, "each prompt is to be judged at its own step alone"),
        },
        cases=_cases,
    ),
    Task(
        "gallery.dearer",
        "does it always save?",
        """The advisor may also ask for *more* than the REFERENCE's 65 steps. For which share of the held-out
prompts does it? `t_star` holds the steps of each.""",
        lambda t_star: (t_star > paper.REFERENCE_STEPS).mean(),
        ("`(t_star > n).mean()` is a share.",),
        {
            "fewer": (lambda t_star: (t_star < paper.REFERENCE_STEPS).mean(), "these get fewer steps, not more"),
            "as many": (lambda t_star: (t_star >= paper.REFERENCE_STEPS).mean(), "as many is not more"),
            "how many": (lambda t_star: (t_star > paper.REFERENCE_STEPS).sum(), "a share is asked for, no count"),
        },
        code="dearer = (t_star > paper.REFERENCE_STEPS).mean()",
        given="t_star",
        tolerance=1e-3,
    ),
)  # fmt: skip
