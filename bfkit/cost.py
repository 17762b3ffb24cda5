"""What a picture costs: floating-point operations, counted by torch, and seconds, measured."""

import statistics
import time

import torch
from diffusers import DiffusionPipeline
from torch.utils.flop_counter import FlopCounterMode

from .profiles import Profile


@torch.inference_mode()
def tflops_per_evaluation(pipe: DiffusionPipeline, profile: Profile) -> float:
    """TFLOPs of one denoiser evaluation for one picture, guidance included; two operations a multiply-add."""
    inputs = _inputs(pipe, profile, 2 if profile.guidance > 1 else 1)
    with FlopCounterMode(display=False) as counter:
        pipe.unet(*inputs)
    return counter.get_total_flops() / 1e12


@torch.inference_mode()
def seconds_per_evaluation(pipe: DiffusionPipeline, profile: Profile, batch: int = 64, repeats: int = 5) -> float:
    """Median seconds of one denoiser evaluation a picture, ``batch`` at once, without guidance's second half."""
    inputs, times = _inputs(pipe, profile, batch), []
    for _ in range(repeats + 1):
        _synchronize(pipe)
        began = time.perf_counter()
        pipe.unet(*inputs)
        _synchronize(pipe)
        times.append((time.perf_counter() - began) / batch)
    return statistics.median(times[1:])


def _synchronize(pipe: DiffusionPipeline) -> None:
    if pipe.device.type == "cuda":
        torch.cuda.synchronize()


def _inputs(pipe: DiffusionPipeline, profile: Profile, batch: int) -> tuple[torch.Tensor, ...]:
    """Latents, timestep and text of the right shapes; their values do not change what a denoiser costs."""
    unet = pipe.unet
    side, kind = profile.image_size // pipe.vae_scale_factor, {"device": unet.device, "dtype": unet.dtype}
    latents = torch.zeros(batch, unet.config.in_channels, side, side, **kind)
    text = torch.zeros(batch, pipe.tokenizer.model_max_length, unet.config.cross_attention_dim, **kind)
    return latents, torch.tensor(500, device=unet.device), text
