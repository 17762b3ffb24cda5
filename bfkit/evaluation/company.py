"""Does a picture depend on what it is drawn with? The same prompt and seed alone, and in batches of others."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from diffusers import DiffusionPipeline

from bfkit.profiles import Profile
from bfkit.sampling.generate import generate

LEVELS = 255  # grey levels of a picture as a file


def company(pipe: DiffusionPipeline, profile: Profile, prompts: Sequence[str], steps: int) -> dict[str, float]:
    """The largest difference of a pixel, in grey levels, between each prompt's picture drawn alone and in company.

    ``together``: all prompts in one batch. ``one_by_one``: asked for together, in the reverse order, with a batch of
    one. Matrix products and convolutions are summed in another order for another batch, so that the first is some
    rounding error, carried through the steps; the second is zero, since nothing is computed that differs.
    """
    seeds = list(range(len(prompts)))
    alone = [
        generate(pipe, [text], steps, profile=profile, seeds=[seed])[0]
        for text, seed in zip(prompts, seeds, strict=True)
    ]
    all_at_once = replace(profile, batch=len(prompts))
    one_by_one = replace(profile, batch=1)
    together = generate(pipe, prompts, steps, profile=all_at_once, seeds=seeds)
    backwards = generate(pipe, prompts[::-1], steps, profile=one_by_one, seeds=seeds[::-1]).flip(0)

    def largest(others: torch.Tensor) -> float:
        return LEVELS * float((torch.stack(alone) - others).abs().max())

    return {"together": largest(together), "one_by_one": largest(backwards)}
