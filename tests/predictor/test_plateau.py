"""Eq. 7 by hand, against a scalar version of it, and at its edges."""

import random
import statistics

import numpy as np
import pytest

from bfkit import paper
from bfkit.predictor.plateau import plateau_step, plateau_steps


def by_the_statistics_module(values: list[float], weight: float) -> int:
    """Eq. 7 for a falling curve, one value at a time."""
    threshold = statistics.median(values) + weight * statistics.pstdev(values)
    best = 1
    for step, value in enumerate(values, start=1):
        if value >= threshold:
            best = step
    return best


def noisy_curves(count: int) -> list[list[float]]:
    rng = random.Random(0)
    curves = []
    for _ in range(count):
        length, rate, floor = rng.randint(2, 140), rng.uniform(0.02, 1.5), rng.uniform(0, 0.5)
        curves.append([floor + (t + 1) ** -rate + rng.gauss(0, 0.01) for t in range(length)])
    return curves


@pytest.mark.parametrize(
    ("values", "weight", "expected"),
    [
        # median 3, population std sqrt(2): threshold 3, 3 + 0.7 * 1.41 = 3.99, 3 + 1.5 * 1.41 = 5.12
        ([5, 4, 3, 2, 1], 0.0, 3),
        ([5, 4, 3, 2, 1], 0.7, 2),
        ([5, 4, 3, 2, 1], 1.5, 1),
        # median 0.5 of an even number of values, std 0.5: the last value is at the threshold 0.5 + 1 * 0.5
        ([0, 1, 0, 1], 1.0, 4),
        ([0, 1, 0, 1], 1.01, 1),
        # a late bump stands out, whatever comes between
        ([9, 0, 0, 0, 0, 9, 0], 0.3, 6),
        # a negative weight reaches below the median: threshold 3 - 1.41
        ([5, 4, 3, 2, 1], -1.0, 4),
    ],
)
def test_the_plateau_of_hand_computed_curves(values, weight, expected):
    assert plateau_step(values, weight) == expected


def test_std_is_that_of_the_population():
    # median 0; 0.6 reaches 1.4 * 0.412 = 0.577, but would not reach 1.4 * 0.460 = 0.645 with ddof=1
    assert plateau_step([1, 0.6, 0, 0, 0], 1.4) == 2


@pytest.mark.parametrize("weight", [0.0, 0.2, 0.3, 0.5, 1.2, -0.4])
def test_the_plateau_agrees_with_a_scalar_computation(weight):
    for curve in noisy_curves(60):
        assert plateau_step(curve, weight) == by_the_statistics_module(curve, weight)


@pytest.mark.parametrize(("scale", "offset"), [(4.0, 0.0), (0.125, 0.0), (37.0, -11.0), (1e-4, 0.5), (1.0, 100.0)])
def test_neither_scale_nor_offset_of_a_curve_moves_its_plateau(scale, offset):
    for curve in noisy_curves(30):
        moved = [scale * value + offset for value in curve]
        assert plateau_step(moved, 0.3) == plateau_step(curve, 0.3)


def test_a_rising_curve_is_read_upside_down():
    for curve in noisy_curves(30):
        rising = [1 - value for value in curve]
        assert plateau_step(rising, 0.5, lower_is_better=False) == plateau_step(curve, 0.5)
        assert plateau_step(curve, 0.5, lower_is_better=False) == plateau_step(rising, 0.5)


def test_a_rising_curve_read_as_a_falling_one_would_end_last_or_have_no_plateau():
    rising = 1 - np.exp(-np.arange(129) / 9)
    assert plateau_step(rising, 0.0, lower_is_better=True) == 129
    assert plateau_step(rising, 0.5, lower_is_better=True) == 1  # no value reaches the threshold
    assert [plateau_step(rising, weight, lower_is_better=False) for weight in (0.0, 0.5)] == [65, 22]


@pytest.mark.parametrize("values", [[0.0] * 5, [0.3] * 129, [1e6] * 7, [0.1 + 0.2, 0.3, 0.3]])
@pytest.mark.parametrize("lower_is_better", [True, False])
def test_nothing_stands_out_of_a_flat_curve(values, lower_is_better):
    assert plateau_step(values, 0.0, lower_is_better) == 1
    assert plateau_step(values, 0.3, lower_is_better, steps=range(7, 7 + len(values))) == 7


