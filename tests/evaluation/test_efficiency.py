"""Eq. 8 and 9 against loops, the control that deals steps at random, and the search for Eq. 7's weights."""

import itertools

import numpy as np
import polars as pl
import pytest
import scipy.stats
from curves import drawn_curves, falling_curves

from bfkit import paper
from bfkit.evaluation import efficiency
from bfkit.evaluation.weight_search import WEIGHT_GRID, best_weights, search_weights
from bfkit.predictor import rules
from bfkit.predictor.plateau import plateau_steps
from bfkit.stats import interval, mean, paired_tests

TFLOPS = 0.25  # a step


@pytest.fixture(scope="module")
def curves() -> dict[str, np.ndarray]:
    return drawn_curves(40)


def _quality(curves: dict[str, np.ndarray], metric: str, row: int, steps: int) -> float:
    value = curves[metric][row, steps - 1]
    return value if metric == "i_clip" else 1 - value


# --- intervals and tests ---------------------------------------------------------------------------------------------


def test_an_interval_resamples_its_columns_together():
    rng = np.random.default_rng(0)
    part = rng.normal(3, 1, 80)
    ratio, low, high = interval(lambda own, all_: own.mean(-1) / all_.mean(-1), part, 2 * part)
    assert ratio == low == high == pytest.approx(0.5)  # apart, the ratio would scatter
    center, low, high = interval(mean, part)
    error = part.std(ddof=1) / np.sqrt(80)
    assert center == pytest.approx(part.mean())
    assert (low, high) == pytest.approx((center - 1.96 * error, center + 1.96 * error), abs=0.2 * error)


def test_the_paired_tests_are_scipys_and_have_an_answer_at_the_edges():
    difference = np.random.default_rng(0).normal(0.2, 1, 30)
    wilcoxon, t_test = paired_tests(difference)
    assert wilcoxon == pytest.approx(scipy.stats.wilcoxon(difference).pvalue)
    assert t_test == pytest.approx(scipy.stats.ttest_1samp(difference, 0).pvalue)
    assert paired_tests(np.zeros(5)) == (1, 1)
    assert paired_tests(np.full(20, 0.25))[1] == 0  # no spread at all
    assert np.isnan(paired_tests(np.array([0.3]))[1])


# --- Eq. 8 -----------------------------------------------------------------------------------------------------------


def test_the_conditions_spend_the_same_but_for_the_reference(curves):
    ours = rules.steps_by_plateau(curves)
    steps = efficiency.conditions(ours, curves)
    assert list(steps) == ["OURS", "UNIFORM", "REFERENCE"]
    assert steps["UNIFORM"].sum() == ours.sum()
    assert np.ptp(steps["UNIFORM"]) <= 1
    assert set(steps["REFERENCE"]) == {65}


def test_equation_8_is_a_mean_of_ratios_with_its_standard_error(curves):
    ours = rules.steps_by_plateau(curves)
    frame = efficiency.quality_per_tflop({"OURS": ours}, curves, TFLOPS)
    assert frame["metric"].to_list() == list(paper.METRICS)
    for row in frame.iter_rows(named=True):
        each = [_quality(curves, row["metric"], i, t) / (t * TFLOPS) for i, t in enumerate(ours)]
        assert row["efficiency"] == pytest.approx(np.mean(each))
        assert row["error"] == pytest.approx(scipy.stats.sem(each))
        assert row["tflops"] == pytest.approx(ours.mean() * TFLOPS)


def test_dealt_is_the_mean_over_every_way_to_deal_the_steps():
    curves = falling_curves(4)
    ours = np.array([3, 9, 20, 70])
    frame = efficiency.quality_per_tflop({"OURS": ours}, curves, TFLOPS)
    for row in frame.iter_rows(named=True):
        deals = [
            np.mean([_quality(curves, row["metric"], i, t) / (t * TFLOPS) for i, t in enumerate(deal)])
            for deal in itertools.permutations(ours.tolist())
        ]
        assert row["dealt"] == pytest.approx(np.mean(deals))


