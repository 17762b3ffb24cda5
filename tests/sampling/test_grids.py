"""Levels of noise as a grid spaces them: against diffusers' own spacings, and down to the same picture."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from diffusers import EulerDiscreteScheduler

from bfkit.sampling.conditioning import embed
from bfkit.sampling.generate import denoise
from bfkit.sampling.grids import SOLVERS, Grid, on_grid
from bfkit.sampling.systems import SYSTEMS, systems_of


def own_range(pipe) -> tuple[float, float]:
    clean = pipe.scheduler.alphas_cumprod.double()
    return tuple(float(((1 - part) / part) ** 0.5) for part in (clean[-1], clean[0]))


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize(("rho", "option"), [(7.0, "use_karras_sigmas"), (math.inf, "use_exponential_sigmas")])
@pytest.mark.parametrize("steps", [2, 9, 33])
def test_the_levels_are_those_of_the_spacings_that_diffusers_knows(pipe, solver, rho, option, steps):
    config = {**pipe.scheduler.config, "timestep_spacing": "linspace", option: True}
    known = EulerDiscreteScheduler.from_config(config)
    known.set_timesteps(steps)
    with on_grid(pipe, solver, rho, own_range(pipe)[1]):
        pipe.scheduler.set_timesteps(steps)
        sigmas, timesteps = pipe.scheduler.sigmas, pipe.scheduler.timesteps
    np.testing.assert_allclose(sigmas, known.sigmas, rtol=1e-3)
    np.testing.assert_allclose(timesteps, known.timesteps, atol=0.5)
    assert timesteps[0] == 999 and sigmas[-1] == 0


def test_a_single_level_is_the_highest_and_the_lowest_is_never_above_it():
    assert Grid().sigmas(1, 14.6).tolist() == pytest.approx([14.6])
    assert Grid(lowest=20.0).sigmas(3, 14.6).tolist() == pytest.approx([14.6] * 3)
    assert (np.diff(Grid(3.0, 0.1).sigmas(12, 14.6)) < 0).all()


def test_euler_in_one_to_one_levels_draws_the_plain_picture(pipe, random_profile):
    """A grid of very many levels and the plain pipeline in as many steps come to the same end."""
    conditioning = embed(pipe, random_profile, ["a red circle"], [3])
    plain = denoise(pipe, random_profile, conditioning, 300, "latent")
    for solver in SOLVERS:
        with on_grid(pipe, solver):
            drawn = denoise(pipe, random_profile, conditioning, 150, "latent")
        apart = (drawn - plain).norm() / plain.norm()
        assert apart < 0.03, (solver, float(apart))


def test_a_grid_begins_as_every_step_count_does(pipe, random_profile):
    seen = []
    conditioning = embed(pipe, random_profile, ["a red circle"], [3])
    with on_grid(pipe, "Euler"), pipe.unet.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].clone())):
        denoise(pipe, random_profile, conditioning, 3, "latent")
    with pipe.unet.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].clone())):
        denoise(pipe, random_profile, conditioning, 5, "latent")
    torch.testing.assert_close(seen[0], seen[3])


@pytest.mark.parametrize(("options", "words"), [
    ({"solver": "Heun"}, "unknown solver 'Heun': choose from Euler, DPM-Solver"),
    ({"rho": 0.0}, "rho and a lowest level above 0; got 0 and 0.03"),
    ({"lowest": math.inf}, "above 0; got 7 and inf"),
])  # fmt: skip
def test_what_is_no_grid_is_named(pipe, options, words):
    with pytest.raises(ValueError, match=words), on_grid(pipe, **options):
        pass


def test_a_profiles_grids_are_those_of_its_systems_and_what_is_none_is_named(random_profile):
    known = systems_of(replace(random_profile, grids={"UniPC": (math.inf, 0.1)}))
    assert known["UniPC on a grid"].settings == {"solver": "UniPC", "rho": math.inf, "lowest": 0.1}
    assert {name: system for name, system in known.items() if name != "UniPC on a grid"} == {
        name: system for name, system in SYSTEMS.items() if name != "UniPC on a grid"
    }
    for wrong in ({"Heun": (7.0, 0.03)}, {"Euler": 7.0}, {"Euler": (7.0, "low")}):
        with pytest.raises(ValueError, match=r"mini: a grid is a solver of Euler, .* got "):
            systems_of(replace(random_profile, grids=wrong))
