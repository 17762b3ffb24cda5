"""Each rule by hand and against brute force, and the equal cost that a comparison of rules stands on."""

import itertools

import numpy as np
import pytest
from curves import drawn_curves, falling_curves

from bfkit import paper
from bfkit.predictor import rules
from bfkit.predictor.plateau import plateau_step, plateau_steps, plateaus

STEPS = np.arange(1, 130)


# --- one rule at a time ----------------------------------------------------------------------------------------------


def test_quality_turns_every_metric_so_that_more_is_better():
    curves = {"l_snr": np.array([[0.7, 0.2]]), "d_sim": np.array([[0.4, 0.0]]), "i_clip": np.array([[0.3, 1.0]])}
    assert {name: row[0].tolist() for name, row in rules.quality(curves).items()} == {
        "l_snr": pytest.approx([0.3, 0.8]),
        "d_sim": pytest.approx([0.6, 1.0]),
        "i_clip": pytest.approx([0.3, 1.0]),
    }
    # lacking: 0.5, 0.4 and 0.7 at the first step, nothing at the last
    assert rules.loss(curves)[0] == pytest.approx([(0.5 + 0.4 + 0.7) / 3, 0])


@pytest.mark.parametrize("shift", [-0.2, 0.0, 0.3, 1.5])
def test_the_plateau_rule_is_equation_7_prompt_by_prompt(shift):
    weights = {name: weight + shift for name, weight in paper.WEIGHTS.items()}
    for curves in (falling_curves(40), drawn_curves(40), falling_curves(40, noise=0.05)):
        found = rules.steps_by_plateau(curves, shift)
        for row, steps in enumerate(found):
            assert steps == plateau_steps({name: values[row] for name, values in curves.items()}, weights)


def test_plateaus_of_many_weights_are_those_of_each_weight_flat_curves_included():
    values = np.concatenate([falling_curves(10)["d_sim"], np.full((2, 129), 0.3)])
    weights = [0.0, 0.4, 3.0, 50.0]
    for lower_is_better in (True, False):
        found = plateaus(values, weights, lower_is_better)
        expected = [[plateau_step(row, weight, lower_is_better) for row in values] for weight in weights]
        assert found.tolist() == expected


def test_equation_7_does_not_see_a_curves_height_but_threshold_and_price_do():
    shape = np.exp(-(STEPS - 1) / 12)
    curves = {"d_sim": np.stack([0.5 * shape, 0.05 * shape])}
    assert np.ptp(rules.steps_by_plateau(curves)) == 0
    for strong, faint in (rules.steps_by_threshold(curves, 0.02), rules.steps_by_price(curves, 0.001)):
        assert strong > faint + 10


@pytest.mark.parametrize(("jnd", "steps"), [(0.5, 1), (0.3, 2), (0.16, 3), (0.14, 5), (0.04, 6), (0.0, 6), (-1.0, 6)])
def test_the_threshold_waits_until_the_loss_stays_below_it(jnd, steps):
    # the dip to 0.02 at the third step does not last
    curves = {"d_sim": np.array([[0.5, 0.2, 0.02, 0.15, 0.05, 0.0]])}
    assert rules.steps_by_threshold(curves, jnd).tolist() == [steps]


def test_the_price_stops_a_convex_curve_where_the_next_step_gains_less():
    curve = np.array([0.80, 0.50, 0.30, 0.18, 0.10, 0.06, 0.04, 0.03, 0.03])
    for price in (0.4, 0.25, 0.1, 0.05, 0.015, 0.001):
        by_hand = 1 + int(np.sum(-np.diff(curve) > price))
        assert rules.steps_by_price({"d_sim": curve[None]}, price).tolist() == [by_hand]


def test_the_price_looks_past_a_flat_stretch_to_a_gain_that_pays_for_it():
    curves = {"d_sim": np.array([[0.5, 0.5, 0.5, 0.0, 0.0]])}
    assert rules.steps_by_price(curves, 0.15).tolist() == [4]  # three steps for 0.5
    assert rules.steps_by_price(curves, 0.17).tolist() == [1]


def test_no_other_allocation_of_the_same_total_loses_less_than_the_price():
    rng = np.random.default_rng(0)
    for _ in range(20):
        values = rng.uniform(0, 1, (3, 6))
        curves = {"d_sim": values}
        steps = rules.steps_by_price(curves, rng.uniform(0, 0.3))
        lost = rules.at_steps(values, steps).sum()
        for other in itertools.product(range(1, 7), repeat=3):
            if sum(other) == steps.sum():
                assert rules.at_steps(values, np.array(other)).sum() >= lost - 1e-12


