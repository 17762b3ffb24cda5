"""The error-controlled sampler competes at the cost of the others: its tolerance is set on training prompts."""

import json
from dataclasses import replace

import families
import pytest

from bfkit.evaluation import compare as entries
from bfkit.evaluation import compare_run, error_control
from bfkit.evaluation.error_control import evaluations, tuned
from bfkit.profiles import PROFILES
from bfkit.sampling.systems import SYSTEMS

PROMPTS = ["a red circle", "two blue squares on a beach"]
SYSTEM = SYSTEMS["Error-controlled"]


def scaled(scale: float):
    return replace(SYSTEM, settings={"scale": scale})


def test_a_tolerance_far_off_is_set_so_that_pictures_take_what_is_asked_for(pipe, random_profile):
    off, goal = scaled(1.0), 5.0
    found = tuned(pipe, random_profile, off, PROMPTS[:1], goal)
    assert evaluations(pipe, random_profile, off, PROMPTS[:1], goal) > 1.3 * goal
    assert abs(evaluations(pipe, random_profile, found, PROMPTS[:1], goal) - goal) <= 1


def test_without_prompts_a_tolerance_stays_as_it_is(pipe, random_profile):
    assert tuned(pipe, random_profile, SYSTEM, [], 9.0) is SYSTEM


@pytest.mark.slow
def test_a_comparison_sets_it_once_and_counts_each_pictures_own_evaluations(
    random_profile, tmp_path_factory, tmp_path, monkeypatch
):
    tiny = families.save_tiny("sd15", tmp_path_factory.mktemp("sd15"))
    profile = replace(
        tiny, perceptual=random_profile.perceptual, i_clip="image", step_counts=(1, 2, 8), seeds=(0, 1), batch=4
    )
    monkeypatch.setattr(error_control, "PROMPTS", 3)
    monkeypatch.setattr(entries, "SHARES", ())
    monkeypatch.setattr(entries.paper, "REFERENCE_STEPS", 12)
    asked = (profile, {3: PROMPTS[0], 8: PROMPTS[1]}, PROFILES["mini"].advisor, tmp_path)
    rows = compare_run.compare(*asked, systems=["Error-controlled"]).rows
    plan = json.loads((tmp_path / "plan.json").read_text())
    assert plan["source"]["settings"] != plan["settings"] and plan["settings"]["Error-controlled"]["scale"] > 0
    own, ours = rows.filter(system="Error-controlled"), rows.filter(system="OURS")
    assert own["steps"].to_list() == own["evals"].to_list()
    each = ours["tflops"][0] / ours["steps"][0]
    assert own["tflops"].to_list() == pytest.approx([count * each for count in own["evals"]], rel=1e-4)
    assert own["reference_steps"].to_list() == [12] * 4 and (own["d_sim"] > 0).all()

    def never(*_: object):
        raise AssertionError("it was set before")

    monkeypatch.setattr("bfkit.evaluation.compare_plan.tuned", never)
    assert compare_run.compare(*asked, systems=["Error-controlled"]).rows.equals(rows)
