"""A sampler that controls its error: of second order, as near as it is told to be, and every evaluation counted."""

import math

import numpy as np
import pytest
import torch

from bfkit.models.pipelines import load_pipeline
from bfkit.sampling.conditioning import embed
from bfkit.sampling.counting import counting
from bfkit.sampling.error_controlled import Walk, error_controlled
from bfkit.sampling.generate import denoise, generate
from bfkit.sampling.grids import on_grid
from bfkit.sampling.systems import SYSTEMS

PROMPTS = ["a red circle", "two blue squares on a beach", "a white and empty wall"]
HIGH, LOW = 14.6, 0.03


def walked(tolerance: float, first: float = 0.3, spread: float = 0.5) -> tuple[float, Walk, int]:
    """The way to pictures from N(0, spread²), whose clean picture is known: its error at the end, and its evaluations.

    The equation's solution keeps x / (spread² + sigma²) ** 0.5 as it is.
    """
    noise = HIGH * torch.linspace(-2, 2, 9, dtype=torch.float64)
    walk, made = Walk(noise, HIGH, LOW, tolerance, first), 0
    while not walk.done:
        walk.tell(walk.guess * spread**2 / (spread**2 + walk.sigma**2))
        made += 1
    end = noise * math.hypot(spread, LOW) / math.hypot(spread, HIGH) * spread**2 / (spread**2 + LOW**2)
    return (walk.guess - end).abs().max().item(), walk, made


def test_on_an_equation_that_can_be_solved_by_hand_it_is_of_second_order_and_nears_it_with_the_tolerance():
    found = [walked(tolerance) for tolerance in (1e-2, 1e-3, 1e-4, 1e-5, 1e-6)]
    errors, made = [error for error, *_ in found], [count for *_, count in found]
    assert made == sorted(made) and errors[0] > 5 * errors[1] > 25 * errors[2] and errors[2] > 3 * errors[4]
    order = -np.polyfit(np.log(made), np.log(errors), 1)[0]
    assert 1.8 < order < 3.5
    assert -np.polyfit(np.log([1e-3, 1e-4, 1e-5, 1e-6]), np.log(made[1:]), 1)[0] == pytest.approx(1 / 3, abs=0.08)
    assert errors[-1] < 1e-4


def test_a_step_that_is_too_long_is_taken_again_and_its_evaluation_counts():
    error, walk, made = walked(1e-4, first=6.0)
    assert walk.rejected > 0
    assert error == pytest.approx(walked(1e-4)[0], rel=1)
    with pytest.MonkeyPatch.context() as patch:
        accepted = []
        whole = Walk._predict
        patch.setattr(Walk, "_predict", lambda self, clean: accepted.append(self.at) or whole(self, clean))
        _, again, made_again = walked(1e-4, first=6.0)
    assert made_again == made == len(set(accepted)) + 1 + again.rejected


def test_what_is_no_number_ends_too():
    walk = Walk(torch.ones(3), HIGH, LOW, 1e-3, 0.5)
    made = 0
    while not walk.done:
        walk.tell(torch.full((3,), torch.nan))
        made += 1
    assert made < 50 and walk.guess.isnan().all()


def test_the_smaller_its_tolerance_the_nearer_it_comes_to_a_fine_grid_and_all_evaluations_are_counted(
    pipe, random_profile
):
    conditioning, ends = embed(pipe, random_profile, PROMPTS[:1], [3]), []
    with on_grid(pipe, "DPM-Solver++ 2M", lowest=0.0292):
        fine = denoise(pipe, random_profile, conditioning, 150, "latent")
    calls = []
    with pipe.unet.register_forward_hook(lambda *_: calls.append(1)):
        for scale in (40.0, 0.4):
            with error_controlled(pipe, scale), counting(pipe, random_profile) as count:
                drawn = denoise(pipe, random_profile, conditioning, 6, "latent")
                assert isinstance(pipe.scheduler.walk, Walk) and count.made == len(calls) > pipe.scheduler.walk.rejected
            ends.append(((drawn - fine).norm() / fine.norm()).item())
            calls.clear()
    assert ends[1] < ends[0] / 3 and ends[1] < 0.03


def test_each_picture_has_steps_of_its_own_the_same_whatever_else_is_asked_for(random_profile):
    pipe = load_pipeline(random_profile)
    with SYSTEMS["Error-controlled"](pipe):
        together = generate(pipe, PROMPTS, 5, profile=random_profile, seeds=[0, 1, 2], batch=1)
        for row in (2, 0):
            alone = generate(pipe, PROMPTS[row : row + 1], 5, profile=random_profile, seeds=[row], batch=1)
            assert torch.equal(alone[0], together[row])
        with pytest.raises(ValueError, match=r"draws one picture at a time, .* and got 3: draw with batch=1"):
            generate(pipe, PROMPTS, 5, profile=random_profile, batch=3)


@pytest.mark.parametrize("scale", [0.0, -1.0, math.inf, math.nan])
def test_what_is_no_scale_is_named(pipe, scale):
    with pytest.raises(ValueError, match="a scale is a number above 0; got"), error_controlled(pipe, scale):
        pass
