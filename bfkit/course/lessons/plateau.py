"""Lesson 06: where to stop (Eq. 7)."""

import numpy as np

from bfkit import paper
from bfkit.course.checking import Task
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


def _steps(measured, lower_is_better=True):
    return np.array([plateau(curve, paper.WEIGHTS["i_clip"], lower_is_better) for curve in measured["i_clip"]])


def _at_ends(measured, lower_is_better=True):
    return np.isin(_steps(measured, lower_is_better), [1, measured["i_clip"].shape[1]]).mean()


def _decides(steps, metric="i_clip"):
    return (steps["measured"][metric] == steps["measured"]["steps"]).mean()


_FIGURE = """own = task.own(plateau)  # yours once it is right, else the library's
curves = advisor.curves(shown)
yours = [
    {"prompt": text, "metric": name, "steps": own(part["value"], paper.WEIGHTS[name], METRICS[name].lower_is_better)}
    for (text, name), part in curves.group_by("prompt", "metric", maintain_order=True)
]
yours = pl.DataFrame(yours).pivot("metric", index="prompt", values="steps")
yours = yours.with_columns(steps=pl.max_horizontal(list(METRICS)))
charts.plateaus(curves, yours, rings)"""

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
        figure=_FIGURE,
    ),
    Task(
        "plateau.unturned",
        "the direction of I-CLIP",
        """Forget that I-CLIP rises, and read Eq. 7 off its measured curves as they are, as `unturned` does. For
which share of the held-out prompts is the answer one of the two ends, the first step or the last, and so of no use?""",
        _at_ends,
        (
            "`unturned` holds a step for each prompt; the last step is the number of columns of the curves, "
            "`profile.target_steps`.",
            "`np.isin(unturned, [a, b])` is true where a step is one of the two.",
        ),
        {
            "turned over": (lambda measured: _at_ends(measured, False), "this is the share once I-CLIP is turned over"),
            "the last only": (lambda measured: (_steps(measured) == measured["i_clip"].shape[1]).mean(),
                              "these are the prompts at the last step alone; the first is an end, too"),
            "the first only": (lambda measured: (_steps(measured) == 1).mean(),
                               "these are the prompts at the first step alone; the last is an end, too"),
            "the others": (lambda measured: 1 - _at_ends(measured), "these are the prompts that are *not* at an end"),
        },
        code='unturned = np.array([own(curve, paper.WEIGHTS["i_clip"]) for curve in measured["i_clip"]])\n'
        "ends = np.isin(unturned, [1, profile.target_steps]).mean()",
        given="measured",
        tolerance=1e-3,
    ),
    Task(
        "plateau.decides",
        "which metric decides?",
        """t\\* is the last of three plateaus. For which share of the held-out prompts is I-CLIP's plateau t\\*, by
measured curves? The table `steps["measured"]` has a column for each metric's plateau, and t\\* in `steps`.
A tie counts.""",
        _decides,
        ('Compare two of its columns: `truth["i_clip"] == truth["steps"]` is true or false for each prompt.',),
        {
            "another metric": (lambda steps: _decides(steps, "d_sim"), "this is D-SIM's share"),
            "a count": (lambda steps: _decides(steps) * len(steps["measured"]), "a share is asked for, no count"),
            "the others": (lambda steps: 1 - _decides(steps),
                           "this is the share of prompts in which it does *not* decide"),
        },
        code='truth = steps["measured"]\ndecides = (truth["i_clip"] == truth["steps"]).mean()',
        given="steps",
        tolerance=1e-3,
    ),
)  # fmt: skip
