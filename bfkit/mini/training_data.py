"""What all of the miniature's models learn from: scenes never seen twice, and how long each model learns."""

from dataclasses import dataclass

import torch
from torch.nn import functional as F

from . import world
from .trainer import Stage

TRAIN_SEED, HELD_OUT_SEED = 1, 2  # of the scenes: nothing is ever measured on scenes that were trained on


@dataclass(frozen=True)
class Settings:
    """The whole training; the defaults fit two CPU cores in about two hours."""

    seed: int = 0
    scenes: int = 80_000
    autoencoder: Stage = Stage(steps=2_600, batch=16, rate=2e-3)
    decoder: Stage = Stage(steps=2_400, batch=16, rate=1.5e-3)
    clip: Stage = Stage(steps=1_000, batch=128, rate=1.5e-3, decay=0.05)
    perceptual: Stage = Stage(steps=1_200, batch=64, rate=1e-3)
    classifier: Stage = Stage(steps=1_500, batch=64, rate=2e-3)
    diffusion: Stage = Stage(steps=11_000, batch=32, rate=6e-4, average=0.999)


def fresh_scenes(step: int, batch: int, seed: int) -> list[world.Scene]:
    """The scenes of one step: no scene is seen twice."""
    return world.sample_scenes(batch, seed=(seed + TRAIN_SEED) * 10_000_019 + step)


def spoil(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Slightly blurred and noisy pictures, as a decoder makes them, so that no model clings to perfect edges."""
    amount = torch.rand((len(images), 1, 1, 1), generator=generator).to(images.device)
    blurred = F.avg_pool2d(F.pad(images, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    noise = torch.randn(images.shape, generator=generator).to(images.device)
    return (images + (blurred - images) * amount + 0.03 * amount * noise).clamp(0, 1)