def test_a_curve_of_one_value_has_its_plateau_there():
    assert plateau_step([0.4], 0.3) == 1
    assert plateau_step([0.4], 0.3, steps=[22]) == 22


def test_the_first_step_is_the_answer_where_no_value_reaches_the_threshold():
    assert plateau_step([1, 0.5, 0], 100.0, steps=[3, 9, 27]) == 3


def test_steps_name_the_values():
    curve = [0.9, 0.5, 0.3, 0.2, 0.15, 0.12, 0.1, 0.1]
    names = (1, 2, 3, 5, 9, 17, 22, 27)
    for weight in (0.0, 0.2, 0.9):
        assert plateau_step(curve, weight, steps=names) == names[plateau_step(curve, weight) - 1]


@pytest.mark.parametrize("kind", [list, tuple, np.array, lambda v: np.array(v, np.float32)])
def test_any_row_of_numbers_is_a_curve_and_the_answer_is_an_int(kind):
    answer = plateau_step(kind([1.0, 0.5, 0.25, 0.125]), 0.3)
    assert answer == 2
    assert type(answer) is int


@pytest.mark.parametrize(
    ("values", "steps", "words"),
    [
        ([], None, "non-empty"),
        ([[1, 2], [3, 4]], None, r"\(2, 2\)"),
        (0.5, None, "non-empty"),
        ([1.0, float("nan"), 0.2], None, "index 1"),
        ([1.0, 0.5, float("inf")], None, "index 2"),
        ([1.0, 0.5, 0.2], [1, 2], "3 values for 2 steps"),
        ([1.0, 0.5], [1, 2, 3], "2 values for 3 steps"),
    ],
)
def test_what_is_no_curve_is_refused_with_a_sentence(values, steps, words):
    with pytest.raises(ValueError, match=words):
        plateau_step(values, 0.3, steps=steps)


def test_mu_may_be_read_as_the_mean():
    # median 0, mean 0.28, std 0.392: 0.4 reaches half a std above the median (0.196), not above the mean (0.476)
    values = [1, 0.4, 0, 0, 0]
    assert plateau_step(values, 0.5) == 2
    assert plateau_step(values, 0.5, center="mean") == 1


def test_t_star_is_the_last_of_the_three_plateaus():
    steps = np.arange(1, 130)
    curves = {"l_snr": np.exp(-steps / 4), "d_sim": np.exp(-steps / 20), "i_clip": 1 - np.exp(-steps / 9)}
    own = {
        "l_snr": by_the_statistics_module(curves["l_snr"].tolist(), 0.3),
        "d_sim": by_the_statistics_module(curves["d_sim"].tolist(), 0.2),
        "i_clip": by_the_statistics_module((1 - curves["i_clip"]).tolist(), 0.5),
    }
    assert len(set(own.values())) == 3
    assert plateau_steps(curves) == max(own.values()) == own["d_sim"]
    del curves["d_sim"]
    assert plateau_steps(curves) == max(own["l_snr"], own["i_clip"])


def test_each_metric_keeps_its_own_weight():
    steps = np.arange(1, 130)
    curves = dict.fromkeys(paper.METRICS[:2], np.exp(-steps / 20))
    weights = {"l_snr": 2.0, "d_sim": 0.0}
    assert plateau_steps(curves, weights) == plateau_step(curves["d_sim"], 0.0)
    assert plateau_steps(curves, {"l_snr": 2.0, "d_sim": 2.0}) == plateau_step(curves["l_snr"], 2.0)


def test_t_star_is_named_by_the_given_steps():
    curves = {"l_snr": [3, 2, 1, 0, 0, 0], "d_sim": [3, 0, 0, 0, 0, 0]}
    assert plateau_steps(curves, steps=[1, 5, 9, 17, 22, 27]) == 9


@pytest.mark.parametrize(
    ("curves", "weights", "words"),
    [
        ({}, paper.WEIGHTS, "no curves"),
        ({"ssim": [1, 0]}, paper.WEIGHTS, "unknown metric 'ssim'"),
        ({"l_snr": [1, 0], "d_sim": [1, 0]}, {"l_snr": 0.3}, "no weight for d_sim"),
    ],
)
def test_t_star_of_unknown_or_unweighted_metrics_is_refused_with_a_sentence(curves, weights, words):
    with pytest.raises(ValueError, match=words):
        plateau_steps(curves, weights)
