"""What the denoiser showed of each picture at its first evaluation, kept in the score table beside the scores.

One list a picture, in the row of its last step count: all step counts share the evaluation.
"""

from pathlib import Path

import polars as pl
import torch

from .table import ORDER, read_beside

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
    return read_beside(source, SCHEMA).select(*PICTURE, LOOK)
