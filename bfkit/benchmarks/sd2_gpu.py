"""Stable Diffusion 2's architecture on a GPU, with random weights: what it costs does not depend on them."""

import time
from dataclasses import replace
from typing import Any

import torch
from diffusers import DiffusionPipeline, EulerDiscreteScheduler, StableDiffusionPipeline

from bfkit import paper
from bfkit.devices import synchronize
from bfkit.models.architectures import build_unet, build_vae
from bfkit.models.pipelines import denoiser, use_scheduler
from bfkit.profiles import Profile, get_profile
from bfkit.sampling import cost, generate
from bfkit.sampling.conditioning import Conditioning
from bfkit.sampling.energy import EnergyMeter
from bfkit.sampling.hooks import replaced

PLATEAU_STEPS = 23  # what the paper's times say OURS takes: 2.89 of 8.00 s at 65 steps
NOT_MEASURED = "not measured"
UNITS = {
    "plain UNet evaluations": "1/s",
    "UNet evaluations": "1/s",
    "UNet evaluations, ours / plain": "",
    "bf16 matrix rate": "TFLOP/s",
    "UNet's share of the bf16 matrix rate": "",
    f"image at {paper.REFERENCE_STEPS} steps": "s",
    f"image at {PLATEAU_STEPS} steps": "s",
    f"energy of an image at {paper.REFERENCE_STEPS} steps": "J",
    f"energy of an image at {PLATEAU_STEPS} steps": "J",
    "peak memory": "GiB",
}


def build_pipeline(
    unet: torch.nn.Module, device: torch.device, dtype: torch.dtype, vae: torch.nn.Module | None = None
) -> DiffusionPipeline:
    """A Stable Diffusion pipeline around a UNet, its autoencoder at random, without a text model: embeddings go in."""
    scheduler = EulerDiscreteScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
        steps_offset=1,
    )
    absent = dict.fromkeys(("text_encoder", "tokenizer", "safety_checker", "feature_extractor"))
    parts: dict[str, Any] = {
        "vae": vae or build_vae("sd2", device, dtype),
        "unet": unet,
        "scheduler": scheduler,
        **absent,
    }
    pipe = StableDiffusionPipeline(**parts, requires_safety_checker=False)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def conditioning(pipe: DiffusionPipeline, count: int) -> Conditioning:
    """Random text embeddings in the right shapes, a seed a picture."""
    shape = (count, 77, pipe.unet.config.cross_attention_dim)
    texts = {
        name: torch.randn(shape, device=pipe.device, dtype=pipe.unet.dtype)
        for name in ("prompt_embeds", "negative_prompt_embeds")
    }
    return Conditioning(texts, tuple(torch.Generator().manual_seed(i).get_state() for i in range(count)))


def evaluations_a_second(pipe: DiffusionPipeline, profile: Profile, batch: int, steps: int = 10) -> float:
    """Guided denoiser evaluations a second, counted once a picture; decoding is left out."""
    given, module, times = conditioning(pipe, batch), denoiser(pipe, profile), []
    forward = module.forward

    def timed(*args: object, **kwargs: object) -> object:
        synchronize(pipe.device)
        began = time.perf_counter()
        output = forward(*args, **kwargs)
        synchronize(pipe.device)
        times.append(time.perf_counter() - began)
        return output

    with replaced(module, "forward", timed):
        generate.sample(pipe, profile, given, 3)  # warm-up, and compilation
        times.clear()
        generate.sample(pipe, profile, given, steps)
    return batch * len(times) / sum(times)


def matrix_rate(device: torch.device, size: int = 8192, repeats: int = 20) -> float:
    """TFLOP/s of a large bf16 matrix product: what the hardware gives when nothing else is asked of it."""
    left, right = (torch.randn((size, size), device=device, dtype=torch.bfloat16) for _ in range(2))
    for _ in range(3):
        torch.matmul(left, right)
    synchronize(device)
    began = time.perf_counter()
    for _ in range(repeats):
        torch.matmul(left, right)
    synchronize(device)
    return 2 * size**3 * repeats / (time.perf_counter() - began) / 1e12


def measure(device: torch.device, batch: int = 16) -> dict[str, dict[str, float | str]]:
    """Value and unit of everything in ``UNITS``; "not measured" if the device is no GPU, or nothing reads its energy.

    The plain call is diffusers' own in the same precision, one picture at a time; ours is batched, channels-last and
    compiled.
    """
    found: dict[str, float | str] = dict.fromkeys(UNITS, NOT_MEASURED)
    if device.type == "cuda":
        found |= _measure(device, batch, build_unet("sd2", device, torch.bfloat16))
    return {name: {"value": value, "unit": UNITS[name]} for name, value in found.items()}


@torch.inference_mode()
def _measure(device: torch.device, batch: int, unet: torch.nn.Module, size: int = paper.IMAGE_SIZE) -> dict:
    profile = replace(get_profile("sd2"), dtype="bfloat16", image_size=size, batch=batch)
    pipe = build_pipeline(unet, device, torch.bfloat16)
    use_scheduler(pipe, profile)
    tflops = cost.tflops_of(unet, *cost.first_inputs(pipe, profile, conditioning(pipe, 1)))
    plain = evaluations_a_second(pipe, profile, 1)
    unet.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]  missing from torch's overloads
    unet.forward = torch.compile(unet.forward)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    ours, rate = evaluations_a_second(pipe, profile, batch), matrix_rate(device)
    found: dict[str, float | str] = {
        "plain UNet evaluations": plain,
        "UNet evaluations": ours,
        "UNet evaluations, ours / plain": ours / plain,
        "bf16 matrix rate": rate,
        "UNet's share of the bf16 matrix rate": ours * tflops / rate,
    }
    for steps in (paper.REFERENCE_STEPS, PLATEAU_STEPS):
        given = conditioning(pipe, batch)
        with EnergyMeter(device) as used:
            generate.sample(pipe, profile, given, steps)
        found[f"image at {steps} steps"] = used.seconds / batch
        found[f"energy of an image at {steps} steps"] = NOT_MEASURED if used.joules is None else used.joules / batch
    if device.type == "cuda":
        found["peak memory"] = torch.cuda.max_memory_allocated(device) / 2**30
    return found