def test_equation_8_rewards_spread_alone_and_dealt_shows_it():
    one = falling_curves(1)
    alike = {name: np.repeat(values, 40, axis=0) for name, values in one.items()}  # 40 prompts of one curve
    spread = np.tile([10, 40], 20)
    frame = efficiency.quality_per_tflop(efficiency.conditions(spread, alike), alike, TFLOPS)
    ours, uniform = (frame.filter(condition=name) for name in ("OURS", "UNIFORM"))
    assert (ours["quality"] < uniform["quality"]).all()
    assert (ours["efficiency"] > 1.3 * uniform["efficiency"]).all()
    assert ours["dealt"].to_list() == pytest.approx(ours["efficiency"].to_list())
    sentence = efficiency.spread_finding(frame)
    apparent = ours["efficiency"].mean() / uniform["efficiency"].mean() - 1
    assert sentence.count(f"{apparent:+.1%}") == 2  # as much at random
    assert sentence.endswith("adds nothing sure")


def test_what_knowing_adds_to_equation_8_is_told_from_what_it_costs():
    rate = np.tile([30.0, 2.0], 20)[:, None]  # every second prompt ripens slowly
    curves = {"d_sim": 0.6 * np.exp(-np.arange(129) / rate)}
    for steps, said in (((30, 10), "adds on D-SIM"), ((10, 30), "costs on D-SIM")):
        frame = efficiency.quality_per_tflop(efficiency.conditions(np.tile(steps, 20), curves), curves, TFLOPS)
        row = frame.row(0, named=True)
        assert row["owed"] == pytest.approx(row["efficiency"] / row["dealt"] - 1)
        assert efficiency.spread_finding(frame).endswith(f"knowing the prompts {said}")


def test_what_is_kept_of_the_references_quality_is_a_ratio_of_means_with_its_interval(curves):
    steps = efficiency.conditions(rules.steps_by_plateau(curves), curves)
    row = efficiency.quality_kept(steps, curves).row(1, named=True)
    own, reference = (
        np.mean([_quality(curves, row["metric"], n, steps[name][n]) for n in range(40)])
        for name in ("OURS", "REFERENCE")
    )
    assert row["kept"] == pytest.approx(own / reference) and row["low"] < row["kept"] < row["high"]
    assert f"{row['kept']:.1%} ({row['low']:.1%}" in efficiency.kept_finding(efficiency.quality_kept(steps, curves))


@pytest.mark.parametrize("cost", [0, -1, float("nan")])
def test_a_cost_of_zero_is_refused(curves, cost):
    with pytest.raises(ValueError, match=r"Eq. 8 divides by the cost"):
        efficiency.quality_per_tflop({"OURS": np.full(40, 9)}, curves, cost)


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        (np.full(39, 9), "steps of shape .39,. for 40 prompts: compare the same prompts"),
        (np.full(40, 130), "the curves were measured at 1 to 129"),
        (np.zeros(40, int), "the curves were measured at 1 to 129"),
    ],
)
def test_steps_that_do_not_fit_the_curves_are_refused(curves, steps, words):
    for ask in (
        lambda: efficiency.quality_per_tflop({"OURS": steps}, curves, TFLOPS),
        lambda: efficiency.relative_quality({"OURS": steps, "UNIFORM": steps}, curves),
    ):
        with pytest.raises(ValueError, match=words):
            ask()


# --- Eq. 9 -----------------------------------------------------------------------------------------------------------


def test_equation_9_prompt_by_prompt(curves):
    ours = rules.steps_by_plateau(curves)
    steps = efficiency.conditions(ours, curves)
    frame = efficiency.relative_quality(steps, curves)
    assert len(frame) == 3 * 40
    for row in frame.iter_rows(named=True):
        own, other = (
            _quality(curves, row["metric"], row["prompt"], steps[name][row["prompt"]]) for name in ("OURS", "UNIFORM")
        )
        assert row["relative"] == pytest.approx(own / other - 1)
        assert row["difference"] == pytest.approx(own - other)