def test_at_equal_cost_the_price_is_the_best_allocation_of_convex_curves():
    rng = np.random.default_rng(1)
    gains = -np.sort(-rng.uniform(0, 0.1, (3, 5)), axis=1)
    values = np.concatenate([np.full((3, 1), 0.6), 0.6 - np.cumsum(gains, axis=1)], axis=1)
    for total in range(3, 19):
        steps = rules.at_mean_cost("price", {"d_sim": values}, total / 3)
        best = min(
            rules.at_steps(values, np.array(other)).sum()
            for other in itertools.product(range(1, 7), repeat=3)
            if sum(other) == total
        )
        assert steps.sum() == total
        assert rules.at_steps(values, steps).sum() == pytest.approx(best)


@pytest.mark.parametrize("mean", [1, 2.5, 7.31, 20.557, 129])
def test_uniform_mixes_the_two_neighbours_of_a_fraction(mean):
    curves = falling_curves(61)
    steps = rules.steps_by_uniform(curves, mean)
    assert steps.sum() == round(61 * mean)
    assert set(steps.tolist()) <= {int(np.floor(mean)), int(np.ceil(mean))}
    # evenly along the list: no stretch of it is more than a step short of its share
    assert np.abs(np.cumsum(steps) - steps.mean() * np.arange(1, 62)).max() < 1


# --- equal cost ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", rules.RULES)
@pytest.mark.parametrize("curves", [falling_curves(37), drawn_curves(37)], ids=["smooth", "drawn"])
def test_every_rule_spends_exactly_what_it_is_given(rule, curves):
    before = np.zeros(37, int)
    for mean in (1, 1.5, 4.04, 8, 20.557, 64.9, 120, 129):
        steps = rules.at_mean_cost(rule, curves, mean)
        assert steps.sum() == round(37 * mean)
        assert steps.min() >= 1 and steps.max() <= 129
        if rule != "uniform":  # whose mix is spread anew for each fraction
            assert (steps >= before).all(), "a larger budget took steps away from a prompt"
        before = steps


def test_at_its_own_mean_the_plateau_rule_is_t_star():
    for curves in (falling_curves(50), drawn_curves(50)):
        own = rules.steps_by_plateau(curves)
        assert rules.at_mean_cost("plateau", curves, own.mean()).tolist() == own.tolist()


@pytest.mark.parametrize("rule", rules.RULES)
def test_a_knob_found_on_some_prompts_spends_at_most_the_budget_there_and_can_be_used_on_others(rule):
    training, others = falling_curves(400, seed=1), falling_curves(400, seed=2)
    knob = rules.knob_for(rule, training, 15)
    spent = rules.RULES[rule].steps(training, knob).mean()
    assert 14.5 < spent <= 15
    assert rules.RULES[rule].steps(others, knob).mean() == pytest.approx(15, abs=2.5)


def test_a_rule_that_cannot_spend_a_budget_says_what_it_can():
    curves = falling_curves(4)
    for rule in rules.RULES:
        for mean in (0.5, 130):
            with pytest.raises(ValueError, match=f"{round(4 * mean)} steps are out of reach .* 4 to 516"):
                rules.at_mean_cost(rule, curves, mean)
    flat = {"d_sim": np.full((4, 129), 0.2)}
    with pytest.raises(ValueError, match="it spends 4 to 4"):
        rules.at_mean_cost("plateau", flat, 9)  # nothing stands out of a flat curve, whatever the weight
    assert rules.at_mean_cost("threshold", flat, 9).sum() == 36


def test_an_unknown_rule_is_refused_with_the_known_ones():
    for ask in (rules.at_mean_cost, rules.knob_for):
        with pytest.raises(ValueError, match="unknown rule 'slope': choose from plateau, threshold, price, uniform"):
            ask("slope", falling_curves(2), 9)


@pytest.mark.parametrize(
    ("curves", "words"),
    [
        ({}, "no curves"),
        ({"ssim": np.ones((2, 3))}, "unknown metric 'ssim'"),
        ({"d_sim": np.ones((0, 129))}, r"\(0, 129\): give a row of values, one a step, for each prompt"),
        ({"d_sim": np.ones(129)}, r"\(129,\)"),
        ({"d_sim": np.ones((2, 3)), "l_snr": np.ones((3, 3))}, "l_snr has shape .* the same prompts and steps"),
        ({"d_sim": np.array([[1, 0.5], [1, np.nan]])}, "no number, in row 1 at step 2"),
    ],
)
def test_what_are_no_curves_is_refused_with_a_sentence(curves, words):
    for rule in rules.RULES:
        with pytest.raises(ValueError, match=words):
            rules.RULES[rule].steps(curves, 1)
        with pytest.raises(ValueError, match=words):
            rules.at_mean_cost(rule, curves, 2)
