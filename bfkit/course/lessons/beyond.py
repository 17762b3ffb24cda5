"""Lesson 14: promises, and what they take."""

from math import comb

from bfkit.course.checking import Task
from bfkit.evaluation.promise import least_prompts
from bfkit.predictor.promise import Terms

STRICT = Terms(epsilon=0.02, alpha=0.01, delta=0.1)


def allowed(prompts, alpha, delta):
    """The most prompts that may fail: so few, or fewer, happen with a chance of delta at most if alpha of all fail."""
    chance = 0.0
    for bad in range(prompts + 1):
        chance += comb(prompts, bad) * alpha**bad * (1 - alpha) ** (prompts - bad)
        if chance > delta:
            return bad - 1


def _one_more(prompts, alpha, delta):
    return allowed(prompts, alpha, delta) + 1


def _confident(prompts, alpha, delta):
    return allowed(prompts, alpha, 1 - delta)


TASKS = (
    Task(
        "beyond.allowed",
        "the exact test yourself",
        """Of so many `prompts` measured, how many may fail before a promise is off? Suppose that a share $\\alpha$ of
*all* prompts fails. Then exactly $b$ of $n$ measured ones fail with the chance
$\\binom{n}{b} \\alpha^b (1 - \\alpha)^{n - b}$. Write `allowed(prompts, alpha, delta)`: the largest number such that
this many *or fewer* have a chance of `delta` at most; -1 if even none is too likely.""",
        allowed,
        (
            "`comb(n, b)` is the binomial coefficient. Add the chances up from 0 on.",
            "The first number at which the sum exceeds `delta` is one too many.",
        ),
        {
            "one too many": (_one_more, "off by one: at this number the chance is above delta already"),
            "the share": (lambda prompts, alpha, delta: int(alpha * prompts),
                          "as many as alpha says are no proof: by luck there are fewer in half of all samples"),
            "delta turned round": (_confident, "delta is the chance of a broken promise, not of a kept one"),
        },
        cases=lambda: [(60, 0.1, 0.1), (200, 0.05, 0.05), (10, 0.1, 0.1)],
    ),
    Task(
        "beyond.least",
        "a stricter promise",
        """At most one prompt in a hundred may lose more than 2%, and one such promise in ten may be broken. How
many prompts must be measured at least, if not a single one of them fails?""",
        lambda: least_prompts(STRICT),
        (
            "If 1% of all fail, none of `n` does with a chance of `0.99**n`.",
            "`promise.least_prompts` takes the `Terms` of a promise.",
        ),
        {
            "the promise above": (lambda: least_prompts(Terms(epsilon=0.02, alpha=0.1, delta=0.1)),
                                  "this is enough for one in ten, the promise of this section"),
            "one over alpha": (lambda: round(1 / STRICT.alpha), "so few show none by luck too often"),
            "surer": (lambda: least_prompts(Terms(epsilon=0.02, alpha=0.01, delta=0.01)),
                      "this many would do for a promise of which one in a hundred is broken"),
        },
        code="least = promise.least_prompts(Terms(epsilon=0.02, alpha=0.01, delta=0.1))",
    ),
)  # fmt: skip
