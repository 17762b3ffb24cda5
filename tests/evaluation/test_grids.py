"""The search finds the spacing that comes nearest, measured as whoever would draw again measures."""

import math
from dataclasses import replace

import polars as pl
import pytest

from bfkit.evaluation.grids import best, search, search_finding
from bfkit.models.pipelines import load_pipeline
from bfkit.sampling.conditioning import embed
from bfkit.sampling.generate import sample
from bfkit.sampling.grids import SOLVERS, on_grid

PROMPTS = ["a red circle", "two blue squares"]


@pytest.fixture(scope="module")
def profile(random_profile):
    return replace(random_profile, step_counts=(1, 2, 40))


@pytest.fixture(scope="module")
def found(profile, scorer) -> pl.DataFrame:
    return search(load_pipeline(profile), scorer, profile, PROMPTS, 5, rhos=(1.0, 7.0), lowest=(0.03,))


def test_every_solver_is_tried_as_it_is_and_on_every_spacing_the_best_first(found):
    assert sorted(found.group_by("solver").len().rows()) == sorted((solver, 3) for solver in SOLVERS)
    assert (
        found["loss"].is_sorted() and (found["low"] <= found["loss"]).all() and (found["loss"] <= found["high"]).all()
    )
    assert found["steps"].unique().to_list() == [5]


def test_a_loss_is_the_mean_distance_to_the_plain_last_pictures(found, profile, scorer):
    pipe = load_pipeline(profile)
    asked = [(prompt, seed) for prompt in PROMPTS for seed in profile.seeds]
    conditioning = embed(pipe, profile, *(list(part) for part in zip(*asked, strict=True)))
    target = scorer.features(sample(pipe, profile, conditioning, 40))
    with on_grid(pipe, "UniPC", 7.0, 0.03):
        scores = scorer.score(sample(pipe, profile, conditioning, 5), target)
    row = found.filter(solver="UniPC", rho=7.0)
    assert row["loss"].item() == pytest.approx(float(scores["d_sim"].mean()), abs=1e-5)


def test_a_solver_gets_the_grid_that_beats_its_own_spacing_or_none():
    rows = [
        {"solver": "Euler", "rho": 3.0, "lowest": 0.06, "loss": 0.1},
        {"solver": "UniPC", "rho": None, "lowest": None, "loss": 0.2},
        {"solver": "Euler", "rho": None, "lowest": None, "loss": 0.3},
        {"solver": "UniPC", "rho": math.inf, "lowest": 0.03, "loss": 0.4},
    ]
    frame = pl.DataFrame(rows).with_columns(steps=pl.lit(17), low=pl.col("loss") - 0.01, high=pl.col("loss") + 0.01)
    assert best(frame) == {"Euler": (3.0, 0.06)}
    assert search_finding(frame) == (
        "In 17 steps Euler on levels of rho 3 down to 0.06 is 0.1000 from the last picture by D-SIM (0.0900 to "
        "0.1100); Euler as it is, 0.3000 (0.2900 to 0.3100)"
    )
