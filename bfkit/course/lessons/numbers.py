"""Lesson 13: what the paper's numbers say about each other."""

import numpy as np

from bfkit import paper
from bfkit.course.checking import Task


def lead(steps):
    """How far the mean of 1 / steps lies above 1 / the mean, as a share: what Eq. 8 gains by spread alone."""
    return (1 / steps).mean() * steps.mean() - 1


def _shared(seeds=paper.SEEDS, kept=1):
    return paper.PROMPTS * seeds * (len(paper.STEP_COUNTS) - kept)


TASKS = (
    Task(
        "numbers.lead",
        "what spread gives by itself",
        """Write `lead(steps)`: by which share the mean of `1 / steps` exceeds 1 over their mean. No picture is
looked at, no prompt is known: this much Eq. 8 puts whoever varies the steps above whoever does not.""",
        lead,
        ("Without any spread the answer is 0: take 1 away from the ratio.",),
        {
            "the square": (lambda steps: (steps.std() / steps.mean()) ** 2,
                           "this is the approximation by c squared; the exact one is asked for"),
            "the ratio": (lambda steps: lead(steps) + 1, "this is the ratio itself; 0 is no lead"),
            "turned round": (lambda steps: 1 / (lead(steps) + 1) - 1,
                             "the two are turned round: it is the mean of 1 / steps "
                             "that is larger"),
            "the median": (lambda steps: np.median(1 / steps) * np.median(steps) - 1, "means are meant, not medians"),
        },
        cases=lambda: [(np.array([5.0, 9, 17, 33]),), (np.array([20.0, 20, 20]),), (np.array([22.0, 23.5, 31, 60]),)],
    ),
    Task(
        "numbers.luck",
        "how many trials?",
        """Somebody who guesses is right in half of the trials, give or take a standard deviation of $\\sqrt{.25 /
n}$ after $n$ of them. After how many trials is that *half* of what `paper.TRIALS` leave?""",
        lambda: 4 * paper.TRIALS,
        ("The deviation falls with the root of the number of trials.",),
        {
            "twice": (lambda: 2 * paper.TRIALS, "twice the trials divide the deviation by the root of two"),
            "the root": (lambda: round(2**0.5 * paper.TRIALS),
                         "the root is on the wrong side: trials go with its square"),
            "fewer": (lambda: paper.TRIALS // 4, "fewer trials leave more to luck"),
        },
        code="trials = 4 * paper.TRIALS",
    ),
    Task(
        "numbers.shared",
        "what sharing the first evaluation saves",
        """Every picture of a prompt and seed begins with the same evaluation of the denoiser, whatever its number
of steps. The paper does not say that it is shared. How many evaluations would sharing save over the paper's data
set?""",
        _shared,
        ("For one prompt and one seed: of as many first evaluations as there are step counts, one is needed.",),
        {
            "all of them": (lambda: _shared(kept=0),
                            "one of the first evaluations is still needed"),
            "one seed": (lambda: _shared(seeds=1), "every seed is drawn at all the step counts"),
            "what is left": (lambda: paper.PROMPTS * paper.SEEDS * sum(paper.STEP_COUNTS) - _shared(),
                             "these are the evaluations that are made; those saved are asked for"),
        },
        code="saved = paper.PROMPTS * paper.SEEDS * (len(paper.STEP_COUNTS) - 1)",
    ),
)  # fmt: skip
