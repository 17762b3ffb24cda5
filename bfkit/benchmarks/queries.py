"""What is asked of a score table of the paper's size, beside pandas."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import polars as pl

from bfkit import paper
from bfkit.dataset.curves import mean_curves
from bfkit.dataset.table import SCHEMA, split_by_prompt
from bfkit.extras import extra

from .timing import side_by_side

ROWS = paper.IMAGES


def _many_rows(rows: int) -> pl.DataFrame:
    """A score table of that many rows, with made-up values: only its size counts here."""
    rng, counts, seeds = np.random.default_rng(0), paper.STEP_COUNTS, paper.SEEDS
    number = np.arange(rows)
    prompt = number // (len(counts) * seeds)
    return pl.DataFrame(
        {
            "prompt_id": prompt,
            "prompt": pl.Series([f"caption {i}" for i in range(prompt[-1] + 1)]).gather(prompt),
            "seed": number // len(counts) % seeds,
            "steps": np.asarray(counts)[number % len(counts)],
            **{name: rng.random(rows, dtype=np.float32) for name in paper.METRICS},
            "evals": 0,
            "seconds": 0.0,
            "tflops": 0.0,
            "joules": None,
        }
    ).cast(pl.Schema(SCHEMA))


def queries(rows: int = ROWS) -> Iterator[dict[str, Any]]:
    """What is asked of a score table of the paper's size: mean curves, one prompt's rows, the split; beside pandas."""
    with extra("bench"):
        import pandas as pd

    ours = _many_rows(rows)
    plain = pd.DataFrame({name: ours[name].to_numpy() for name in ours.columns})
    names = list(paper.METRICS)

    def halves(held_out: Any) -> tuple[Any, Any]:  # series to frames; pandas brings no types of its own
        whole = plain.groupby("prompt_id")["steps"].transform("nunique") == plain["steps"].nunique()
        return plain[whole & ~held_out], plain[whole & held_out]

    pairs = {
        "mean curves of every prompt": (
            lambda: mean_curves(ours),
            lambda: plain.groupby(["prompt_id", "prompt", "steps"])[names].mean(),
        ),
        "mean over the table at each step count": (
            lambda: ours.group_by("steps").agg(pl.col(names).mean()),
            lambda: plain.groupby("steps")[names].mean(),
        ),
        "one prompt's rows": (
            lambda: ours.filter(pl.col("prompt_id") == 777),
            lambda: plain[plain["prompt_id"] == 777],
        ),
        "split by prompt": (
            lambda: split_by_prompt(ours),
            lambda: halves(plain["prompt_id"].isin(plain["prompt_id"].drop_duplicates().sample(frac=0.1))),
        ),
    }
    for name, (one, other) in pairs.items():
        yield {"what": f"query: {name}", "plain": "pandas", "size": f"{rows:,} rows", **side_by_side(one, other)}
