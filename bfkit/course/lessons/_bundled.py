"""What several lessons' cases are made of: the bundled score table."""

from functools import cache

import numpy as np

from bfkit.dataset.curves import dense_curves
from bfkit.dataset.table import held_out_ids, read_scores
from bfkit.profiles import PROFILES

SHOWN = 12  # prompts: enough for every misconception to show


@cache
def held_out_curves() -> tuple[list[str], dict[str, np.ndarray]]:
    """The first held-out prompts and their measured curves (N, T), every step from 1 on, a metric each."""
    table = read_scores(PROFILES["mini"].scores)
    return dense_curves(table.filter(table["prompt_id"].is_in(sorted(held_out_ids(table))[:SHOWN])))
