"""How the autoencoder learns: pictures to latents and back, then the decoder alone, for as long as one likes."""

import math
from pathlib import Path
from typing import cast

import torch
from diffusers import AutoencoderKL
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
from torch import nn

from . import models, world
from .trainer import Stage, fit
from .training_data import HELD_OUT_SEED, Settings, fresh_scenes

LATENT_NOISE, DECODER_NOISE = 0.03, 0.05  # painted latents are never quite clean


def encode(vae: AutoencoderKL, pictures: torch.Tensor) -> DiagonalGaussianDistribution:
    """Pictures (N, 3, H, W) in [-1, 1] to the distribution of their latents."""
    return vae.encode(pictures, return_dict=False)[0]


def _decode(vae: AutoencoderKL, latents: torch.Tensor) -> torch.Tensor:
    """Latents (N, 4, h, w) to pictures (N, 3, H, W) about [-1, 1]."""
    return vae.decode(cast("torch.FloatTensor", latents), return_dict=False)[0]


def reconstruction(decoded: torch.Tensor, images: torch.Tensor) -> dict[str, torch.Tensor]:
    """Squared and absolute error of pixels, and that of differences between neighbours, which keeps edges sharp."""
    error = decoded.float() - images
    edges = error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean()
    return {"squares": 2 * error.square().mean(), "pixels": 0.5 * error.abs().mean(), "edges": 0.25 * edges}


@torch.inference_mode()
def peak_signal_to_noise(model: AutoencoderKL, count: int = 256, seed: int = HELD_OUT_SEED) -> float:
    """Decibels between held-out scenes and what becomes of them, over all pixels."""
    device, errors = model.device, []
    for pictures in world.draw(world.sample_scenes(count, seed), device=device).split(32):
        decoded = _decode(model, encode(model, pictures * 2 - 1).mean) / 2 + 0.5
        errors.append((decoded.clamp(0, 1) - pictures).square().mean((1, 2, 3)))
    return -10 * math.log10(torch.cat(errors).mean().item())


@torch.inference_mode()
def scale_latents(model: AutoencoderKL) -> None:
    """Note the factor that gives latents unit variance where Stable Diffusion's pipeline looks for it."""
    pictures = world.draw(world.sample_scenes(256, seed=0), device=model.device) * 2 - 1
    latents = torch.cat([encode(model, part).mean for part in pictures.split(32)])
    model.register_to_config(scaling_factor=round(1 / latents.std().item(), 5))


def _pictures(step: int, stage: Stage, seed: int, device: torch.device) -> torch.Tensor:
    pictures = world.draw(fresh_scenes(step, stage.batch, seed), device=device) * 2 - 1
    return pictures.to(memory_format=torch.channels_last)


def train_autoencoder(
    settings: Settings, work: Path, device: torch.device, model: AutoencoderKL | None = None, finish: bool = False
) -> tuple[AutoencoderKL, dict]:
    """Reconstruction and a light pull of the latents to a normal distribution; ``model`` is one to go on from."""
    model, stage = model or models.build_autoencoder(), settings.autoencoder

    def loss(step: int, generator: torch.Generator) -> dict[str, torch.Tensor]:
        images = _pictures(step, stage, settings.seed, device)
        posterior = encode(model, images)
        noise = torch.randn(posterior.mean.shape, generator=generator).to(device)
        decoded = _decode(model, posterior.mean + (posterior.var + LATENT_NOISE**2).sqrt() * noise)
        return {**reconstruction(decoded, images), "kl": 1e-4 * posterior.kl().mean() / models.IMAGE_SIZE}

    report = fit("autoencoder", model, loss, stage, settings.seed, work, device, finish)
    scale_latents(model)
    report["held_out_psnr_db"] = round(peak_signal_to_noise(model), 2)
    return model, report


def train_decoder(
    model: AutoencoderKL, settings: Settings, work: Path, device: torch.device, finish: bool = False
) -> dict:
    """The decoder alone: the painter learns the encoder's latents, so only what they are turned into may change."""
    stage = settings.decoder
    nn.Module.to(model, device)  # in place; the hints of diffusers' own ``to`` lack the model

    def loss(step: int, generator: torch.Generator) -> dict[str, torch.Tensor]:
        images = _pictures(step, stage, settings.seed + 1, device)
        with torch.no_grad():
            latents = encode(model, images).mean
        noise = torch.randn(latents.shape, generator=generator).to(device)
        return reconstruction(_decode(model, latents + DECODER_NOISE * noise), images)

    report = fit("decoder", model.decoder, loss, stage, settings.seed, work, device, finish)
    report["held_out_psnr_db"] = round(peak_signal_to_noise(model), 2)
    return report
