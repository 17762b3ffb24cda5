"""Table 2's numbers are those of its definition, from the shipped comparison."""

import numpy as np
import polars as pl
import pytest

from bfkit import table2


@pytest.fixture(scope="module")
def compared() -> pl.DataFrame:
    return table2.read()


def test_quality_per_tflop_is_the_mean_over_prompts_of_each_ones_ratio(compared):
    row = table2.table2(compared.filter(system="OURS")).row(0, named=True)
    own = compared.filter(system="OURS").group_by("prompt_id").agg(pl.col("d_sim", "tflops").mean())
    ratios = ((1 - own["d_sim"]) / own["tflops"]).to_numpy()
    assert row["d_sim_per_tflop"] == pytest.approx(ratios.mean(), rel=1e-5)
    assert row["d_sim_error"] == pytest.approx(ratios.std(ddof=1) / np.sqrt(len(ratios)), rel=1e-4)


def test_uniform_gains_nothing_on_itself_and_spends_what_ours_spends(compared):
    gains = table2.against_uniform(compared)
    assert gains.filter(system="UNIFORM")["gain"].abs().max() == 0
    steps = dict(compared.group_by("system").agg(pl.col("steps").sum()).iter_rows())
    assert steps["OURS"] == steps["UNIFORM"]


def test_a_comparison_that_is_not_there_says_how_to_make_one(tmp_path):
    with pytest.raises(FileNotFoundError, match="bfkit compare"):
        table2.read(tmp_path / "none.parquet")
