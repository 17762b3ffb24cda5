"""What all of the miniature's models learn from: scenes never seen twice, and how long each model learns."""

import random
from dataclasses import dataclass, replace

import torch
from torch.nn import functional as F

from . import world
from .trainer import Stage

TRAIN_SEED, HELD_OUT_SEED = 1, 2  # of the scenes: nothing is ever measured on scenes that were trained on


@dataclass(frozen=True)
class Settings:
    """The whole training; the defaults fit two CPU cores without bfloat16 in about a day."""

    seed: int = 0
    autoencoder: Stage = Stage(steps=12_000, batch=16, rate=1e-3, average=0.995, cool=1_500)
    decoder: Stage = Stage(steps=12_000, batch=16, rate=1e-3, average=0.995, cool=2_000)
    text: Stage = Stage(steps=4_000, batch=128, rate=1e-3, decay=0.05, cool=300)
    clip: Stage = Stage(steps=3_200, batch=128, rate=1e-3, decay=0.05, cool=600)
    perceptual: Stage = Stage(steps=5_000, batch=64, rate=1e-3, cool=800)
    classifier: Stage = Stage(steps=4_000, batch=64, rate=1e-3, cool=1_200)
    judge: Stage = Stage(steps=8_000, batch=64, rate=1.5e-3, average=0.995, cool=600)
    diffusion: Stage = Stage(steps=60_000, batch=64, rate=6e-4, average=0.999, warm=300, cool=3_000)
    scenes: int = 500_000  # that the painter learns from at most; it starts with the first few and gets fresh ones
    first_scenes: int = 80_000
    fresh_scenes: int = 1  # a step and process
    centred: float = 0.5  # share of noise levels drawn about log-SNR 0 instead of evenly over the timesteps
    immiscible: bool = True  # noise is dealt to the pictures of a batch so that it moves them least (arXiv 2406.12303)
    compiled: bool = True  # the painter's network, by torch.compile


def shared(settings: Settings, part: str | None, processes: int) -> Settings:
    """The settings with one part's batches divided among processes."""
    if part is None or processes == 1:
        return settings
    stage: Stage = getattr(settings, part)
    return replace(settings, **{part: replace(stage, batch=stage.batch // processes)})


def fresh_scenes(step: int, batch: int, seed: int, detailed: bool = False) -> list[world.Scene]:
    """The scenes of one step: no scene is seen twice. ``detailed`` captions say all that words can."""
    scenes = world.sample_scenes(batch, seed=(seed + TRAIN_SEED) * 10_000_019 + step)
    if not detailed:
        return scenes
    rng = random.Random(step)
    return [replace(scene, caption=world.describe(scene, rng, detailed=True)) for scene in scenes]


def spoil(images: torch.Tensor, generator: torch.Generator, least: float = 0.0) -> torch.Tensor:
    """Slightly blurred and noisy pictures, as a decoder makes them, so that no model clings to perfect edges."""
    amount = least + (1 - least) * torch.rand((len(images), 1, 1, 1), generator=generator).to(images.device)
    blurred = F.avg_pool2d(F.pad(images, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    noise = torch.randn(images.shape, generator=generator).to(images.device)
    return (images + (blurred - images) * amount + 0.03 * amount * noise).clamp(0, 1)
