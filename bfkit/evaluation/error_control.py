"""The error-controlled sampler's tolerance, set on training prompts so that pictures take the evaluations asked for."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from diffusers import DiffusionPipeline

from bfkit.predictor.rules import deal_evenly
from bfkit.profiles import Profile
from bfkit.sampling.conditioning import embed
from bfkit.sampling.counting import counting
from bfkit.sampling.generate import denoise
from bfkit.sampling.systems import System

PROMPTS, ROUNDS, NEAR = 16, 6, 0.005  # drawn in a round; rounds; how near to the goal is near enough


def evaluations(
    pipe: DiffusionPipeline, profile: Profile, system: System, prompts: Sequence[str], goal: float
) -> float:
    """Evaluations a picture, on average, where ``goal`` are asked for; from the profile's seeds in turn."""
    asked, made = deal_evenly(round(goal * len(prompts)), len(prompts)), []
    with system(pipe):
        for row, (prompt, steps) in enumerate(zip(prompts, asked.tolist(), strict=True)):
            conditioning = embed(pipe, profile, [prompt], [profile.seeds[row % len(profile.seeds)]])
            with counting(pipe, profile) as count:
                denoise(pipe, profile, conditioning, steps, "latent")
            made.append(count.made)
    return float(np.mean(made))


def tuned(pipe: DiffusionPipeline, profile: Profile, system: System, prompts: Sequence[str], goal: float) -> System:
    """The system with the scale of its tolerance by which pictures of some prompts take ``goal`` evaluations each.

    On average, and as nearly as six rounds come: evaluations go by the third root of the scale where it is small, and
    more slowly where it is not. Without prompts it stays as it is.
    """
    prompts = list(prompts[:PROMPTS])
    if not prompts:
        return system
    tried: dict[float, float] = {}  # scales, and how far from the goal they came
    for _ in range(ROUNDS):
        made = evaluations(pipe, profile, system, prompts, goal)
        tried[system.settings["scale"]] = abs(made / goal - 1)
        if min(tried.values()) <= NEAR:
            break
        system = replace(system, settings={**system.settings, "scale": system.settings["scale"] * (made / goal) ** 4})
    return replace(system, settings={**system.settings, "scale": min(tried, key=tried.__getitem__)})
