"""Every system draws the same pictures at OURS' cost, against the right reference."""

from dataclasses import replace

import families
import numpy as np
import polars as pl
import pytest
import torch
from polars.testing import assert_frame_equal

from bfkit import memory
from bfkit.evaluation.compare import (
    PLAIN,
    SCHEMA,
    combination_entries,
    count_costs,
    table2_entries,
    uniform_steps,
)
from bfkit.evaluation.compare_pictures import Lab, measure, plain_targets, without_broken
from bfkit.metrics.inception import inception_score
from bfkit.models.pipelines import load_pipeline
from bfkit.sampling.generate import generate
from bfkit.sampling.grids import SOLVERS
from bfkit.sampling.hooks import replaced
from bfkit.sampling.systems import SYSTEMS

OURS = {3: ("a white and empty wall", 2), 8: ("two red circles on a beach", 4), 9: ("a crowd in a park", 3)}
GRIDS = [f"{solver} on a grid" for solver in SOLVERS]
STEPS = dict(OURS.values())


@pytest.fixture(scope="module")
def lab(random_profile, scorer) -> Lab:
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.AvgPool2d(16), torch.nn.Flatten(), torch.nn.Linear(48, 5)).requires_grad_(False)
    profile = replace(random_profile, step_counts=(1, 2, 6), batch=4)
    return Lab(load_pipeline(profile), scorer, net, None, profile)


@pytest.fixture(scope="module")
def costs(lab):
    found, absent = count_costs(lab.pipe, lab.profile)
    assert not absent, "on a UNet with betas every system applies"
    return found


@pytest.fixture(scope="module")
def plans(costs):
    return {plan.system: plan for plan in table2_entries(costs, STEPS).entries}


@pytest.fixture(scope="module")
def pairs(lab) -> list[tuple[int, str, int]]:
    return [(number, prompt, seed) for number, (prompt, _) in OURS.items() for seed in lab.profile.seeds]


@pytest.fixture(scope="module")
def targets(lab, pairs):
    return plain_targets(lab, pairs)


@pytest.mark.parametrize("steps", [[2, 4, 3], [7, 7], [1, 2], [5, 9, 30, 2, 2, 2, 41]])
def test_uniform_has_the_same_total_dealt_out_evenly(steps):
    ours = {f"prompt {number}": value for number, value in enumerate(steps)}
    uniform = uniform_steps(ours)
    assert list(uniform) == list(ours)
    assert sum(uniform.values()) == sum(steps)
    assert max(uniform.values()) - min(uniform.values()) <= 1


def test_every_system_of_the_table_has_a_plan_that_costs_what_ours_does(lab, plans):
    assert list(plans) == ["OURS", "UNIFORM", "RANDOM", "REFERENCE", *SYSTEMS]
    budget = np.mean([plans["OURS"].cost.tflops(steps) for steps in STEPS.values()])
    dear = plans["REFERENCE"].cost.tflops(65)
    for name in SYSTEMS:
        plan = plans[name]
        counts = sorted(set(plan.steps.values()))
        spent = np.mean([plan.cost.tflops(steps) for steps in plan.steps.values()])
        a_step = plan.cost.tflops(counts[0] + 1) - plan.cost.tflops(counts[0])
        assert counts[-1] - counts[0] <= 1 and abs(spent - budget) <= a_step / 2 / len(STEPS) * (1 + 1e-6), name
        assert plan.cost.tflops(plan.reference_steps) <= dear * (1 + 1e-6)
    assert plans["DeepCache"].reference_steps > 65, "cheaper steps pay for more of them"


def test_combinations_pair_ours_and_uniform_at_each_share_of_the_steps(costs):
    plans = {(plan.system, plan.share): plan for plan in combination_entries(costs, STEPS)}
    assert len(plans) == 2 * 5 * 3
    for (name, share), plan in plans.items():
        other = plans[name.replace("OURS", "UNIFORM"), share]
        assert sum(plan.steps.values()) == sum(other.steps.values())
        assert (plan.draws is None) == name.endswith("plain")
    assert plans["OURS + plain", 0.25].steps == dict(zip(STEPS, (1, 1, 1), strict=True))
    assert plans["OURS + ToMe", 0.5].steps == dict(zip(STEPS, (1, 2, 2), strict=True))
    assert plans["OURS + DeepCache", 1.0].cost.tflops(6) < plans["OURS + plain", 1.0].cost.tflops(6)


