"""Table 2's numbers are those of its definition, from the shipped comparison."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from bfkit.evaluation import table2
from bfkit.profiles import PROFILES


@pytest.fixture(scope="module")
def compared() -> pl.DataFrame:
    return table2.read(PROFILES["mini"].systems)


def test_quality_per_tflop_is_the_mean_over_prompts_of_each_ones_ratio(compared):
    row = table2.table2(compared.filter(system="OURS")).row(0, named=True)
    own = compared.filter(system="OURS").group_by("prompt_id").agg(pl.col("d_sim", "tflops").mean())
    ratios = ((1 - own["d_sim"]) / own["tflops"]).to_numpy()
    assert row["d_sim_per_tflop"] == pytest.approx(ratios.mean(), rel=1e-5)
    assert row["d_sim_per_tflop_error"] == pytest.approx(ratios.std(ddof=1) / np.sqrt(len(ratios)), rel=1e-4)


def test_uniform_gains_nothing_on_itself_and_spends_what_ours_spends(compared):
    gains = table2.against_uniform(compared)
    assert gains.filter(system="UNIFORM")["gain"].abs().max() == 0
    steps = dict(compared.group_by("system").agg(pl.col("steps").sum()).iter_rows())
    assert steps["OURS"] == steps["UNIFORM"]


def test_a_systems_distance_is_told_as_a_multiple_of_uniforms(compared):
    gains = table2.against_uniform(compared).filter(metric="d_sim_plain")
    left = dict(compared.group_by("system").agg(pl.col("d_sim_plain").mean()).iter_rows())
    for row in gains.iter_rows(named=True):
        assert row["times"] == pytest.approx(left[row["system"]] / left["UNIFORM"], rel=1e-4)
        assert row["times_low"] <= row["times"] <= row["times_high"]


def test_who_comes_nearer_than_uniform_is_counted_by_intervals_and_never_the_dearer_reference():
    def told(**ends: tuple[float, float]) -> str:
        rows = [(name, "d_sim_plain", sum(ends) / 2, *ends) for name, ends in ends.items()]
        return table2.equal_cost_finding(pl.DataFrame(rows, ["system", "metric", "gain", "low", "high"], orient="row"))

    dear = {"REFERENCE": (0.5, 0.6), "UNIFORM": (0.0, 0.0)}
    assert told(OURS=(-0.1, 0.2), UniPC=(0.01, 0.1), DDIM=(0.1, 0.3), ToMe=(-0.2, -0.1), **dear) == (
        "At equal cost 2 of 4 come nearer to the finished picture than UNIFORM, first DDIM, 1 stay farther off; "
        "OURS cannot be told from it"
    )
    assert told(OURS=(-0.3, -0.2), **dear).endswith("0 of 1 come nearer to the finished picture than UNIFORM, 1 stay "
                                                    "farther off; OURS stays farther off")  # fmt: skip
    assert told(OURS=(0.2, 0.3), **dear).endswith("OURS comes nearer too")


def combined_rows() -> pl.DataFrame:
    """Two prompts of two seeds: OURS above UNIFORM with UniPC, below it without; ToMe dearer and worse than both."""
    near = {"OURS + plain": 0.10, "UNIFORM + plain": 0.08, "OURS + UniPC": 0.02, "UNIFORM + UniPC": 0.05,
            "OURS + ToMe": 0.3, "UNIFORM + ToMe": 0.3}  # fmt: skip
    cost = {"plain": 1.0, "UniPC": 1.0, "ToMe": 2.0}
    return pl.DataFrame([
        {"system": name, "share": 0.5, "prompt_id": prompt, "seed": seed, "tflops": cost[name.split(" + ")[1]],
         "d_sim_plain": value + 0.01 * prompt + 0.001 * seed}
        for name, value in near.items() for prompt in (0, 1) for seed in (0, 1)
    ])  # fmt: skip


def test_a_combinations_gain_is_paired_with_uniform_of_the_same_sampler_and_share():
    table = {(row["dealt"], row["sampler"]): row for row in table2.combinations(combined_rows()).iter_rows(named=True)}
    assert table["OURS", "UniPC"]["gain"] == pytest.approx(0.03)
    assert table["OURS", "plain"]["gain"] == pytest.approx(-0.02)
    assert table["UNIFORM", "ToMe"]["gain"] == 0
    assert table["OURS", "UniPC"]["quality"] == pytest.approx(1 - 0.02 - 0.005 - 0.0005)
    assert [key for key, row in table.items() if row["front"]] == [("OURS", "UniPC")], "none cheaper, none better"


def test_the_verdict_on_combinations_counts_what_is_sure():
    said = table2.front_finding(table2.combinations(combined_rows()))
    assert said == "By their means UniPC holds the front; OURS beats UNIFORM in 1 of 3 pairs and loses in 1"


def test_table_2_and_the_combinations_share_a_file_and_not_a_row():
    path = PROFILES["mini"].systems
    single, combined = table2.read(path), table2.read_combinations(path)
    assert set(single["system"]) >= {"OURS", "UNIFORM", "REFERENCE", "DeepCache"}
    assert all(" + " in name for name in combined["system"].unique()) and len(combined)
    assert not any(" + " in name for name in single["system"].unique())


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda rows: rows.filter(pl.col("system") != "REFERENCE"), "no rows of REFERENCE"),
        (
            lambda rows: rows.filter((pl.col("system") != "UniPC") | (pl.col("seed") != 0)),
            "other prompts or seeds for UniPC",
        ),
        (lambda rows: rows.with_columns(tflops=pl.lit(0.0)), "pictures of OURS that cost nothing"),
        (lambda rows: rows.drop("logits"), "lacks the columns logits"),
    ],
)
def test_a_comparison_that_compares_nothing_is_refused(spoil, sentence, tmp_path):
    path = tmp_path / "systems.parquet"
    spoil(pl.read_parquet(PROFILES["mini"].systems)).write_parquet(path)
    with pytest.raises(ValueError, match=sentence):
        table2.read(path)


def test_a_damaged_comparison_is_named(tmp_path):
    path = tmp_path / "systems.parquet"
    path.write_bytes(Path(PROFILES["mini"].systems).read_bytes()[:1000])
    with pytest.raises(ValueError, match=r"systems.parquet cannot be read .*: make it again"):
        table2.read(path)


def test_a_comparison_that_is_not_there_says_how_to_make_one(tmp_path):
    with pytest.raises(FileNotFoundError, match="bfkit compare"):
        table2.read(tmp_path / "none.parquet")