def test_a_prompt_whose_denominator_vanishes_has_no_ratio_but_counts_in_the_tests():
    values = np.full((6, 3), 0.5)
    values[2] = 1.0, 0.2, 0.1  # 1 - D-SIM is 0 at a single step
    steps = {"OURS": np.array([1, 1, 2, 1, 1, 1]), "UNIFORM": np.array([2, 1, 1, 1, 1, 1])}
    frame = efficiency.relative_quality(steps, {"d_sim": values})
    assert frame["relative"].to_list() == [0, 0, None, 0, 0, 0]
    assert frame["difference"][2] == pytest.approx(0.8)
    row = efficiency.relative_summary(frame).row(0, named=True)
    assert row["left_out"] == 1 and row["mean"] == 0 and row["better"] == pytest.approx(1 / 6)
    assert row["t_test"] == pytest.approx(scipy.stats.ttest_1samp([0, 0, 0.8, 0, 0, 0], 0).pvalue)


def test_where_no_prompt_has_a_ratio_the_summary_is_refused():
    steps = {"OURS": np.array([1, 2]), "UNIFORM": np.array([2, 1])}
    frame = efficiency.relative_quality(steps, {"d_sim": np.ones((2, 2))})
    with pytest.raises(ValueError, match="no prompt has a quality above the floor by d_sim"):
        efficiency.relative_summary(frame)


def test_equation_9_compares_equal_totals_unless_told_otherwise(curves):
    steps = {"OURS": np.full(40, 20), "UNIFORM": np.full(40, 21), "REFERENCE": np.full(40, 65)}
    with pytest.raises(ValueError, match=r"OURS spends 800 steps and UNIFORM 840: .* rules.at_mean_cost"):
        efficiency.relative_quality(steps, curves)
    assert len(efficiency.relative_quality(steps, curves, other="REFERENCE", equal_cost=False)) == 120


def test_a_planted_gain_is_found_and_none_is_found_where_there_is_none():
    rng = np.random.default_rng(0)
    slow = rng.permutation(np.repeat([True, False], 30))  # half the prompts ripen slowly
    rate = np.where(slow, 30.0, 2.0)[:, None]
    curves = {"d_sim": 0.6 * np.exp(-np.arange(129) / rate)}
    knowing = efficiency.conditions(np.where(slow, 30, 10), curves)
    found = efficiency.relative_summary(efficiency.relative_quality(knowing, curves))
    assert found["low"][0] > 0 and found["wilcoxon"][0] < 1e-3
    assert efficiency.gain_finding(found) == "At equal cost OURS is better on D-SIM than UNIFORM"
    guessing = efficiency.conditions(np.where(slow, 10, 30), curves)
    lost = efficiency.relative_summary(efficiency.relative_quality(guessing, curves))
    assert efficiency.gain_finding(lost) == "At equal cost OURS is worse on D-SIM than UNIFORM"
    same = {"OURS": knowing["UNIFORM"], "UNIFORM": knowing["UNIFORM"]}
    none = efficiency.relative_summary(efficiency.relative_quality(same, curves))
    assert none.select("mean", "better", "worse", "wilcoxon", "t_test").row(0) == (0, 0, 0, 1, 1)
    assert efficiency.gain_finding(none) == "At equal cost OURS cannot be told from UNIFORM"


# --- the weights of Eq. 7 --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def search(curves) -> pl.DataFrame:
    return search_weights(curves, TFLOPS)


def test_the_search_covers_the_grid_and_the_papers_point(search):
    assert len(search) == search.select("w_l_snr", "w_d_sim", "w_i_clip").n_unique() == len(WEIGHT_GRID) ** 3
    stated = {f"w_{name}": weight for name, weight in paper.WEIGHTS.items()}
    assert len(search.filter(**stated)) == 1


