"""Looks lie in the score table beside the scores, and tables that have none are read all the same."""

from pathlib import Path

import polars as pl
import pytest
import torch
from polars.testing import assert_frame_equal

from bfkit.dataset.looks import listed, read_looks
from bfkit.dataset.table import ORDER, read_scores, write_table
from bfkit.profiles import PROFILES


@pytest.fixture(scope="module")
def scores() -> pl.DataFrame:
    return read_scores(PROFILES["mini"].scores).filter(pl.col("prompt_id") < 4)


def test_looks_are_read_as_they_were_written_and_scores_without_them(scores, tmp_path):
    pictures = scores.select("prompt_id", "seed").unique(maintain_order=True)
    seen = torch.randn(len(pictures), 7, generator=torch.Generator().manual_seed(0))
    looks = pictures.with_columns(pl.Series("look", listed(seen, len(pictures)), pl.List(pl.Float32)))
    last = looks.with_columns(steps=pl.lit(129, pl.UInt16))
    both = scores.join(last, on=ORDER, how="left", maintain_order="left")
    write_table(both, tmp_path / "table.parquet", {})
    assert_frame_equal(read_looks(tmp_path / "table.parquet"), looks)
    assert_frame_equal(read_scores(tmp_path / "table.parquet"), scores)
    torch.testing.assert_close(torch.tensor(looks["look"].to_list()), seen, atol=0, rtol=1e-3)


def test_a_table_of_before_has_no_looks_and_one_that_is_not_there_is_named(scores, tmp_path):
    write_table(scores, tmp_path / "table.parquet", {})
    assert len(read_looks(tmp_path / "table.parquet")) == 0
    with pytest.raises(FileNotFoundError, match="no score table at nowhere"):
        read_looks(Path("nowhere"))


def test_a_look_with_values_that_are_no_numbers_is_none():
    rows = torch.ones(3, 2)
    rows[0, 1], rows[2, 0] = torch.nan, 1e6  # more than half precision holds
    assert listed(rows, 3) == [None, [1.0, 1.0], None]
    assert listed(None, 2) == [None, None]
