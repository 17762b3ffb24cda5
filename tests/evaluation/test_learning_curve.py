"""The learning curve finds what was planted in it, and says how sure it is."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from bfkit import paper
from bfkit.dataset.table import read_scores
from bfkit.evaluation import learning_curve
from bfkit.evaluation.learning_curve import expect, fit_power
from bfkit.evaluation.pieces import together
from bfkit.profiles import PROFILES

SIZES = np.array([68, 137, 273, 547])


def synthetic(noise: float, held_out: int = 60, sizes=SIZES) -> pl.DataFrame:
    """Errors of 0.03 + 0.5 * n ** -0.7 with noise, prompt by prompt."""
    rng = np.random.default_rng(0)
    rows = [
        (name, int(size), part, prompt, 0.03 + 0.5 * size**-0.7 + noise * rng.standard_normal())
        for name in paper.METRICS
        for size in sizes
        for part in range(2 if size < 300 else 1)
        for prompt in range(held_out)
    ]
    return pl.DataFrame(rows, schema=["metric", "prompts", "part", "prompt_id", "error"], orient="row")


@pytest.mark.parametrize(("a", "b", "c"), [(0.03, 0.5, 0.7), (0.0, 0.2, 0.3), (0.01, 2.0, 1.0)])
def test_a_curve_without_noise_gives_its_numbers_back(a, b, c):
    assert fit_power(SIZES, (a + b * SIZES**-c)[None])[0] == pytest.approx([a, b, c], abs=1e-9)


def test_no_better_fit_is_found_by_brute_force():
    errors = np.random.default_rng(1).random((5, 4)) * np.array([1.0, 0.8, 0.7, 0.6])
    found = fit_power(SIZES, errors)
    assert (found[:, :2] >= 0).all()

    def loss(a, b, c):
        return ((a + b * (SIZES / SIZES[0]) ** -c - errors[:, None, None]) ** 2).sum(axis=-1)

    ours = [float(loss(*(np.array(v) for v in (a, b * SIZES[0] ** -c, c)))[row, 0, 0])
            for row, (a, b, c) in enumerate(found)]  # fmt: skip
    a, b = (grid[..., None] for grid in np.meshgrid(np.linspace(0, 1, 101), np.linspace(0, 2, 201)))
    for c in learning_curve.EXPONENTS[::6]:
        for row in range(5):
            other = ((a + b * (SIZES / SIZES[0]) ** -c - errors[row]) ** 2).sum(axis=-1).min()
            assert ours[row] <= other + 1e-9


def test_errors_that_do_not_fall_are_expected_to_stay():
    flat = synthetic(0).with_columns(error=pl.lit(0.05))
    rows = expect([100, 10_000], flat)
    assert rows["error"].to_list() == pytest.approx([0.05] * 6)


def test_what_was_planted_is_expected_within_the_interval_also_beyond_what_was_measured():
    rows = expect([68, 547, 5_000], synthetic(0.01))
    assert rows.columns == ["metric", "prompts", "error", "low", "high"]
    for row in rows.iter_rows(named=True):
        truth = 0.03 + 0.5 * row["prompts"] ** -0.7
        assert row["low"] <= truth <= row["high"], row
        assert row["low"] <= row["error"] <= row["high"]


def test_the_interval_widens_with_noise_and_with_the_distance_from_what_was_measured():
    def width(noise: float, count: int) -> float:
        row = expect([count], synthetic(noise)).row(0, named=True)
        return row["high"] - row["low"]

    assert width(0.02, 547) > width(0.005, 547)
    assert width(0.02, 50_000) > width(0.02, 400)


@pytest.mark.slow
def test_a_measured_curve_has_every_held_out_prompt_at_every_size():
    settings = replace(PROFILES["mini"].predictor, epochs=dict.fromkeys(paper.METRICS, 1))
    rows = together(learning_curve.trainings(replace(PROFILES["mini"], predictor=settings), sizes=(150, 400)))
    assert rows.group_by("prompts", "part").len().sort("prompts", "part").rows() == [
        (150, 0, 183), (150, 1, 183), (150, 2, 183), (400, 0, 183),
    ]  # fmt: skip
    assert rows["error"].is_finite().all() and (rows["error"] > 0).all()
    assert rows["steps"].is_between(1, paper.TARGET_STEPS).all()
    assert expect([1_000], rows).height == 3


def test_the_shipped_curve_is_the_miniatures():
    shipped = pl.read_csv(learning_curve.CURVE)
    assert set(shipped["prompts"]) == set(learning_curve.SIZES)
    known = read_scores(PROFILES["mini"].scores)["prompt_id"].unique()
    assert shipped["prompt_id"].is_in(known.to_list()).all()
    rows = expect([547, 20_000])
    assert (rows["low"] <= rows["error"]).all() and (rows["error"] <= rows["high"]).all()
    for name in paper.METRICS:
        few, many = rows.filter(metric=name)["error"]
        assert many <= few
