"""How the models that paint learn: the autoencoder, and the text encoder with its UNet."""

import math
import random
from pathlib import Path
from typing import cast

import torch
from diffusers import AutoencoderKL
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional as F
from tqdm.auto import tqdm

from . import models, world
from .trainer import Stage, fit
from .training_data import HELD_OUT_SEED, TRAIN_SEED, Settings, fresh_scenes

DECODER_NOISE = 0.05


def _encode(vae: AutoencoderKL, images: torch.Tensor) -> DiagonalGaussianDistribution:
    """Pictures (N, 3, H, W) in [-1, 1] to the distribution of their latents."""
    return vae.encode(images, return_dict=False)[0]


def _decode(vae: AutoencoderKL, latents: torch.Tensor) -> torch.Tensor:
    """Latents (N, 4, h, w) to pictures (N, 3, H, W) about [-1, 1]."""
    return vae.decode(cast("torch.FloatTensor", latents), return_dict=False)[0]


def _reconstruction(decoded: torch.Tensor, images: torch.Tensor) -> dict[str, torch.Tensor]:
    """Absolute error of pixels and of the differences between neighbours, which keeps edges sharp."""
    error = decoded.float() - images
    edges = error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean()
    return {"pixels": error.abs().mean(), "edges": 0.5 * edges}


def train_autoencoder(settings: Settings, work: Path, device: torch.device) -> tuple[AutoencoderKL, dict]:
    """Reconstruction and a light pull of the latents to a normal distribution; then the decoder alone, for longer."""
    model = models.build_autoencoder()

    def images_of(step: int, stage: Stage, seed: int) -> torch.Tensor:
        return world.draw(fresh_scenes(step, stage.batch, seed), device=device) * 2 - 1

    def loss(step: int, generator: torch.Generator) -> dict[str, torch.Tensor]:
        images = images_of(step, settings.autoencoder, settings.seed)
        posterior = _encode(model, images)
        noise = torch.randn(posterior.mean.shape, generator=generator).to(device)
        decoded = _decode(model, posterior.mean + posterior.std * noise)
        return {**_reconstruction(decoded, images), "kl": 1e-4 * posterior.kl().mean() / models.IMAGE_SIZE}

    report = fit("autoencoder", model, loss, settings.autoencoder, settings.seed, work, device)
    with torch.inference_mode():
        latents = _encode(model, world.draw(world.sample_scenes(256, HELD_OUT_SEED), device=device) * 2 - 1).mean
    model.register_to_config(scaling_factor=round(1 / latents.std().item(), 5))

    def decoder_loss(step: int, generator: torch.Generator) -> dict[str, torch.Tensor]:
        images = images_of(step, settings.decoder, settings.seed + 1)
        with torch.no_grad():
            latents = _encode(model, images).mean
        noise = torch.randn(latents.shape, generator=generator).to(device)
        decoded = _decode(model, latents + DECODER_NOISE * noise)  # painted latents are never quite clean
        return _reconstruction(decoded, images)

    # the denoiser learns the encoder's latents: from here on only what they are turned into may change
    more = fit("decoder", model.decoder, decoder_loss, settings.decoder, settings.seed, work, device)
    with torch.inference_mode():
        images = world.draw(world.sample_scenes(256, HELD_OUT_SEED), device=device)
        decoded = _decode(model, _encode(model, images * 2 - 1).mean) / 2 + 0.5
    error = (decoded.clamp(0, 1) - images).square().mean().item()
    report["seconds"] += more["seconds"]
    report["held_out_psnr_db"] = round(-10 * math.log10(error), 2)
    return model, report


def _latent_pool(vae: AutoencoderKL, settings: Settings, work: Path, device: torch.device) -> dict[str, torch.Tensor]:
    """Scenes drawn and encoded once, four wordings each: latents (N, 4, 16, 16), tokens (N, 4, 32)."""
    path = work / f"latents-{settings.scenes}.safetensors"
    if path.exists():
        return load_file(path)
    tokenizer, latents, tokens = models.build_tokenizer(), [], []
    for block in tqdm(range(settings.scenes // 500), desc="drawing and encoding scenes", mininterval=2.0):
        scenes = world.sample_scenes(500, seed=(settings.seed + TRAIN_SEED) * 10_000_019 - 1 - block)
        with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16):
            posterior = _encode(vae, world.draw(scenes, device=device) * 2 - 1)
        latents.append((posterior.mean * vae.config["scaling_factor"]).half().cpu())
        rng = random.Random(block)
        wordings = [world.describe(scene, rng) for scene in scenes for _ in range(4)]
        ids = tokenizer(wordings, padding="max_length", truncation=True, return_tensors="pt").input_ids
        tokens.append(ids.view(len(scenes), 4, -1).to(torch.uint8))
    pool = {"latents": torch.cat(latents), "tokens": torch.cat(tokens)}
    save_file(pool, path)
    return pool


class Denoiser(nn.Module):
    """Text encoder and UNet, trained together."""

    def __init__(self) -> None:
        super().__init__()
        self.text_encoder, self.unet = models.build_text_encoder(), models.build_unet()

    def forward(self, noisy: torch.Tensor, timesteps: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        return self.unet(noisy, timesteps, self.text_encoder(tokens).last_hidden_state).sample


def train_diffusion(vae: AutoencoderKL, settings: Settings, work: Path, device: torch.device) -> tuple[Denoiser, dict]:
    """Mean squared error of v (Salimans and Ho 2022) under Stable Diffusion's schedule; captions dropped one in ten."""
    model, stage = Denoiser(), settings.diffusion
    pool = _latent_pool(vae, settings, work, device)
    nothing = models.build_tokenizer()("", padding="max_length", return_tensors="pt").input_ids[0].to(torch.uint8)
    schedule = models.training_scheduler()

    def loss(step: int, generator: torch.Generator) -> dict[str, torch.Tensor]:
        rows = torch.randint(len(pool["latents"]), (stage.batch,), generator=generator)
        wording = torch.randint(pool["tokens"].shape[1], (stage.batch,), generator=generator)
        tokens = pool["tokens"][rows, wording]
        tokens[torch.rand(stage.batch, generator=generator) < 0.1] = nothing
        latents = pool["latents"][rows].float()
        noise = torch.randn(latents.shape, generator=generator)
        timesteps = torch.randint(1000, (stage.batch,), generator=generator)
        times = cast("torch.IntTensor", timesteps)  # what diffusers hints at; it takes int64
        noisy = schedule.add_noise(latents, noise, times).to(device)
        velocity = schedule.get_velocity(latents, noise, times).to(device)
        return {"v": F.mse_loss(model(noisy, timesteps.to(device), tokens.long().to(device)).float(), velocity)}

    return model, fit("diffusion", model, loss, stage, settings.seed, work, device)
