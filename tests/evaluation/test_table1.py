"""Table 1's verdict, the LSTM's size, and what a predictor needs: by paired errors, or that it cannot be told."""

import numpy as np
import polars as pl
import pytest

from bfkit import paper
from bfkit.evaluation import needs, table1

LOT = np.random.default_rng(0)
PROMPTS = 80
OWN = np.repeat(LOT.uniform(0.02, 0.05, PROMPTS // 2), 2)
LUCK = np.tile([0.1, -0.1], PROMPTS // 2)  # which is nobody's on the whole


def errors(**times: float) -> pl.DataFrame:
    """Errors of models that are so many times the BiLSTM's on each prompt, with a little luck of their own."""
    models = {"BiLSTM": 1.0, "mean curve": 1.3, **times}
    return pl.concat(
        pl.DataFrame({"model": model.replace("_", " "), "metric": metric, "prompt_id": np.arange(PROMPTS),
                      "error": OWN * (much + (LUCK if model != "BiLSTM" else 0))})
        for model, much in models.items()
        for metric in paper.METRICS
    )  # fmt: skip


@pytest.mark.parametrize(
    ("rival", "sentence"),
    [
        (1.2, "The BiLSTM surely errs less than 2 of 2 others"),
        (1.0, "The BiLSTM surely errs less than 1 of 2 others and cannot be told from the other 1"),
        (0.8, "The BiLSTM surely errs less than 1 of 2 others and surely more than a rival"),
    ],
)
def test_the_verdict_of_table_1_is_by_paired_errors(rival, sentence):
    found = table1.overall(errors(a_rival=rival))
    assert table1.table1_finding(found) == sentence
    row = found.filter(model="a rival").row(0, named=True)
    assert row["gain_low"] < row["gain"] < row["gain_high"]
    assert row["gain"] == pytest.approx((rival - 1) / 1.3, abs=0.05), "in shares of the mean curve's error"


def test_other_sizes_are_compared_with_the_networks_own_and_stay_out_of_the_table():
    measured = errors(**{"BiLSTM, 32 hidden": 1.2, "BiLSTM, 512 hidden": 0.9})
    assert set(table1.table1(measured)["model"]) == {"BiLSTM", "mean curve"} == set(table1.overall(measured)["model"])
    found = table1.by_size(measured, 128)
    assert found["hidden"].to_list() == [32, 128, 512]
    assert found["value"].to_list() == pytest.approx([0.2, 0.0, -0.1], abs=0.03)
    assert (found["low"] <= found["value"]).all() and (found["value"] <= found["high"]).all()


def learnt(times: dict[int, float]) -> pl.DataFrame:
    return pl.concat(
        pl.DataFrame({"metric": metric, "prompts": size, "part": part, "prompt_id": np.arange(PROMPTS),
                      "error": OWN * (much + LUCK)})
        for size, much in times.items()
        for part in range(2 if size < 300 else 1)
        for metric in paper.METRICS
    )  # fmt: skip


def spent(times: dict[tuple[int, int, str], float]) -> pl.DataFrame:
    return pl.concat(
        pl.DataFrame({"seeds": seeds, "step_counts": "1 5 129", "chosen": chosen, "prompts": count, "evaluations": 9,
                      "metric": metric, "prompt_id": np.arange(PROMPTS),
                      "error": OWN * (much + LUCK)})
        for (count, seeds, chosen), much in times.items()
        for metric in paper.METRICS
    )  # fmt: skip


def test_what_a_predictor_needs_is_said_as_far_as_it_can_be_told():
    recipes = spent({(75, 4, "at random"): 1.0, (150, 2, "at random"): 0.9, (75, 4, "alike"): 1.2})
    found = needs.needs(learnt({70: 1.3, 140: 1.1, 550: 1.0}), recipes, errors(), 128)
    assert found["what"].unique(maintain_order=True).to_list() == [needs.PROMPTS, needs.SPENT]
    values = {row["row"]: row["value"] for row in found.iter_rows(named=True)}
    assert values["140"] == pytest.approx(0.1, abs=0.03) and values["550"] == 0
    assert values["75 prompts alike, 4 seeds, 3 counts"] == pytest.approx(0.2, abs=0.04)
    said = needs.needs_finding(found)
    assert said.startswith("With more prompts the error still falls: with 140 instead of 550 it is +1")
    assert "spending the same otherwise surely helps, best of 2 tried: 150 prompts, 2 seeds" in said
    dearer = spent({(75, 4, "at random"): 1.0, (150, 2, "at random"): 1.1})
    flat = needs.needs(learnt({70: 1.0, 140: 1.0, 550: 1.0}), dearer, errors(**{"BiLSTM, 32 hidden": 1.1}), 128)
    assert needs.HIDDEN in flat["what"]
    said = needs.needs_finding(flat)
    assert "cannot be said to fall any more" in said and "spending the same otherwise does not surely help" in said
    assert "another size of the LSTM does not surely help" in said
