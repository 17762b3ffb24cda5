"""Tiny pipelines of every family, and what somebody would write with diffusers alone."""

import torch
from diffusers import DiffusionPipeline

from bfkit.mini.tiny import BUILDERS, SIZE, save_tiny
from bfkit.profiles import Profile

__all__ = ["BUILDERS", "SIZE", "plain_call", "save_tiny"]


def plain_call(pipe: DiffusionPipeline, profile: Profile, prompt: str, steps: int, seed: int) -> torch.Tensor:
    """One picture (3, H, W) in [0, 1] by the pipeline's own call, with as few options as it can be asked with."""
    options = {"use_resolution_binning": False} if profile.name == "pixart" else {}
    pictures = pipe(
        prompt,
        num_inference_steps=steps,
        generator=torch.Generator().manual_seed(seed),
        guidance_scale=profile.guidance,
        output_type="np",
        height=profile.image_size,
        width=profile.image_size,
        **options,
    ).images
    return torch.from_numpy(pictures[0]).permute(2, 0, 1)
