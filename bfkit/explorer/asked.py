"""The fourth curve, no part of t*: how much of what was asked the pictures show, where the score table knows it."""

from pathlib import Path

import polars as pl

from bfkit import charts
from bfkit.dataset.table import ORDER, read_beside, read_scores
from bfkit.dataset.truth import SCHEMA, long_verdicts

VERDICTS, COSINE = "verdicts", "clip_score"
KINDS = {
    VERDICTS: {
        "label": "Asked and shown",
        "percent": True,
        "words": "The miniature's judge reads ground, number, colors, shapes and places off each picture, and compares "
        "them with the words.",
        "unit": "of what was asked is shown",
    },
    COSINE: {
        "label": "Like its words",
        "percent": False,
        "words": "CLIP's cosine of the picture and its prompt.",
        "unit": "by cosine",
    },
}


def read_with_truth(source: str | Path) -> pl.DataFrame:
    """A score table with the columns of ``dataset.truth``, null where it lacks them; raises as ``read_scores`` does."""
    return read_scores(source).join(read_beside(source, SCHEMA), on=ORDER, how="left", maintain_order="left")


def kind_of(frame: pl.DataFrame) -> str | None:
    """What a table knows of the truth: the judge's verdicts, or else the cosine of picture and prompt, or nothing."""
    return next((name for name in KINDS if name in frame.columns and frame[name].drop_nulls().len()), None)


def described(kind: str) -> dict:
    """What the page says of the curve, and how it draws it."""
    return {**KINDS[kind], "color": [charts.SERIES[3], "#bda0e6"], "dash": [8, 3, 2, 3]}


def shown(rows: pl.DataFrame, kind: str) -> list[tuple[int, float]]:
    """One prompt's points, (steps, value): the share of its verdicts that are right, or the mean cosine over seeds.

    Empty where none of its pictures was judged.
    """
    if kind == VERDICTS:
        rows = long_verdicts(rows).select("steps", value=pl.col("right").cast(pl.Float64))
    else:
        rows = rows.filter(pl.col(kind).is_finite()).select("steps", value=pl.col(kind).cast(pl.Float64))
    means = rows.group_by("steps").agg(pl.col("value").mean().round(4)).sort("steps")
    return list(means.iter_rows())
