"""Recipes cost what they say, learn from what they would have measured, and the best of them is followed."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch

from bfkit import cli, paper
from bfkit.dataset import estimate
from bfkit.dataset.table import read_scores, write_table
from bfkit.evaluation import learning_curve, quickstart, recipes
from bfkit.evaluation.pieces import together
from bfkit.evaluation.recipes import FEW, RECIPES, Recipe
from bfkit.predictor.advisor import StepAdvisor
from bfkit.profiles import PROFILES


def test_recipes_cost_the_same_and_many_prompts_stand_against_many_seeds():
    dear = RECIPES[0]
    assert (dear.seeds, dear.step_counts) == (paper.SEEDS, paper.STEP_COUNTS)
    assert dear.evaluations == paper.SEEDS * (sum(paper.STEP_COUNTS) - 11), "all but the first share one evaluation"
    assert set(FEW) < set(paper.STEP_COUNTS) and FEW[-1] == paper.STEP_COUNTS[-1]
    budget = recipes.PROMPTS * dear.evaluations
    for recipe in RECIPES:
        assert 0.98 * budget <= (budget // recipe.evaluations) * recipe.evaluations <= budget


def test_a_recipe_sees_its_seeds_and_step_counts_alone():
    table = pl.DataFrame({"seed": [0, 0, 1, 1], "steps": [1, 2, 1, 2], "d_sim": [1.0, 2.0, 3.0, 4.0]})
    assert recipes._measured_so(table, Recipe(1, (2,)))["d_sim"].to_list() == [2.0]
    with pytest.raises(ValueError, match="lacks 3 seeds"):
        recipes._measured_so(table, Recipe(3, (1,)))
    with pytest.raises(ValueError, match=r"lacks the step counts \[5\]"):
        recipes._measured_so(table, Recipe(1, (1, 5)))


def test_prompts_alike_are_alike_and_far_apart_ones_are_not():
    angles = torch.tensor([0.0, 0.1, 0.2, 1.5, 1.6, 3.0, 3.1])
    unit, order = torch.stack([angles.cos(), angles.sin()], dim=1), np.array([0, 3, 6, 1, 2, 4, 5])
    assert recipes._diverse(unit, order, 3, "at random").tolist() == [0, 3, 6]
    assert recipes._diverse(unit, order, 3, "alike").tolist() == [0, 1, 2]
    assert sorted(recipes._diverse(unit, order, 3, "far apart").tolist()) in ([0, 3, 6], [0, 4, 6])
    assert sorted(recipes._diverse(unit, order, 7, "far apart").tolist()) == list(range(7))


def test_errors_are_those_of_the_held_out_prompts_at_equal_cost(tmp_path):
    shipped = read_scores(PROFILES["mini"].scores)
    few = shipped.filter(pl.col("prompt_id").is_in(shipped["prompt_id"].unique().sort()[:40].to_list()))
    write_table(few, tmp_path / "few.parquet", {})
    settings = replace(PROFILES["mini"].predictor, hidden=8, mlp=8, epochs=dict.fromkeys(paper.METRICS, 1))
    profile = replace(PROFILES["mini"], scores=str(tmp_path / "few.parquet"), predictor=settings)
    tried = (Recipe(4, paper.STEP_COUNTS), Recipe(2, paper.STEP_COUNTS), Recipe(1, (1, 129)))
    rows = together(recipes.trainings(profile, prompts=15, recipes=tried))
    assert rows.select("seeds", "prompts").unique().sort("seeds").rows() == [(2, 30), (4, 15)], "160 are not there"
    assert len(rows) == 2 * 3 * 4
    found = recipes.summary(rows)
    assert found.filter(seeds=4)["relative"].item() == pytest.approx(1)
    assert recipes.best(rows) == Recipe(found["seeds"][0], paper.STEP_COUNTS)
    alike = rows.filter(seeds=2).with_columns(chosen=pl.lit("alike"), error=pl.lit(0.0))
    assert recipes.best(pl.concat([rows, alike])) == recipes.best(rows), "nobody's own prompts are so"
    with pytest.raises(ValueError, match="36 prompts are fewer than any recipe asks for"):
        recipes.trainings(profile, prompts=37, recipes=tried)


def test_too_few_prompts_for_a_learning_curve_are_told(tmp_path):
    write_table(read_scores(PROFILES["mini"].scores).filter(pl.col("prompt_id") < 12), tmp_path / "few.parquet", {})
    with pytest.raises(ValueError, match="10 prompts to learn from are fewer than 68"):
        learning_curve.trainings(replace(PROFILES["mini"], scores=str(tmp_path / "few.parquet")))


@pytest.fixture
def small(random_profile, monkeypatch, tmp_path):
    """A quick start of seconds: an untrained painter, one seed, three step counts, a predictor that learns once."""
    predictor = replace(PROFILES["mini"].predictor, hidden=8, mlp=8, epochs=dict.fromkeys(paper.METRICS, 1))
    mini = replace(PROFILES["mini"], pipeline=random_profile.pipeline, predictor=predictor, batch=32, i_clip="image")
    monkeypatch.setitem(PROFILES, "mini", mini)
    monkeypatch.setattr(recipes, "best", lambda: Recipe(1, (1, 2, 4)))
    monkeypatch.setattr(estimate, "PATIENCE", 0.2)  # a short probe
    return tmp_path / "out"


def run(*arguments: object) -> int:
    return cli.main(["quickstart", *(str(argument) for argument in arguments)])


@pytest.mark.slow
def test_a_quick_start_plans_draws_trains_and_its_advisor_advises(small, capsys):
    assert run("--out", small, "--hours", 0.02, "--plan") == 0
    planned = capsys.readouterr().out
    plan = quickstart._read(small)
    assert plan.prompts == int(0.8 * 0.02 * 3600 / plan.seconds) >= 20
    assert f"{plan.prompts} prompts x 1 seed x 3 step counts (1 2 4)" in planned and "by the miniature's" in planned
    assert not (small / "scores").exists(), "nothing is drawn for a plan"
    assert run("--out", small / "own", "--prompts", 24) == 0
    said = capsys.readouterr().out
    assert "errors on 2 held-out ones" in said and "bfkit draw PROMPT" in said
    rows = read_scores(small / "own" / "scores")
    assert rows["prompt_id"].n_unique() == 24 and rows["seed"].unique().to_list() == [0]
    assert rows["steps"].unique().sort().to_list() == [1, 2, 4]
    assert 1 <= StepAdvisor.from_pretrained(small / "own" / "advisor").steps("a white and empty wall")["steps"][0] <= 4


@pytest.mark.slow
def test_a_second_run_keeps_to_the_plan_of_the_first(small, capsys):
    assert run("--out", small, "--hours", 0.02, "--plan") == 0
    first = quickstart._read(small)
    assert run("--out", small, "--hours", 5, "--plan") == 0
    assert quickstart._read(small) == first
    assert run("--out", small, "--prompts", 31, "--plan") == 0
    assert quickstart._read(small).prompts == 31


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--hours", 0.0001], "are too few to learn from: give more --hours"),
        (["--prompts", 5], "5 prompts, of"),
        (["--hours", "nan"], "--hours must be a number above 0"),
        (["--profile", "sd2"], "there is no GPU here to measure what sd2 costs: give the number of --prompts"),
    ],
)
def test_what_cannot_be_planned_is_one_sentence(small, capsys, arguments, words):
    assert run(*arguments, "--device", "cpu", "--out", small) == 2
    assert words in capsys.readouterr().err
    assert not small.exists()


def test_the_plan_is_told_where_nothing_was_measured(small, capsys):
    assert run("--profile", "sd2", "--device", "cpu", "--prompts", 200, "--plan", "--out", small) == 0
    assert "drawing: not measured" in capsys.readouterr().out
    assert quickstart._read(small).prompts == 200 and quickstart._read(small).seconds is None