@pytest.mark.parametrize("weights", [(0.3, 0.2, 0.5), (0.0, 1.1, 2.0), (1.4, 0.1, 0.6), (2.0, 2.0, 2.0)])
def test_a_row_of_the_search_is_what_the_definitions_give(curves, search, weights):
    row = search.filter(w_l_snr=weights[0], w_d_sim=weights[1], w_i_clip=weights[2]).row(0, named=True)
    named = dict(zip(paper.METRICS, weights, strict=True))
    steps = [plateau_steps({name: values[i] for name, values in curves.items()}, named) for i in range(40)]
    uniform, part = int(np.mean(steps)), np.mean(steps) % 1
    reached, per_tflop, gain, relative, reference = [], [], [], [], []
    for name in paper.METRICS:
        for i, t in enumerate(steps):
            own = _quality(curves, name, i, t)
            mixed = (1 - part) * _quality(curves, name, i, uniform) + part * _quality(curves, name, i, uniform + 1)
            reached.append(own)
            per_tflop.append(own / (t * TFLOPS))
            gain.append((own - _quality(curves, name, i, 1)) / (t * TFLOPS))
            relative.append(own / mixed - 1)
            reference.append(_quality(curves, name, i, 65))
    assert row["steps"] == pytest.approx(np.mean(steps))
    assert row["spread"] == pytest.approx(np.std(steps))
    assert row["quality"] == pytest.approx(np.mean(reached))
    assert row["kept"] == pytest.approx(np.mean(reached) / np.mean(reference))
    assert row["efficiency"] == pytest.approx(np.mean(per_tflop))
    assert row["gain"] == pytest.approx(np.mean(gain))
    assert row["relative"] == pytest.approx(np.mean(relative))


def test_steps_may_be_read_off_predicted_curves_and_are_judged_by_the_measured_ones(curves):
    predicted = falling_curves(40, seed=9)
    found = search_weights(curves, TFLOPS, predicted, grid=(0.2, 0.5))
    row = found.filter(w_l_snr=0.5, w_d_sim=0.2, w_i_clip=0.5).row(0, named=True)
    steps = rules.steps_by_plateau(predicted, weights={"l_snr": 0.5, "d_sim": 0.2, "i_clip": 0.5})
    assert row["steps"] == pytest.approx(steps.mean())
    reached = [rules.at_steps(values, steps).mean() for values in rules.quality(curves).values()]
    assert row["quality"] == pytest.approx(np.mean(reached))


def test_equation_8_alone_is_won_by_the_weights_that_spend_least(search):
    best = best_weights(search, "alone")
    assert best["efficiency"] == search["efficiency"].max()
    assert best["steps"] == pytest.approx(search["steps"].min(), abs=0.5)
    assert best["kept"] < 0.9


def test_the_reading_with_a_constraint_keeps_it_and_nothing_that_keeps_it_is_more_efficient(search):
    for kept in (0.9, 0.97, 0.99):
        best = best_weights(search, "kept", kept)
        assert best["kept"] >= kept
        assert best["efficiency"] == search.filter(pl.col("kept") >= kept)["efficiency"].max()
    cheap, dear = (best_weights(search, "kept", kept)["steps"] for kept in (0.9, 0.99))
    assert cheap < dear


@pytest.mark.parametrize("reading", ["relative", "gain"])
def test_the_other_readings_take_the_highest_of_their_column(search, reading):
    assert best_weights(search, reading)[reading] == search[reading].max()


def test_a_reading_that_does_not_exist_or_cannot_be_met_is_refused(search):
    with pytest.raises(ValueError, match=r"unknown reading 'eq8': choose from kept, relative, gain, alone"):
        best_weights(search, "eq8")
    with pytest.raises(ValueError, match=r"no weights keep 150.0% of REFERENCE's quality, the best"):
        best_weights(search, kept=1.5)
