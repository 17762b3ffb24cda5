"""A picture that was looked at goes on from its first evaluation: not one more is made, and it is the same picture."""

from dataclasses import replace

import families
import pytest
import torch

from bfkit.models.pipelines import denoiser, load_pipeline
from bfkit.sampling.conditioning import embed
from bfkit.sampling.generate import sample
from bfkit.sampling.looked import Looked, go_on, look_at

PROMPTS = ["a red circle", "three blue stars on a yellow background", "a crowd in a park", "two green squares"]
SEEDS = [4, 0, 7, 7]
ROUNDING = 1e-3
TWINS = ("mini", *families.BUILDERS)
QUICK = ("mini", "sd3", "flux")  # a UNet, and transformers with two passes and with one
pytestmark = pytest.mark.filterwarnings("ignore:.*callback_steps.*:FutureWarning")


@pytest.fixture(scope="module", params=[pytest.param(n, marks=() if n in QUICK else pytest.mark.slow) for n in TWINS])
def family(request, tmp_path_factory, random_profile):
    if request.param == "mini":
        return random_profile, load_pipeline(random_profile)
    profile = families.save_tiny(request.param, tmp_path_factory.mktemp(request.param))
    return profile, load_pipeline(profile)


@pytest.fixture
def evaluated(family, monkeypatch) -> list[int]:
    """How many times the denoiser has really run."""
    profile, pipe = family
    module, times = denoiser(pipe, profile), []
    forward = module.forward

    def counted(*args, **kwargs):
        times.append(1)
        return forward(*args, **kwargs)

    monkeypatch.setattr(module, "forward", counted)
    return times


def test_one_by_one_it_is_the_ordinary_picture_bit_for_bit_in_as_many_evaluations_as_steps(family, evaluated):
    profile, pipe = family
    conditioning = embed(pipe, profile, PROMPTS, SEEDS)
    for row, steps in enumerate((1, 2, 5, 3)):
        one = conditioning.rows([row])
        expected = sample(pipe, profile, one, steps)
        evaluated.clear()
        assert torch.equal(go_on(pipe, profile, look_at(pipe, profile, one), steps), expected)
        assert len(evaluated) == steps


def test_looked_at_together_and_drawn_in_other_company_it_is_the_same_to_rounding(family, evaluated):
    profile, pipe = family
    conditioning = embed(pipe, profile, PROMPTS, SEEDS)
    expected = sample(pipe, profile, conditioning, 3)
    looked = Looked.joined([look_at(pipe, profile, conditioning.rows(part)) for part in ([0, 1, 2], [3])])
    evaluated.clear()
    drawn = {row: go_on(pipe, profile, looked.rows([row]), 3)[0] for row in (2, 0)}
    both = go_on(pipe, profile, looked.rows([3, 1]), 3)
    assert len(evaluated) == 3 * 2, "the first is remembered, row for row"
    for row, picture in {**drawn, 3: both[0], 1: both[1]}.items():
        torch.testing.assert_close(picture, expected[row], atol=ROUNDING, rtol=0)


def test_each_picture_keeps_what_it_showed(family):
    profile, pipe = family
    conditioning = embed(pipe, profile, PROMPTS, SEEDS)
    together = look_at(pipe, profile, conditioning)
    parts = [look_at(pipe, profile, conditioning.rows(part)) for part in ([0], [1, 2, 3])]
    torch.testing.assert_close(Looked.joined(parts).features, together.features, atol=1e-4, rtol=1e-3)
    assert torch.equal(together.rows([3, 0]).features, together.features[[3, 0]])


def test_where_step_counts_begin_otherwise_the_picture_is_right_and_the_cost_is_told(random_profile):
    leading = load_pipeline(replace(random_profile, spacing="leading"))
    one = embed(leading, random_profile, PROMPTS[:1], SEEDS[:1])
    looked = look_at(leading, random_profile, one)
    with pytest.warns(UserWarning, match="the look has cost an evaluation: StableDiffusionPipeline does not begin 4"):
        picture = go_on(leading, random_profile, looked, 4)
    assert torch.equal(picture, sample(leading, random_profile, one, 4))
