"""``bfkit study pictures``: held-out prompts under the paper's three conditions, drawn once, as a study reads them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from PIL import Image

from bfkit import cli, study
from bfkit.dataset.curves import dense_curves
from bfkit.dataset.table import read_scores, split_by_prompt
from bfkit.predictor.advisor import StepAdvisor
from bfkit.profiles import PROFILES
from bfkit.sampling import generate
from bfkit.study.stimuli import draw_stimuli, held_out_plans


@pytest.fixture(scope="module")
def table() -> pl.DataFrame:
    return read_scores(Path(PROFILES["mini"].scores))


@pytest.fixture
def painter(random_profile, monkeypatch):
    """The miniature's scores, advisor and words, an untrained painter."""
    shipped = PROFILES["mini"]
    small = replace(random_profile, clip=shipped.clip, advisor=shipped.advisor, scores=shipped.scores)
    monkeypatch.setitem(PROFILES, "mini", small)


def test_no_prompt_of_a_study_was_learnt_from_and_uniform_is_that_of_all_held_out(table):
    training, held_out = split_by_prompt(table)
    plans = held_out_plans(table, StepAdvisor.from_pretrained("mini"), 20)
    assert list(plans) == ["OURS", "UNIFORM", "REFERENCE"] and all(len(own) == 20 for own in plans.values())
    assert set(plans["OURS"]) <= set(held_out["prompt"]) and not set(plans["OURS"]) & set(training["prompt"])
    everybody = held_out_plans(table, StepAdvisor.from_pretrained("mini"), held_out["prompt"].n_unique())
    assert sum(everybody["OURS"].values()) == sum(everybody["UNIFORM"].values())
    assert plans["UNIFORM"].items() <= everybody["UNIFORM"].items()
    assert set(plans["REFERENCE"].values()) == {65}


def test_telling_prompts_differ_most_between_the_two_that_are_compared(table):
    advisor = StepAdvisor.from_pretrained("mini")
    texts, measured = dense_curves(split_by_prompt(table)[1].filter(seed=0))
    everybody = held_out_plans(table, advisor, len(texts))
    apart = {
        text: abs(curve[everybody["OURS"][text] - 1] - curve[everybody["UNIFORM"][text] - 1])
        for text, curve in zip(texts, measured["d_sim"], strict=True)
    }
    told = list(held_out_plans(table, advisor, 5, telling=True)["OURS"])
    assert [apart[text] for text in told] == sorted(apart.values(), reverse=True)[:5]


@pytest.mark.usefixtures("painter")
def test_the_command_draws_what_a_study_is_built_of_and_draws_nothing_twice(tmp_path, capsys, monkeypatch):
    few = {"OURS": {"a wall": 2, "a park": 3}, "UNIFORM": {"a wall": 3, "a park": 3},
           "REFERENCE": {"a wall": 4, "a park": 4}}  # fmt: skip
    monkeypatch.setattr("bfkit.study.stimuli.held_out_plans", lambda *_: few)
    out = tmp_path / "pictures"
    assert cli.main(["study", "pictures", "--prompts", "2", "--out", str(out)]) == 0
    assert "`bfkit study build" in capsys.readouterr().out
    written = {path: path.stat().st_mtime_ns for path in out.glob("*.png")}
    assert len(written) == 5, "OURS and UNIFORM share the park's"
    next(iter(written)).unlink()
    monkeypatch.setattr(generate, "sample", counted := Counted(generate.sample))
    assert cli.main(["study", "pictures", "--prompts", "2", "--out", str(out)]) == 0
    assert counted.pictures == 1, "what is there is not drawn again"
    made = study.build(study.read_pictures(out / "pictures.csv"), tmp_path / "study", trials=2, checks=0, practice=0)
    steps = {(one.prompt, name): picture.steps for one in made.stimuli for name, picture in one.pictures.items()}
    assert steps["a wall", "OURS"] == 2 and steps["a wall", "UNIFORM"] == 3 and steps["a park", "REFERENCE"] == 4


class Counted:
    """A function that draws, and how many pictures it has drawn."""

    def __init__(self, draw) -> None:
        self.draw, self.pictures = draw, 0

    def __call__(self, *arguments) -> torch.Tensor:
        images = self.draw(*arguments)
        self.pictures += len(images)
        return images


def test_pictures_are_the_pipelines_own(pipe, random_profile, tmp_path):
    plans = {"OURS": {"a wall": 2}, "UNIFORM": {"a wall": 3}, "REFERENCE": {"a wall": 4}}
    table = draw_stimuli(pipe, random_profile, plans, tmp_path, seed=7)
    (alone,) = generate.generate(pipe, ["a wall"], 3, profile=random_profile, seeds=[7])
    with Image.open(table.filter(condition="UNIFORM")["image"].item()) as picture:
        drawn = np.asarray(picture, float).transpose(2, 0, 1) / 255
    assert np.abs(drawn - alone.numpy()).max() < 1.5 / 255
    assert table["seed"].to_list() == [7] * 3
