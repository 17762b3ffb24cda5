"""Lesson 06: where to stop (Eq. 7)."""

import numpy as np

from bfkit import paper
from bfkit.course.task import Task
from bfkit.metrics.registry import METRICS

from ._bundled import held_out_curves


def plateau(values, weight, lower_is_better=True):
    """Eq. 7 for one curve, values at steps 1, 2, ...: the last step that still stands out, 1 where none does."""
    falling = np.asarray(values) if lower_is_better else -np.asarray(values)
    threshold = np.median(falling) + weight * np.std(falling)
    standing_out = np.flatnonzero(falling >= threshold)
    return int(standing_out[-1]) + 1 if len(standing_out) else 1


def _cases() -> list[tuple]:
    curves = held_out_curves()[1]
    drawn = np.array(paper.STEP_COUNTS) - 1
    cases = [
        (curves[name][row], paper.WEIGHTS[name], METRICS[name].lower_is_better) for name in METRICS for row in range(3)
    ]
    cases += [(curves["d_sim"][row, drawn], 0.2, True) for row in range(3)]
    bumpy = np.array([1.0, 0.7, 0.2, 0.6, 0.2, 0.1, 0.1])  # stands out, does not, and does again
    # the population's standard deviation puts the line under the third value, the sample's above it; so many spreads
    # above the median is nothing
    near = np.array([1.0, 0.8, 0.5, 0.1, 0.1, 0.0])
    between = (near[2] - np.median(near)) / ((near.std() + near.std(ddof=1)) / 2)
    return [*cases, (bumpy, 0.2, True), (near, between, True), (near, 9.0, True)]


def _with(center=np.median, ddof=0, first=False, index=False, turn=True):
    def other(values, weight, lower_is_better=True):
        falling = np.asarray(values) if lower_is_better or not turn else -np.asarray(values)
        out = np.flatnonzero(falling >= center(falling) + weight * falling.std(ddof=ddof))
        if first:  # the step before the first that does not stand out
            out = out[out == np.arange(len(out))]
        return (int(out[-1]) + (not index)) if len(out) else 1

    return other


TASKS = (
    Task(
        "plateau.plateau",
        "Equation 7 yourself",
        """Write `plateau(values, weight, lower_is_better=True)`: the last step at which a curve is still at least
its median plus `weight` times its standard deviation. `values[0]` is step 1. A curve that rises as pictures ripen,
`lower_is_better=False`, is turned over first; where no step reaches the threshold the answer is 1. The figure that
follows is drawn by your function once it is right.""",
        plateau,
        (
            "`np.flatnonzero(condition)` gives the indices at which a condition holds, and indices begin at 0.",
            "`np.median` and `np.std` are the two numbers; turn the curve over by `-values` before you take them.",
        ),
        {
            "mean for median": (_with(center=np.mean), "the line seems to stand on the mean; Eq. 7's is the median"),
            "ddof=1": (_with(ddof=1), "the spread is the sample's (ddof=1); the population's is meant (ddof=0)"),
            "index for step": (_with(index=True), "off by one: indices begin at 0, steps at 1"),
            "first crossing": (_with(first=True), "a bumpy curve may come back: the *last* such step is meant"),
            "I-CLIP not turned": (_with(turn=False), "the direction is turned round for a curve that rises (I-CLIP)"),
        },
        cases=_cases,
    ),
    Task(
        "plateau.unturned",
        "the direction of I-CLIP",
        """Take the first held-out prompt's measured I-CLIP curve, `measured["i_clip"][0]`, with the paper's weight,
and forget that it rises: what does Eq. 7 answer now?""",
        lambda measured: plateau(measured["i_clip"][0], paper.WEIGHTS["i_clip"]),
        ("Your own `plateau`, with `lower_is_better` left as it is.", "The paper's weights stand in `paper.WEIGHTS`."),
        {
            "turned over": (lambda measured: plateau(measured["i_clip"][0], paper.WEIGHTS["i_clip"], False),
                            "this is the plateau of the curve turned over, the sensible one"),
            "another metric": (lambda measured: plateau(measured["d_sim"][0], paper.WEIGHTS["d_sim"]),
                               "this is D-SIM's plateau"),
            "first above the line": (
                lambda measured: 1 + int((measured["i_clip"][0] >= np.median(measured["i_clip"][0])
                                          + paper.WEIGHTS["i_clip"] * measured["i_clip"][0].std()).argmax()),
                "this is the first step above the line; Eq. 7 asks for the last"),
        },
        code='unturned = plateau(measured["i_clip"][0], paper.WEIGHTS["i_clip"])',
        given="measured",
    ),
    Task(
        "plateau.decides",
        "which metric decides?",
        """t\\* is the last of three plateaus. For which share of the held-out prompts is I-CLIP's plateau t\\*, by
measured curves? The table `truth` has a column for each metric's plateau, and t\\* in `steps`; a tie counts.""",
        lambda truth: (truth["i_clip"] == truth["steps"]).mean(),
        ('Compare two columns: `truth["i_clip"] == truth["steps"]` is true or false for each prompt.',),
        {
            "another metric": (lambda truth: (truth["d_sim"] == truth["steps"]).mean(), "this is D-SIM's share"),
            "a count": (lambda truth: (truth["i_clip"] == truth["steps"]).sum(), "a share is asked for, no count"),
            "the others": (lambda truth: (truth["i_clip"] != truth["steps"]).mean(),
                           "this is the share of prompts in which it does *not* decide"),
        },
        code='decides = (truth["i_clip"] == truth["steps"]).mean()',
        given="truth",
        tolerance=1e-3,
    ),
)  # fmt: skip
