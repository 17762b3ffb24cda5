"""Every system draws the same pictures at OURS' cost, against the right reference; a run goes on where it was."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch

from bfkit.dataset.table import noted_hardware
from bfkit.devices import hardware
from bfkit.evaluation import compare as room
from bfkit.evaluation.compare import (
    SCHEMA,
    Lab,
    combination_entries,
    measure,
    plain_targets,
    table2_entries,
    uniform_steps,
)
from bfkit.metrics.inception import inception_score
from bfkit.models.pipelines import load_pipeline
from bfkit.sampling.generate import generate
from bfkit.sampling.systems import SYSTEMS

OURS = {3: ("a white and empty wall", 2), 8: ("two red circles on a beach", 4), 9: ("a crowd in a park", 3)}
STEPS = dict(OURS.values())


@pytest.fixture(scope="module")
def lab(random_profile, scorer) -> Lab:
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.AvgPool2d(16), torch.nn.Flatten(), torch.nn.Linear(48, 5)).requires_grad_(False)
    profile = replace(random_profile, step_counts=(1, 2, 6), batch=4)
    return Lab(load_pipeline(profile), scorer, net, profile)


@pytest.fixture(scope="module")
def plans(lab):
    return {plan.system: plan for plan in table2_entries(lab.pipe, lab.profile, STEPS)}


@pytest.fixture(scope="module")
def pairs(lab) -> list[tuple[int, str, int]]:
    return [(number, prompt, seed) for number, (prompt, _) in OURS.items() for seed in lab.profile.seeds]


@pytest.mark.parametrize("steps", [[2, 4, 3], [7, 7], [1, 2], [5, 9, 30, 2, 2, 2, 41]])
def test_uniform_has_the_same_total_dealt_out_evenly(steps):
    ours = {f"prompt {number}": value for number, value in enumerate(steps)}
    uniform = uniform_steps(ours)
    assert list(uniform) == list(ours)
    assert sum(uniform.values()) == sum(steps)
    assert max(uniform.values()) - min(uniform.values()) <= 1


def test_every_system_of_the_table_has_a_plan_that_costs_at_most_what_ours_does(lab, plans):
    assert list(plans) == ["OURS", "UNIFORM", "REFERENCE", *SYSTEMS]
    budget = np.mean([plans["OURS"].cost.tflops(steps) for steps in STEPS.values()])
    dear = plans["REFERENCE"].cost.tflops(65)
    for name in SYSTEMS:
        plan = plans[name]
        (steps,) = set(plan.steps.values())
        assert plan.cost.tflops(steps) <= budget * (1 + 1e-6) < plan.cost.tflops(steps + len(plan.cost.cycle))
        assert plan.cost.tflops(plan.reference_steps) <= dear * (1 + 1e-6)
    assert plans["DeepCache"].reference_steps > 65, "cheaper steps pay for more of them"


def test_combinations_pair_ours_and_uniform_at_each_share_of_the_steps(lab):
    plans = {(plan.system, plan.share): plan for plan in combination_entries(lab.pipe, lab.profile, STEPS)}
    assert len(plans) == 2 * 4 * 3
    for (name, share), plan in plans.items():
        other = plans[name.replace("OURS", "UNIFORM"), share]
        assert sum(plan.steps.values()) == sum(other.steps.values())
        assert (plan.draws is None) == name.endswith("plain")
    assert plans["OURS + plain", 0.25].steps == dict(zip(STEPS, (1, 1, 1), strict=True))
    assert plans["OURS + ToMe", 0.5].steps == dict(zip(STEPS, (1, 2, 2), strict=True))
    assert plans["OURS + DeepCache", 1.0].cost.tflops(6) < plans["OURS + plain", 1.0].cost.tflops(6)


def test_ours_is_measured_on_the_plain_pipelines_pictures(lab, plans, pairs):
    frame = measure(lab, plans["OURS"], pairs, plain_targets(lab, pairs))
    assert frame.schema == SCHEMA
    assert frame.select("prompt_id", "prompt", "seed").rows() == pairs
    assert dict(frame.select("prompt", "steps").unique().iter_rows()) == STEPS
    row = frame.row(by_predicate=(pl.col("prompt_id") == 8) & (pl.col("seed") == 1), named=True)
    picture, target = (
        generate(lab.pipe, [row["prompt"]], steps, profile=lab.profile, seeds=[1]) for steps in (row["steps"], 6)
    )
    scores = lab.scorer.score(picture, lab.scorer.features(target))
    assert row["d_sim"] == pytest.approx(scores["d_sim"].item(), abs=2e-4)
    assert (row["d_sim"], row["i_clip"]) == (row["d_sim_plain"], row["i_clip_plain"])
    assert row["logits"] == pytest.approx(lab.classify(picture)[0].tolist(), abs=1e-3)
    assert row["evals"] == row["steps"]
    assert row["joules"] is None
    assert row["reference_steps"] == 6


def test_another_system_is_measured_against_a_reference_of_its_own(lab, plans, pairs):
    plan = replace(plans["EulerAncestral"], reference_steps=5)
    targets = plain_targets(lab, pairs)
    frame = measure(lab, plan, pairs, targets)
    with SYSTEMS["EulerAncestral"](lab.pipe):
        steps = plan.steps[pairs[0][1]]
        picture, own = (
            generate(lab.pipe, [pairs[0][1]], n, profile=lab.profile, seeds=[pairs[0][2]]) for n in (steps, 5)
        )
    expected = lab.scorer.score(picture, lab.scorer.features(own))["d_sim"].item()
    assert frame["d_sim"][0] == pytest.approx(expected, abs=2e-4)
    assert frame["d_sim"][0] != pytest.approx(frame["d_sim_plain"][0], abs=1e-4)


def test_a_system_measured_against_its_very_picture_is_perfect(lab, plans, pairs):
    plan = replace(plans["UniPC"], steps=dict.fromkeys(STEPS, 4), reference_steps=4)
    frame = measure(lab, plan, pairs, plain_targets(lab, pairs))
    assert frame["d_sim"].abs().max() < 1e-5
    assert frame["i_clip"].min() > 1 - 1e-5


def test_a_comparison_goes_on_where_it_was_and_makes_again_what_was_asked_otherwise(lab, tmp_path, monkeypatch):
    monkeypatch.setattr(room, "SYSTEMS", {"UniPC": SYSTEMS["UniPC"]})
    monkeypatch.setattr(room, "COMBINED", ())
    monkeypatch.setattr(room, "SHARES", (0.5, 1.0))
    monkeypatch.setattr(room.paper, "REFERENCE_STEPS", 5)
    made = []
    whole = room.measure
    monkeypatch.setattr(room, "measure", lambda lab, plan, *rest: made.append(plan.system) or whole(lab, plan, *rest))
    ours = dict(list(OURS.items())[:2])
    frame = room.compare(lab, ours, tmp_path)
    combined = ["OURS + plain", "UNIFORM + plain"]
    assert made == ["OURS", "UNIFORM", "REFERENCE", "UniPC", *combined, *combined]
    assert frame["system"].unique(maintain_order=True).to_list() == [*made[:4], *combined]
    assert frame.filter(pl.col("share") == 1)["d_sim"].to_list() == frame.head(8)["d_sim"].to_list(), "OURS, UNIFORM"
    made.clear()
    with monkeypatch.context() as patch:
        patch.setattr(room, "hardware", lambda device: {"device": "another machine"})
        assert room.compare(lab, ours, tmp_path).equals(frame)
    assert made == []
    assert noted_hardware(tmp_path) == [hardware("cpu")], "of the machine that drew, not of the one that goes on"
    room.compare(lab, {**ours, 8: (OURS[8][0], 2)}, tmp_path)
    assert made == ["OURS", "UNIFORM", "UniPC", *combined, *combined], "REFERENCE is drawn in the same steps as before"


def test_the_inception_score_is_that_of_its_definition():
    """exp of the mean divergence of p(y|x) from p(y): 1 if all look alike, the number of classes at best."""
    certain = torch.eye(4).repeat(50, 1) * 50
    assert inception_score(certain, splits=1)[0] == pytest.approx(4, rel=1e-3)
    assert inception_score(certain[:1].repeat(100, 1))[0] == pytest.approx(1, abs=1e-4)
    logits = torch.randn((300, 4), generator=torch.Generator().manual_seed(0)) * 2
    p = logits.softmax(1)
    whole = (p * (p.log() - p.mean(0).log())).sum(1).mean().exp().item()
    assert inception_score(logits, splits=1)[0] == pytest.approx(whole, rel=1e-4)
