"""The two clocks, on pictures whose every verdict is known."""

import numpy as np
import polars as pl
import pytest

from bfkit.dataset.truth import SCHEMA as TRUTH
from bfkit.evaluation import truth
from bfkit.mini.judge import VERDICTS

STEPS = (1, 5, 17, 129)
# picture by picture: at which step counts it is right, and its D-SIM
PICTURES = {
    (0, 0): ((False, True, True, True), (0.6, 0.3, 0.04, 0.0)),  # right long before it is like its end
    (0, 1): ((False, True, False, True), (0.6, 0.04, 0.03, 0.0)),  # like its end at once, but wrong for a while
    (1, 0): ((False, False, False, False), (0.5, 0.2, 0.1, 0.0)),  # never right
    (1, 1): ((True, True, True, True), (0.2, 0.1, 0.06, 0.0)),
}


@pytest.fixture(scope="module")
def tables() -> tuple[pl.DataFrame, pl.DataFrame]:
    rows = [
        {"prompt_id": prompt, "seed": seed, "steps": steps, "d_sim": d_sim, "clip_score": 0.1 * steps**0.25,
         "verdicts": [True, None, right, True, True, None, None]}
        for (prompt, seed), (told, distances) in PICTURES.items()
        for steps, right, d_sim in zip(STEPS, told, distances, strict=True)
    ]  # fmt: skip
    keys = {"prompt_id": pl.UInt32, "seed": pl.Int64, "steps": pl.UInt16}
    frame = pl.DataFrame(rows, schema_overrides={**keys, **TRUTH})
    return frame.select(*keys, "d_sim"), frame.select(*keys, *TRUTH)


def test_a_picture_is_right_if_nothing_that_was_asked_is_wrong(tables):
    rows = truth.judged(*tables)
    told = [right for right, _ in PICTURES.values()]
    np.testing.assert_array_equal(rows["right"].to_numpy().reshape(4, 4), told)
    assert rows.filter(prompt_id=0, seed=0)["alike"].to_list() == [False, False, True, True]


def test_verdicts_by_steps_are_shares_over_prompts_of_what_captions_say(tables):
    found = truth.verdicts_by_steps(tables[1])
    assert set(found["verdict"]) == {VERDICTS[i] for i in (0, 2, 3, 4)}  # of the others no caption speaks
    assert found.filter(verdict=VERDICTS[2])["value"].to_list() == [0.25, 0.75, 0.5, 0.75]
    assert found.filter(verdict="ground")["value"].to_list() == [1.0] * 4
    assert found.select((pl.col("low") <= pl.col("value")) & (pl.col("value") <= pl.col("high"))).to_series().all()


def test_the_clocks_run_over_pictures_that_come_right(tables):
    found = truth.two_clocks(truth.judged(*tables))
    # prompt 0 has two such pictures, prompt 1 one; prompts count alike
    assert found.filter(clock=truth.RIGHT)["value"].to_list() == [0.5, 1.0, 0.75, 1.0]
    assert found.filter(clock=truth.RESEMBLES)["value"].to_list() == [0.0, 0.25, 0.5, 1.0]


def test_where_nothing_comes_right_there_is_no_clock(tables):
    rows = truth.judged(*tables).with_columns(right=pl.lit(False))
    with pytest.raises(ValueError, match="none of 16 pictures shows what was asked at the last step count"):
        truth.two_clocks(rows)


def test_steps_needed_are_those_from_which_a_picture_stays_right_or_alike(tables):
    found = truth.steps_needed(truth.judged(*tables))
    assert found.rows() == [(0, 0, 5, 17), (0, 1, 129, 5), (1, 1, 1, 129)]
    said = truth.clocks_finding(found, truth.two_clocks(truth.judged(*tables)))
    assert "half show what was asked by 5 steps and are like their own end by 17" in said
    assert "rank correlation of -1.00" in said


def test_the_title_names_what_is_settled_first_and_last():
    rows = [("ground", 1, 0.5), ("ground", 5, 0.96), ("ground", 17, 1.0), ("number", 1, 0.1), ("number", 5, 0.4),
            ("number", 17, 0.6), ("colors", 1, 0.1), ("colors", 5, 0.79), ("colors", 17, 0.8)]  # fmt: skip
    frame = pl.DataFrame(rows, schema=["verdict", "steps", "value"], orient="row")
    assert truth.verdicts_title(frame) == "First settled: colors, by 5 steps; last: number, by 17"


def test_verdicts_that_settle_together_have_no_first_and_last():
    rows = [("ground", 1, 0.5), ("ground", 5, 0.5), ("number", 1, 0.6), ("number", 5, 0.6)]
    frame = pl.DataFrame(rows, schema=["verdict", "steps", "value"], orient="row")
    assert truth.verdicts_title(frame) == "All are settled by 1 step: ground, number"


def test_the_title_names_the_faster_clock_only_where_it_is_surely_ahead():
    def told(right: int, alike: int, share: float) -> str:
        prompts = pl.DataFrame({"prompt_id": range(40)})
        sooner = pl.col("prompt_id") < 40 * share
        return truth.clocks_title(prompts.with_columns(
            right=pl.when(sooner).then(right).otherwise(alike).cast(pl.UInt16),
            alike=pl.when(sooner).then(alike).otherwise(right).cast(pl.UInt16),
        ))  # fmt: skip

    assert told(5, 17, 0.9).startswith("Pictures show what was asked (half by 5 steps) before they")
    assert told(17, 5, 0.9).startswith("Pictures are like their own end (half by 5) before they")
    assert told(5, 17, 0.5).startswith("Neither clock is surely ahead")
    assert told(9, 9, 0.9).startswith("Neither clock is surely ahead: what was asked is shown in half by 9 steps")


def test_what_d_sim_calls_unfinished_may_be_right(tables):
    found = truth.unfinished_yet_right(truth.judged(*tables))
    at = found.filter(steps=5).row(0, named=True)
    assert at["unfinished"] == 0.75 and at["value"] == 0.75  # prompt 0: one of one; prompt 1: one of two
    assert at["in_the_end"] == pytest.approx(2 / 3)
    assert found["steps"].to_list() == [1, 5, 17]  # at the last step count nothing is unfinished
    assert truth.unfinished_finding(found).startswith("At 17 steps D-SIM calls 50% of the pictures unfinished; ")


def test_clip_scores_are_means_over_prompts_and_a_table_without_verdicts_is_named(tables):
    scores, known = tables
    np.testing.assert_allclose(
        truth.clip_score_by_steps(known)["value"], [0.1 * steps**0.25 for steps in STEPS], rtol=1e-6
    )
    with pytest.raises(ValueError, match="no picture of this table was judged"):
        truth.judged(scores, known.with_columns(verdicts=pl.lit(None, TRUTH["verdicts"])))
