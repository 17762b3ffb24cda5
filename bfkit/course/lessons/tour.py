"""Lesson 00: what a denoising step is worth."""

from bfkit import paper
from bfkit.course.checking import Task
from bfkit.metrics.registry import METRICS


def _saved(chosen, whole=paper.REFERENCE_STEPS):
    return 1 - chosen["steps"].sum() / (whole * len(chosen))


def _metrics(chosen, row, end=max):
    plateaus = {metric: chosen[metric][row] for metric in METRICS}
    return {metric for metric, steps in plateaus.items() if steps == end(plateaus.values())}


TASKS = (
    Task(
        "tour.decides",
        "which measure decides?",
        """Read off section 3's figure, or off the table `chosen`, which has a column for each measure's plateau:
which of `l_snr`, `d_sim` and `i_clip` make the t\\* of the *busier* prompt, the second? Answer with a set of their
names.""",
        lambda chosen: _metrics(chosen, 1),
        ("t\\* is the last of the three plateaus: the dot farthest to the right.",),
        {
            "the other prompt": (lambda chosen: _metrics(chosen, 0), "this is the other prompt, the first"),
            "the earliest": (lambda chosen: _metrics(chosen, 1, min), "this is the first to go flat; the last decides"),
            "all": (lambda chosen: set(METRICS), "not all three stop at t\\*: compare each with `steps`"),
        },
        code='row = chosen.row(1, named=True)\ndecides = {name for name in METRICS if row[name] == row["steps"]}',
        given="chosen",
    ),
    Task(
        "tour.saved",
        "what two prompts save together",
        """The REFERENCE draws each of the two prompts in 65 steps, the advisor in `chosen["steps"]`. Which share of
the REFERENCE's steps does the advisor save on both *together*?""",
        _saved,
        ("Add the steps up first: how many does the REFERENCE take for both, how many the advisor?",),
        {
            "what is spent": (lambda chosen: 1 - _saved(chosen), "this is the share that is spent"),
            "one prompt": (lambda chosen: 1 - chosen["steps"][0] / paper.REFERENCE_STEPS,
                           "this is the first prompt alone"),
            "of one prompt's": (lambda chosen: 1 - chosen["steps"].sum() / paper.REFERENCE_STEPS,
                                "the steps of both are held against 65, which is one prompt's"),
        },
        code='together = 1 - chosen["steps"].sum() / (paper.REFERENCE_STEPS * len(chosen))',
        given="chosen",
        tolerance=0.006,
    ),
)  # fmt: skip
