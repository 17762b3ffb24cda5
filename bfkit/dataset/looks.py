"""What the denoiser showed of each picture at its first evaluation, kept in the score table beside the scores.

One list a picture, in the row of its last step count: all step counts share the evaluation.
"""

from pathlib import Path

import polars as pl
import torch

from .table import ORDER, read_table, table_files

LOOK = "look"
SCHEMA = pl.Schema({LOOK: pl.List(pl.Float32)})
PICTURE = ORDER[:2]  # prompt and seed


def listed(look: torch.Tensor | None, count: int) -> list[list[float] | None]:
    """Looks (count, D) as the table keeps them, to half precision; None where a number is none, or nobody looked."""
    if look is None:
        return [None] * count
    rows = look.half().float()
    return [row.tolist() if row.isfinite().all() else None for row in rows]


def read_looks(source: str | Path) -> pl.DataFrame:
    """The looks of a score table or a folder of shards: ``prompt_id, seed, look``, in order; no rows if it has none.

    Raises FileNotFoundError or ValueError as ``read_scores`` does.
    """
    parts = [read_table(path, also=SCHEMA)[0] for path in table_files(source)]
    rows = pl.concat(part.select(*PICTURE, LOOK) for part in parts).drop_nulls(LOOK)
    return rows.unique(PICTURE, keep="first").sort(PICTURE)


def with_looks(scores: pl.DataFrame, looks: pl.DataFrame) -> pl.DataFrame:
    """A score table with each picture's look in the row of its last step count."""
    last = scores.group_by(PICTURE).agg(pl.col("steps").max())
    return scores.join(last.join(looks, on=PICTURE), on=ORDER, how="left", maintain_order="left")
