"""Lesson 07: is it worth it? (Eq. 8 and 9)."""

import numpy as np

from bfkit.course.checking import Task
from bfkit.metrics.registry import METRICS
from bfkit.predictor.rules import steps_by_plateau, steps_by_uniform

from ._bundled import held_out_curves


def gain(values, ours, uniform, lower_is_better=True):
    """Eq. 9 for each prompt: curves (N, T) of one metric, steps (N,) of OURS and of UNIFORM, to gains (N,)."""
    quality = 1 - values if lower_is_better else values
    prompts = np.arange(len(values))
    return quality[prompts, ours - 1] / quality[prompts, uniform - 1] - 1


def _cases() -> list[tuple]:
    curves = held_out_curves()[1]
    ours = steps_by_plateau(curves)
    uniform = steps_by_uniform(curves, float(ours.mean()))
    return [(curves[name], ours, uniform, METRICS[name].lower_is_better) for name in METRICS]


def _next_step(values, ours, uniform, lower_is_better=True):
    last = values.shape[1]
    return gain(values, np.minimum(ours + 1, last), np.minimum(uniform + 1, last), lower_is_better)


def _of_means(values, ours, uniform, lower_is_better=True):
    quality = 1 - values if lower_is_better else values
    prompts = np.arange(len(values))
    return quality[prompts, ours - 1].mean() / quality[prompts, uniform - 1].mean() - 1


def _surely(relative):
    return {row["metric"] for row in relative.iter_rows(named=True) if row["low"] > 0 or row["high"] < 0}


def _excess(steps):
    return (1 / steps["OURS"]).mean() * steps["OURS"].mean() - 1


_FIGURE = """own = task.own(gain)  # yours once it is right, else the library's
gains = [
    own(values, steps["OURS"], steps["UNIFORM"], METRICS[name].lower_is_better) for name, values in measured.items()
]
yours = efficiency.relative_quality(steps, measured).with_columns(relative=np.concatenate(gains))
yours = efficiency.relative_summary(yours)
charts.relative_quality(
    yours,
    efficiency.gain_finding(yours),
    f"by the Eq. 9 above, with 95% intervals over {len(texts)} held-out prompts; diamonds: the paper",
    dict(paper.RELATIVE_QUALITY),
)"""

TASKS = (
    Task(
        "efficiency.excess",
        "Jensen's gift",
        """Suppose that every picture were perfect, $m = 1$. By how much would Eq. 8 put OURS above a UNIFORM of the
same mean steps, although neither is any better? Give the mean of $1/t$ over OURS' steps, `steps["OURS"]`, divided by
$1/$ their mean, less 1.""",
        _excess,
        ("The mean of the reciprocals is not the reciprocal of the mean: compute both, and divide.",),
        {
            "no less 1": (lambda steps: _excess(steps) + 1, "this is the ratio; how much it is above 1 is asked for"),
            "upside down": (lambda steps: 1 / (_excess(steps) + 1) - 1, "the ratio is upside down"),
            "no control": (lambda steps: (1 / steps["OURS"]).mean(),
                           "this is the mean of the reciprocals alone: divide by the reciprocal of the mean"),
        },
        code='excess = (1 / steps["OURS"]).mean() * steps["OURS"].mean() - 1',
        given="steps",
        tolerance=1e-3,
    ),
    Task(
        "efficiency.gain",
        "Equation 9 yourself",
        """Write `gain(values, ours, uniform, lower_is_better=True)`. `values` holds a metric's curve of each prompt,
a column for each step from 1 on; `ours` and `uniform` are each prompt's steps. It returns for each prompt its quality
at OURS' steps over that at UNIFORM's, less 1; quality is 1 less the metric where lower is better. The figure that
follows is drawn by your function once it is right.""",
        gain,
        (
            "`quality[prompts, ours - 1]`, with `prompts = np.arange(len(values))`, takes one number from each row.",
            "Turn the metric into a quality before you divide: 1 - D-SIM, 1 - L-SNR, I-CLIP.",
        ),
        {
            "index for step": (_next_step, "off by one: step 1 stands in column 0"),
            "no less 1": (lambda *case: gain(*case) + 1, "these are ratios; a gain is how much they are above 1"),
            "not turned": (lambda v, o, u, lower=True: gain(v, o, u, False),
                           "where lower is better the metric is no quality: the direction is turned round"),
            "upside down": (lambda v, o, u, lower=True: gain(v, u, o, lower), "UNIFORM belongs below the line"),
            "ratio of means": (_of_means, "one ratio of means: Eq. 9 has a ratio for each prompt"),
        },
        cases=_cases,
        figure=_FIGURE,
    ),
    Task(
        "efficiency.surely",
        "what the interval says",
        """On which metrics does OURS differ *surely* from UNIFORM at equal cost, better or worse? Read it off the
intervals of the figure or of `relative` (`low`, `high`), and give the names, as in the column `metric`, in a list. It
may be empty.""",
        _surely,
        ("An interval that holds 0 leaves open whether there is a difference.",),
        {
            "by the points": (lambda relative: set(relative.filter(relative["mean"] != 0)["metric"]),
                              "a mean is never exactly 0: look whether the interval holds 0"),
            "turned round": (lambda relative: set(relative["metric"]) - _surely(relative),
                             "these are the metrics whose interval does hold 0"),
            "gains": (lambda relative: set(relative.filter(relative["mean"] > 0)["metric"]),
                      "this reads the means alone: look whether the interval holds 0, on either side"),
        },
        code='surely = [row["metric"] for row in relative.iter_rows(named=True) if row["low"] > 0 or row["high"] < 0]',
        given="relative",
    ),
)  # fmt: skip
