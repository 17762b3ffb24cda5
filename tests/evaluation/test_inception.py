"""Inception scores with intervals, against independent computations and planted differences."""

import numpy as np
import polars as pl
import pytest
import torch

from bfkit.evaluation import inception
from bfkit.metrics.inception import inception_score


def rows(system: str, kinds: int, prompts: int = 40, seed: int = 0) -> pl.DataFrame:
    """Two pictures a prompt, each plainly of one of so many kinds out of eight."""
    rng = np.random.default_rng(seed)
    seen = np.arange(prompts * 2) % kinds
    logits = rng.normal(size=(prompts * 2, 8)) + 6 * np.eye(8)[seen]
    frame = pl.DataFrame({"prompt_id": np.arange(prompts * 2) // 2, "seed": np.tile([0, 1], prompts)})
    return frame.with_columns(system=pl.lit(system), logits=pl.Series(logits.tolist()))


@pytest.fixture(scope="module")
def found() -> pl.DataFrame:
    table = pl.concat([rows("OURS", 4), rows("UNIFORM", 8, seed=2), rows("REFERENCE", 8, seed=1)])
    return inception.scores(table)


def test_the_score_is_torchmetrics_of_all_pictures_and_its_parts_are_there_too(found):
    for row, logits in zip(found.iter_rows(named=True), (rows("OURS", 4), rows("UNIFORM", 8, seed=2)), strict=False):
        tensor = torch.tensor(logits["logits"].to_list())
        assert row["score"] == pytest.approx(inception_score(tensor, splits=1)[0], rel=1e-4)
        assert (row["parts"], row["spread"]) == pytest.approx(inception_score(tensor), rel=1e-4)
        assert row["parts"] < row["score"], "a part shows fewer kinds"


def test_the_interval_is_that_of_scores_with_prompts_left_out():
    table = rows("REFERENCE", 8, prompts=12)
    row = inception.scores(table).row(0, named=True)
    others = [
        inception_score(torch.tensor(table.filter(pl.col("prompt_id") != out)["logits"].to_list()), splits=1)[0]
        for out in range(12)
    ]
    error = np.sqrt(11 / 12 * ((np.array(others) - np.mean(others)) ** 2).sum())
    assert (row["high"] - row["low"]) / 2 == pytest.approx(2.201 * error, rel=1e-2)  # Student's with 11 degrees


def test_a_set_of_half_the_kinds_is_surely_below_and_another_draw_of_the_same_is_not_told_apart(found):
    said = inception.scores_finding(found)
    assert "OURS is below it (-" in said and "UNIFORM cannot be told from it" in said
    turned = found.with_columns(difference=1.0, difference_low=0.5, difference_high=1.5)
    assert "OURS is above it (+1.00, +0.50 to +1.50)" in inception.scores_finding(turned)


def test_a_single_prompt_has_no_interval():
    with pytest.raises(ValueError, match="1 prompt has no spread"):
        inception.scores(rows("REFERENCE", 2, prompts=1))
