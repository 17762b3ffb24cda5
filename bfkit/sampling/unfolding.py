"""A picture on its way: what it holds before each denoising step, and what the denoiser believes is behind the noise.

The latent that a step starts from is part picture, part noise. From it the denoiser says what the picture would be if
all the noise were gone, and the sampler goes a part of the way there: that is a denoising step.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import DiffusionPipeline

from bfkit.models.pipelines import picture_stage
from bfkit.profiles import Profile

from .conditioning import Conditioning, embed
from .generate import check_prompts, check_steps, denoise, drawn_in_parts, sample
from .hooks import replaced

MOST_MAPS, SIDE = 16, 96  # of a latent's channels that are shown, and pixels of what they are shown in, at least


@dataclass(frozen=True)
class Unfolding:
    """One picture in n steps, before each of them and at its end: n + 1 of everything, on the pipeline's device.

    ``holds`` are the latents as the denoiser sees them, ``believes`` what it takes to be behind the noise, of which the
    last is the finished picture's; ``held`` and ``believed`` are these as pictures (n + 1, 3, H, W) in [0, 1]. A label
    each in ``labels``.
    """

    holds: torch.Tensor
    believes: torch.Tensor
    held: torch.Tensor
    believed: torch.Tensor
    labels: tuple[str, ...]


@torch.inference_mode()
def unfold(pipe: DiffusionPipeline, profile: Profile, prompt: str, steps: int, seed: int | None = None) -> Unfolding:
    """Draw one picture and keep what it was on its way; ``seed`` defaults to the profile's first.

    ValueError for a bad prompt or step count.
    """
    conditioning = embed(pipe, profile, check_prompts([prompt]), [profile.seeds[0] if seed is None else seed])
    scheduler: Any = picture_stage(pipe, profile).scheduler
    own, holds, believes = scheduler.step, list[torch.Tensor](), list[torch.Tensor]()

    def watch(output: torch.Tensor, timestep: Any, latents: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        scale = getattr(scheduler, "scale_model_input", None)  # flow matching needs none
        holds.append(scale(latents, timestep) if scale else latents)
        stepped = own(output, timestep, latents, *args, **kwargs)
        believes.append(_belief(scheduler, stepped, latents, len(believes)).to(latents.dtype))
        return stepped

    with replaced(scheduler, "step", watch):
        end = denoise(pipe, profile, conditioning, check_steps(steps), "latent")
    ends = torch.cat([*holds, end]), torch.cat([*believes, end])
    held, believed = (decoded(pipe, profile, conditioning, latents) for latents in ends)
    labels = (*(f"before step {n}" for n in range(1, len(holds) + 1)), "finished")
    return Unfolding(*ends, held, believed, labels)


def _belief(scheduler: Any, stepped: Sequence[torch.Tensor], before: torch.Tensor, index: int) -> torch.Tensor:
    """Where a step was heading: the denoiser's guess of the picture without noise."""
    if len(stepped) > 1:  # Euler says it itself
        return stepped[1]
    if known := getattr(scheduler, "model_outputs", None):  # the DPM-Solvers keep it
        return known[-1]
    now, then = (scheduler.sigmas[index + at].to(before.device) for at in (0, 1))  # a straight line down to no noise
    return before - now * (stepped[0] - before) / (then - now)


def decoded(
    pipe: DiffusionPipeline, profile: Profile, conditioning: Conditioning, latents: torch.Tensor
) -> torch.Tensor:
    """The pictures (N, 3, H, W) on the CPU that latents (N, ...) stand for, by the pipeline's own way of decoding.

    ``conditioning`` is any of a single picture: each family's call wants one, and makes one evaluation, which is not
    used.
    """
    scheduler: Any = picture_stage(pipe, profile).scheduler

    def draw(part: Sequence[int]) -> torch.Tensor:
        with replaced(scheduler, "step", lambda *_, **__: (latents[list(part)],)):
            return sample(pipe, profile, conditioning.rows([0] * len(part)), 1).cpu()

    return torch.cat(list(drawn_in_parts(draw, range(len(latents)), pipe, profile)))


def maps(latents: torch.Tensor) -> torch.Tensor:
    """Latents (N, C, h, w) to be looked at: (N, 3, H, W) in [0, 1], their channels in grey, side by side.

    A transformer's row of patches (N, L, C) is laid out as the square that it is. Grey is 0, white 3 and black -3;
    each number is a square of pixels.
    """
    if latents.ndim == 3:
        side = math.isqrt(latents.shape[1])
        latents = latents.transpose(1, 2).unflatten(2, (side, side))
    channels = latents[:, :MOST_MAPS].float().cpu()
    across = math.ceil(math.sqrt(channels.shape[1]))
    grey = (0.5 + channels / 6).clamp(0, 1)
    blank = torch.ones((len(grey), across * math.ceil(grey.shape[1] / across) - grey.shape[1], *grey.shape[2:]))
    framed = torch.nn.functional.pad(torch.cat([grey, blank], dim=1), (0, 1, 0, 1), value=1.0)
    rows = framed.unflatten(1, (-1, across)).permute(0, 1, 3, 2, 4).flatten(3).flatten(1, 2)
    times = max(1, SIDE // rows.shape[2])
    large = rows.repeat_interleave(times, dim=1).repeat_interleave(times, dim=2)
    return large.unsqueeze(1).expand(-1, 3, -1, -1)


def nudged(latent: torch.Tensor, amounts: Sequence[float]) -> torch.Tensor:
    """Copies of a latent (1, ...), in each the numbers at its middle moved by an amount: (len(amounts), ...)."""
    copies = latent.repeat(len(amounts), *[1] * (latent.ndim - 1))
    moved = torch.as_tensor(amounts, dtype=latent.dtype, device=latent.device)
    if latent.ndim == 3:  # a row of patches: the one at the middle of the square
        side = math.isqrt(latent.shape[1])
        copies[:, side // 2 * side + side // 2] += moved[:, None]
    else:
        copies[:, 0, latent.shape[2] // 2, latent.shape[3] // 2] += moved
    return copies
