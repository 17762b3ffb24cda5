"""How the painter learns: a UNet takes the noise out of encoded scenes, told by a frozen text encoder."""

import hashlib
import os
import random
from pathlib import Path
from typing import cast

import torch
from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
from safetensors.torch import load_file, save_file
from scipy.optimize import linear_sum_assignment
from torch import nn
from torch.nn import functional as F
from transformers import CLIPTextModel

from . import models, world
from .train_autoencoder import encode
from .trainer import fit
from .training_data import TRAIN_SEED, Settings

BLOCK, WORDINGS = 500, 4  # scenes that are encoded at once, and how many captions each gets
NO_TEXT = 0.1  # of the captions are dropped, for classifier-free guidance


def _fingerprint(module: nn.Module) -> str:
    """Eight digits that change with the weights."""
    digest = hashlib.sha256()
    for value in module.state_dict().values():
        digest.update(value.detach().float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:8]


class LatentPool:
    """Scenes drawn, encoded and kept in files, block after block: latents (N, 4, 16, 16), tokens (N, 4, 32).

    It grows while the painter learns; which scenes a step may see depends on the step alone.
    """

    def __init__(self, vae: AutoencoderKL, settings: Settings, work: Path, device: torch.device) -> None:
        nn.Module.to(vae, device).eval()  # in place; the hints of diffusers' own ``to`` lack the model
        self.vae, self.settings, self.device = vae, settings, device
        self.folder = work / f"latents-{_fingerprint(vae.encoder)}"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.tokenizer = models.build_tokenizer()
        self.blocks: list[dict[str, torch.Tensor]] = []

    @torch.inference_mode()
    def _block(self, index: int) -> dict[str, torch.Tensor]:
        path = self.folder / f"{index:05d}.safetensors"
        if path.exists():
            return load_file(path)
        scenes = world.sample_scenes(BLOCK, seed=(self.settings.seed + TRAIN_SEED) * 10_000_019 - 1 - index)
        latents = [
            encode(self.vae, world.draw(scenes[i : i + 50], device=self.device) * 2 - 1).mean
            for i in range(0, BLOCK, 50)
        ]
        rng = random.Random(index)
        wordings = [world.describe(scene, rng, detailed=i % 2 == 1) for scene in scenes for i in range(WORDINGS)]
        ids = self.tokenizer(wordings, padding="max_length", truncation=True, return_tensors="pt").input_ids
        block = {
            "latents": (torch.cat(latents).float() * self.vae.config["scaling_factor"]).half().cpu().contiguous(),
            "tokens": ids.view(BLOCK, WORDINGS, -1).to(torch.uint8),
        }
        temporary = path.with_suffix(f".{os.getpid()}.tmp")  # other processes may be at the same block
        save_file(block, temporary)
        temporary.replace(path)
        return block

    def sample(self, step: int, batch: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """Latents (batch, 4, 16, 16) and tokens (batch, 32) of scenes that this step may see."""
        allowed = min(self.settings.scenes, self.settings.first_scenes + step * self.settings.fresh_scenes) // BLOCK
        while len(self.blocks) < max(1, allowed):
            self.blocks.append(self._block(len(self.blocks)))
        rows = torch.randint(max(1, allowed) * BLOCK, (batch,), generator=generator).tolist()
        wording = torch.randint(WORDINGS, (batch,), generator=generator).tolist()
        latents = torch.stack([self.blocks[row // BLOCK]["latents"][row % BLOCK] for row in rows])
        tokens = [self.blocks[row // BLOCK]["tokens"][row % BLOCK, w] for row, w in zip(rows, wording, strict=True)]
        return latents.float(), torch.stack(tokens)


def draw_timesteps(schedule: DDPMScheduler, count: int, centred: float, generator: torch.Generator) -> torch.Tensor:
    """Timesteps (count,) of which a share of ``centred`` have log-SNRs from Laplace(0, 1), the others come evenly.

    About log-SNR 0 shapes are decided, and a finer network is needed than at the ends (arXiv 2407.03297); the ends must
    be known all the same, since every picture begins at timestep 999.
    """
    clean = schedule.alphas_cumprod
    log_snr = (clean / (1 - clean)).log().flip(0).contiguous()  # rising
    uniform = torch.rand(count, generator=generator).clamp(1e-4, 1 - 1e-4) - 0.5
    laplace = -uniform.sign() * torch.log1p(-2 * uniform.abs())
    found = len(log_snr) - 1 - torch.searchsorted(log_snr, laplace).clamp(max=len(log_snr) - 1)
    even = torch.randint(len(log_snr), (count,), generator=generator)
    return torch.where(torch.rand(count, generator=generator) < centred, found, even)


def deal_noise(latents: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    """The noise of a batch in the order in which the squared distances to its latents sum up to the least."""
    order = linear_sum_assignment(torch.cdist(latents.flatten(1), noise.flatten(1)).square().numpy())[1]
    return noise[order]


def train_diffusion(
    vae: AutoencoderKL,
    text_encoder: CLIPTextModel,
    settings: Settings,
    work: Path,
    device: torch.device,
    unet: UNet2DConditionModel | None = None,
    finish: bool = False,
) -> tuple[UNet2DConditionModel, dict]:
    """Mean squared error of v (Salimans and Ho 2022) under Stable Diffusion's schedule; captions dropped one in ten.

    ``unet`` is a trained one to go on from, moments at rest.
    """
    unet, stage = unet or models.build_unet(), settings.diffusion
    pool = LatentPool(vae, settings, work, device)
    nn.Module.to(text_encoder, device).eval().requires_grad_(False)
    nothing = models.build_tokenizer()("", padding="max_length", return_tensors="pt").input_ids[0].to(torch.uint8)
    schedule = models.training_scheduler()
    # fused pointwise operations: 1.3 times as many pictures a second on two CPU cores, after two minutes of compiling
    forward = torch.compile(unet) if settings.compiled else unet

    def loss(step: int, generator: torch.Generator) -> dict[str, torch.Tensor]:
        latents, tokens = pool.sample(step, stage.batch, generator)
        tokens[torch.rand(stage.batch, generator=generator) < NO_TEXT] = nothing
        noise = torch.randn(latents.shape, generator=generator)
        if settings.immiscible:
            noise = deal_noise(latents, noise)
        timesteps = draw_timesteps(schedule, stage.batch, settings.centred, generator)
        times = cast("torch.IntTensor", timesteps)  # what diffusers hints at; it takes int64
        noisy = schedule.add_noise(latents, noise, times).to(device, memory_format=torch.channels_last)
        velocity = schedule.get_velocity(latents, noise, times).to(device)
        with torch.no_grad():
            text = text_encoder(tokens.long().to(device)).last_hidden_state
        return {"v": F.mse_loss(forward(noisy, timesteps.to(device), text).sample.float(), velocity)}

    return unet, fit("diffusion", unet, loss, stage, settings.seed, work, device, finish)