@pytest.mark.filterwarnings("ignore:.*callback_steps.*:FutureWarning")  # diffusers' combined Kandinsky calls so
@pytest.mark.parametrize(
    ("family", "apply"),
    [
        ("flux", ["DPM-Solver++ 2M", "UniPC"]),
        ("pixart", ["DDIM", "EulerAncestral", "DPM-Solver++ 2M", "UniPC", *GRIDS, "Error-controlled"]),
        ("kandinsky", ["DPM-Solver++ 2M", "UniPC", "DeepCache", "DistriFusion", *GRIDS[1:]]),
    ],
)
def test_in_every_family_what_applies_is_priced_and_the_rest_has_a_reason(family, apply, tmp_path):
    profile = families.save_tiny(family, tmp_path)
    found, absent = count_costs(load_pipeline(profile), profile)
    assert list(found) == [PLAIN, *apply]
    assert sorted([*apply, *absent]) == sorted(SYSTEMS)
    assert all(name in reason for name, reason in absent.items())


def test_a_system_that_a_budget_pays_no_step_of_is_left_out_with_that_reason(costs):
    """DistriFusion's first step is a little dearer than the plain one."""
    found = table2_entries(costs, dict.fromkeys(STEPS, 1))
    assert list(found.absent) == ["DistriFusion"]
    assert "pays for no step of" in found.absent["DistriFusion"]
    assert [entry.system for entry in found.entries] == ["OURS", "UNIFORM", "RANDOM", "REFERENCE"] + [
        name for name in SYSTEMS if name != "DistriFusion"
    ]


def test_combinations_are_of_what_applies(costs):
    known = {name: costs[name] for name in (PLAIN, "ToMe", "DDIM")}
    assert {plan.system for plan in combination_entries(known, STEPS)} == {
        f"{dealt} + {name}" for dealt in ("OURS", "UNIFORM") for name in (PLAIN, "ToMe")
    }


def test_ours_is_measured_on_the_plain_pipelines_pictures(lab, plans, pairs, targets):
    frame = measure(lab, plans["OURS"], pairs, targets)
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


def test_another_system_is_measured_against_a_reference_of_its_own(lab, plans, pairs, targets):
    plan = replace(plans["EulerAncestral"], reference_steps=5)
    frame = measure(lab, plan, pairs, targets)
    with SYSTEMS["EulerAncestral"](lab.pipe):
        steps = plan.steps[pairs[0][1]]
        picture, own = (
            generate(lab.pipe, [pairs[0][1]], n, profile=lab.profile, seeds=[pairs[0][2]]) for n in (steps, 5)
        )
    expected = lab.scorer.score(picture, lab.scorer.features(own))["d_sim"].item()
    assert frame["d_sim"][0] == pytest.approx(expected, abs=2e-4)
    assert frame["d_sim"][0] != pytest.approx(frame["d_sim_plain"][0], abs=1e-4)


def test_a_system_measured_against_its_very_picture_is_perfect(lab, plans, pairs, targets):
    plan = replace(plans["UniPC"], steps=dict.fromkeys(STEPS, 4), reference_steps=4)
    frame = measure(lab, plan, pairs, targets)
    assert frame["d_sim"].abs().max() < 1e-5
    assert frame["i_clip"].min() > 1 - 1e-5


def test_an_error_controlled_picture_is_drawn_alone_and_costs_what_it_took(lab, plans, pairs, targets):
    plan = replace(plans["Error-controlled"], steps=dict.fromkeys(STEPS, 3), reference_steps=0)
    rows = measure(lab, plan, pairs[:3], targets)
    each = plan.cost.tflops(1)
    assert rows["steps"].to_list() == rows["evals"].to_list() and rows["steps"].min() >= 2
    assert rows["tflops"].to_list() == pytest.approx([each * count for count in rows["evals"]])
    with SYSTEMS["Error-controlled"](lab.pipe):
        alone = generate(lab.pipe, [pairs[1][1]], 3, profile=lab.profile, seeds=[pairs[1][2]], batch=1)
    expected = lab.scorer.score(alone, targets[[1]])["d_sim"].item()
    assert rows["d_sim"][1] == pytest.approx(expected, abs=2e-4)


