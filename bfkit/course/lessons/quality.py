"""Lesson 10: quality and diversity."""

import torch

from bfkit.course.checking import Task


def inception_of(chances):
    """exp of the mean KL between what is thought of each picture, a row of chances (N, C), and of all: one number."""
    overall = chances.mean(0)
    return (chances * (chances.log() - overall.log())).sum(1).mean().exp()


def _cases() -> list[tuple]:
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(40, 6, generator=generator, dtype=torch.float64)
    return [(logits.softmax(1),), ((logits / 9).softmax(1),)]


def _turned(chances):
    overall = chances.mean(0)
    return (overall * (overall.log() - chances.log())).sum(1).mean().exp()


def _sure_only(chances):
    return (chances * chances.log()).sum(1).mean().exp()


def _differ(scored, low=0.0, sign=0):
    rows = [row for row in scored.iter_rows(named=True) if row["system"] != "REFERENCE"]
    above = {row["system"] for row in rows if row["difference_low"] > low}
    below = {row["system"] for row in rows if row["difference_high"] < low}
    return above if sign > 0 else below if sign < 0 else above | below


def _by_value(scored):
    reference = scored.filter(system="REFERENCE").row(0, named=True)
    rows = scored.iter_rows(named=True)
    return {row["system"] for row in rows if not reference["low"] <= row["score"] <= reference["high"]}


TASKS = (
    Task(
        "quality.inception",
        "the inception score yourself",
        """Write `inception_of(chances)`. It gets the chances that a classifier gives to each kind, a row a picture,
and returns $\\exp$ of the mean KL between a row and the mean of all rows. KL of $p$ and $q$ is the sum over kinds
of $p (\\log p - \\log q)$.""",
        inception_of,
        (
            "`chances.mean(0)` is what the classifier thinks of the whole set.",
            "Sum over the kinds, then mean over the pictures, then `.exp()`.",
        ),
        {
            "no exp": (lambda chances: inception_of(chances).log(), "this is the mean KL; its exp is asked for"),
            "KL turned round": (_turned,
                                "KL is not symmetric: it is each picture's opinion that is weighed, not the mean's"),
            "sure only": (_sure_only, "this rewards being sure, but not seeing all kinds: where is the mean opinion?"),
            "mean over kinds": (lambda chances: inception_of(chances).log().div(chances.shape[1]).exp(),
                                "over the kinds it is a sum, not a mean"),
        },
        cases=_cases,
    ),
    Task(
        "quality.differ",
        "whose score surely differs?",
        """Which systems' inception scores surely differ from REFERENCE's, one way or the other? In `scored`, the
interval of the difference is `difference_low` to `difference_high`. Answer with a set of names; it may be empty,
`set()`.""",
        _differ,
        ("A difference is sure if its interval leaves zero out, on either side.",),
        {
            "above only": (lambda scored: _differ(scored, sign=1), "a score may surely be lower, too"),
            "below only": (lambda scored: _differ(scored, sign=-1), "a score may surely be higher, too"),
            "outside REFERENCE's interval": (_by_value, "scores are held against REFERENCE's own interval; the prompts "
                                             "are the same, so the interval of the *difference* is narrower"),
        },
        code='low, high = scored["difference_low"], scored["difference_high"]\n'
        'differ = set(scored.filter((low > 0) | (high < 0))["system"])',
        given="scored",
    ),
)  # fmt: skip
