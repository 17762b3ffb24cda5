"""What is tried to close the gap, on curves where the answer is known."""

import numpy as np
import polars as pl
import pytest
from curves import falling_curves, score_table

from bfkit import paper
from bfkit.evaluation import sensitivity
from bfkit.evaluation.efficiency import conditions
from bfkit.evaluation.weight_search import search_weights, weights_finding
from bfkit.predictor import plateau

CURVES = falling_curves(24)


def test_the_gain_is_eq_9_averaged_over_metrics_and_prompts():
    steps = np.random.default_rng(0).integers(2, 40, 24)
    uniform = conditions(steps, CURVES)["UNIFORM"]
    ratios = []
    for name in paper.METRICS:
        quality = CURVES[name] if name == "i_clip" else 1 - CURVES[name]
        rows = np.arange(24)
        ratios.append(quality[rows, steps - 1] / quality[rows, uniform - 1] - 1)
    mean, low, high = sensitivity.gain(steps, CURVES)
    assert mean == pytest.approx(np.mean(ratios))
    assert low < mean < high


def test_other_readings_of_eq_7_are_those_of_the_plateau_room():
    weights = {"l_snr": 0.1, "d_sim": 0.7, "i_clip": 0.2}
    steps = sensitivity.steps_of_weights(CURVES, weights)
    drawn = sensitivity.steps_at_counts(CURVES, paper.STEP_COUNTS)
    at = np.asarray(paper.STEP_COUNTS) - 1
    for row in range(24):
        own = {name: values[row] for name, values in CURVES.items()}
        assert steps[row] == plateau.plateau_steps(own, weights)
        few = {name: values[at] for name, values in own.items()}
        assert drawn[row] == plateau.plateau_steps(few, steps=paper.STEP_COUNTS)


def test_a_predictor_that_errs_nowhere_is_among_the_tries_and_the_verdict_names_winners():
    found = sensitivity.tries(CURVES, CURVES, CURVES, 0.25)
    rows = {row["tried"]: row for row in found.iter_rows(named=True)}
    assert rows["a perfect prediction"]["gain"] == rows["as in the paper"]["gain"]
    assert rows["as in the paper"]["paper"] == pytest.approx(np.mean([0.066, 0.084, 0.087]))
    won = found.with_columns(low=pl.when(tried="weights by Eq. 9").then(0.1).otherwise(-0.1))
    assert sensitivity.sensitivity_finding(won) == (
        "Better than UNIFORM, each by its own interval: weights by Eq. 9; of 6 tries, 0.1 would seem so by luck alone"
    )
    assert sensitivity.sensitivity_finding(found.with_columns(low=pl.lit(-1.0))).startswith(
        "Of 6 tries none surely beats UNIFORM; nearest is "
    )


def test_the_shipped_predictors_of_fewer_prompts_asked_the_same_held_out_prompts():
    assert len(sensitivity.learnt_steps(68)) == len(sensitivity.learnt_steps(547)) == 61


def test_a_reading_that_moves_t_star_is_named_with_its_interval_and_one_that_does_not_is_not():
    table = score_table(1.0, prompts=12)
    found = sensitivity.plateau_choices(table)
    default = found.filter(series="dense", center="median").row(0, named=True)
    assert default["change"] == 0 == default["change_high"] and default["rank_correlation"] == pytest.approx(1)
    other = found.filter(series="sparse", center="median").row(0, named=True)
    assert other["steps"] - default["steps"] == pytest.approx(other["change"])
    names = ("change", "change_low", "change_high")
    moved = found.with_columns(**{name: pl.when(series="sparse").then(v).otherwise(0.0)
                                  for name, v in zip(names, (-9.0, -11.0, -7.0), strict=True)})  # fmt: skip
    assert "the sparse series about its m" in sensitivity.choices_finding(moved)
    assert sensitivity.choices_finding(moved).endswith("moves the mean t* most: by -9.0 steps (-11.0 to -7.0)")
    unsure = found.with_columns(change_low=pl.lit(-1.0), change_high=pl.lit(1.0))
    assert sensitivity.choices_finding(unsure) == "No other reading of Eq. 7 surely moves the mean t*"


def test_the_best_weights_are_counted_with_those_that_are_as_good():
    search = search_weights(CURVES, 0.25, grid=(0.0, 0.2, 0.3, 0.5, 0.8))
    some = weights_finding(search, kept=0.9)
    assert some.startswith(
        f"Of 125 weights {len(search.filter(pl.col('kept') >= 0.9))} keep 90% of REFERENCE's quality"
    )
    papers = search.filter(w_l_snr=0.3, w_d_sim=0.2, w_i_clip=0.5)["kept"].item()
    assert some.endswith(f"the paper's keep {papers:.1%}")
    assert (
        weights_finding(search, kept=2.0)
        == f"No weights keep 200% of REFERENCE's quality; the paper's keep {papers:.1%}"
    )
