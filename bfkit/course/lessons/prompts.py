"""Lesson 01: prompts that differ (Eq. 1)."""

import numpy as np

from bfkit import paper
from bfkit.course.checking import Task
from bfkit.dataset.prompts import select_dissimilar

from ._bundled import held_out_curves


def select(rows, threshold):
    """Eq. 1: which rows (N, D) are kept, in order; a row is kept if its cosine to every kept row is below."""
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    kept = []
    for row in range(len(unit)):
        if not kept or (unit[kept] @ unit[row]).max() < threshold:
            kept.append(row)
    return kept


def _cases() -> list[tuple]:
    chain = [[np.cos(a), np.sin(a)] for a in np.deg2rad([0, 30, 60, 90])]  # each is near the one before it
    halves = [[1.0, 0, 0, 0], [1.0, 1, 1, 1], [0, 2.0, 0, 0]]  # cosines of exactly 1/2
    texts = held_out_curves()[0]
    words = sorted({word for text in texts for word in text.split()})
    counts = np.array([[text.split().count(word) for word in words] for text in texts], float)
    return [(np.array(chain), 0.7), (np.array(halves), 0.5), (counts, 0.52)]


def _all_before(rows, threshold):
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return [row for row in range(len(unit)) if all(unit[:row] @ unit[row] < threshold)]


def _up_to(rows, threshold):
    return select(rows, np.nextafter(threshold, 1) + 1e-9)


def _products(rows, threshold):
    kept = []
    for row in range(len(rows)):
        if all(rows[other] @ rows[row] < threshold for other in kept):
            kept.append(row)
    return kept


def _alike(rows, threshold):
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return [row for row in range(len(unit)) if not row or (unit[:row] @ unit[row]).max() >= threshold]


def _kept_again(rows, kept, order):
    return np.isin(kept, order[select_dissimilar(rows[order], paper.DISSIMILARITY)]).mean()


def _share(counts, thresholds, rows):
    return counts[thresholds.index(0.65)] / len(rows)


TASKS = (
    Task(
        "prompts.select",
        "Equation 1 yourself",
        """Write `select(rows, threshold)`. It gets a row of numbers for each caption, of any length, and returns the
indices of those that are kept: go through the rows in order, and keep one if its cosine similarity to *every row kept
so far* is below the threshold. The figure that follows is drawn by your function once it is right.""",
        select,
        (
            "The cosine of two rows is their product divided by their lengths: divide each row by its length first.",
            "Begin with `kept = []`. Compare each row with the rows in `kept` alone, then append its index or not.",
        ),
        {
            "every earlier row": (_all_before, "a row is compared with rows that were not kept themselves"),
            "up to the threshold": (_up_to, "a similarity equal to the threshold is not below it"),
            "products for cosines": (_products, "rows may have any length: divide by it before you multiply"),
            "keeps the alike": (_alike, "the direction is turned round: unlike rows are wanted, alike ones are kept"),
        },
        cases=_cases,
    ),
    Task(
        "prompts.shuffled",
        "the order counts",
        """Offer the captions in another order, `order`, and select again at the paper's threshold. Which share of
the captions in `kept` is kept again? Indices count in the order that was offered, so mind which caption they mean.""",
        _kept_again,
        (
            "`select_dissimilar(rows[order], paper.DISSIMILARITY)` gives places in the new order; `order[places]` are "
            "the captions' own numbers.",
            "`np.isin(kept, again)` says of each whether it is there again.",
        ),
        {
            "places for captions": (
                lambda rows, kept, order: np.isin(kept, select_dissimilar(rows[order], paper.DISSIMILARITY)).mean(),
                "places in the new order are compared with numbers in the old one",
            ),
            "how many": (
                lambda rows, kept, order: len(select_dissimilar(rows[order], paper.DISSIMILARITY)) / len(kept),
                "this compares how many are kept, not which",
            ),
            "of all captions": (
                lambda rows, kept, order: _kept_again(rows, kept, order) * len(kept) / len(rows),
                "this is a share of the captions offered; a share of those in `kept` is wanted",
            ),
        },
        code="order = np.random.default_rng(0).permutation(len(rows))\n"
        "again = np.isin(kept, order[select_dissimilar(rows[order], paper.DISSIMILARITY)]).mean()",
        given="rows, kept, order",
        tolerance=1e-3,
    ),
    Task(
        "prompts.share",
        "read it off the bars",
        """Which share of the captions offered does a threshold of 0.65 keep? Two digits from the figure will do.""",
        _share,
        ("The bar gives the number kept; the line under the title says of how many.",),
        {
            "a number": (lambda counts, thresholds, rows: counts[thresholds.index(0.65)],
                         "this is how many are kept; divide by how many were offered"),
            "what is dropped": (lambda counts, thresholds, rows: 1 - _share(counts, thresholds, rows),
                                "this is the share that is dropped"),
            "the paper's bar": (lambda counts, thresholds, rows: counts[thresholds.index(0.75)] / len(rows),
                                "this is the bar of 0.75"),
        },
        code="share = counts[thresholds.index(0.65)] / len(rows)",
        given="counts, thresholds, rows",
        tolerance=0.006,
    ),
)  # fmt: skip