def test_a_compiled_denoiser_draws_for_those_that_leave_its_steps_alone(lab, plans, pairs, targets):
    calls, unet = [], lab.pipe.unet

    def compiled(*args, **kwargs):
        calls.append(1)
        return type(unet).forward(unet, *args, **kwargs)

    faster = replace(lab, compiled=compiled)
    for name, uses in (("UniPC", True), ("DeepCache", False)):
        plan = replace(plans[name], steps=dict.fromkeys(STEPS, 2), reference_steps=3)
        rows = measure(faster, plan, pairs[:1], targets)
        assert bool(calls) == uses
        assert rows.drop("seconds").equals(measure(lab, plan, pairs[:1], targets).drop("seconds"))
        calls.clear()


def test_what_is_broken_for_one_system_is_left_out_of_all(lab, plans, pairs, targets):
    rows = measure(lab, plans["OURS"], pairs, targets)
    assert without_broken(rows)[1] == []
    other = rows.with_columns(
        pl.lit("UniPC").alias("system"),
        i_clip=pl.when((pl.col("prompt_id") == 8) & (pl.col("seed") == 1)).then(float("nan")).otherwise("i_clip"),
    )
    left, (said,) = without_broken(pl.concat([rows, other]))
    assert "'two red circles on a beach', seed 1, 4 steps by UniPC, or the one it is compared with" in said
    expected = [(number, seed) for number, _, seed in pairs if (number, seed) != (8, 1)]
    for _, own in left.group_by("system"):
        assert own.select("prompt_id", "seed").rows() == expected


def test_what_overflows_is_drawn_in_float32_and_what_stays_broken_spoils_no_neighbour(lab, plans, pairs, targets):
    plan = replace(plans["OURS"], steps=dict.fromkeys(STEPS, 2))
    undisturbed = measure(lab, plan, pairs, targets)
    unet, heals, drawn = lab.pipe.unet, True, []

    def breaking(sample, timestep, *args, **kwargs):
        output = type(unet).forward(unet, sample, timestep, *args, **kwargs)
        drawn.append(len(sample))
        if len(sample) > 2 or not heals:  # a single picture, guided, has two rows: it is drawn alone in float32
            output[0][:1] = torch.nan
        return output

    with replaced(unet, "forward", breaking):
        healed = measure(lab, plan, pairs, targets)
        heals = False
        broken = measure(lab, plan, pairs, targets)
    assert 2 in drawn
    assert_frame_equal(healed.drop("seconds", "evals"), undisturbed.drop("seconds", "evals"), abs_tol=1e-4)
    bad = ~np.isfinite(broken["d_sim"].to_numpy())
    assert bad.any() and not bad.all()
    kept, before = broken.filter(~bad), undisturbed.filter(~bad)
    assert_frame_equal(kept.drop("seconds", "evals"), before.drop("seconds", "evals"), abs_tol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["OURS", "DeepCache", "ToMe"])
def test_a_batch_that_memory_does_not_hold_is_drawn_in_halves_whatever_draws(lab, plans, pairs, targets, name):
    """Also midway through a picture, where a system that remembers would go on with what another batch has left."""
    plan = replace(plans[name], steps=dict.fromkeys(STEPS, 4), reference_steps=0)
    memory._FITS.pop(lab.pipe, None)  # what another test has found to fit
    undisturbed, own, calls = measure(lab, plan, pairs, targets), lab.pipe.unet.conv_out, []

    def short(_, inputs):
        calls.append(len(inputs[0]))
        if len(inputs[0]) > 4 and len(calls) > 2:
            raise RuntimeError("CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`")

    with own.register_forward_pre_hook(short):
        halved = measure(lab, plan, pairs, targets)
    assert max(calls) == 8 and calls[-1] == 4
    assert_frame_equal(halved.drop("seconds"), undisturbed.drop("seconds"), abs_tol=2e-4)


def test_the_inception_score_is_that_of_its_definition():
    """exp of the mean divergence of p(y|x) from p(y): 1 if all look alike, the number of classes at best."""
    certain = torch.eye(4).repeat(50, 1) * 50
    assert inception_score(certain, splits=1)[0] == pytest.approx(4, rel=1e-3)
    assert inception_score(certain[:1].repeat(100, 1))[0] == pytest.approx(1, abs=1e-4)
    logits = torch.randn((300, 4), generator=torch.Generator().manual_seed(0)) * 2
    p = logits.softmax(1)
    whole = (p * (p.log() - p.mean(0).log())).sum(1).mean().exp().item()
    assert inception_score(logits, splits=1)[0] == pytest.approx(whole, rel=1e-4)
