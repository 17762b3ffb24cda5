"""What each of the miniature's models learns from: its data, its loss, and how well it does on scenes held out."""

import math
import random
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from diffusers import AutoencoderKL
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional as F
from tqdm.auto import tqdm

from ..evaluate import retrieval
from . import models, world
from .fit import Stage, fit

DECODER_NOISE = 0.05
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


def _scenes(step: int, batch: int, seed: int) -> list[world.Scene]:
    """The scenes of one step: no scene is seen twice."""
    return world.sample_scenes(batch, seed=(seed + TRAIN_SEED) * 10_000_019 + step)


def _spoil(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Slightly blurred and noisy pictures, as a decoder makes them, so that no model clings to perfect edges."""
    amount = torch.rand((len(images), 1, 1, 1), generator=generator).to(images.device)
    blurred = F.avg_pool2d(F.pad(images, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    noise = torch.randn(images.shape, generator=generator).to(images.device)
    return (images + (blurred - images) * amount + 0.03 * amount * noise).clamp(0, 1)


# --- the models ---------------------------------------------------------------------------------------------------


def _reconstruction(decoded: torch.Tensor, images: torch.Tensor) -> dict[str, torch.Tensor]:
    """Absolute error of pixels and of the differences between neighbours, which keeps edges sharp."""
    error = decoded.float() - images
    edges = error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean()
    return {"pixels": error.abs().mean(), "edges": 0.5 * edges}


def train_autoencoder(settings: Settings, work: Path, device: torch.device) -> tuple[AutoencoderKL, dict]:
    """Reconstruction and a light pull of the latents to a normal distribution; then the decoder alone, for longer."""
    model = models.build_autoencoder()

    def images_of(step: int, stage: Stage, seed: int) -> torch.Tensor:
        return world.draw(_scenes(step, stage.batch, seed), device=device) * 2 - 1

    def loss(step: int, generator: torch.Generator) -> dict[str, torch.Tensor]:
        images = images_of(step, settings.autoencoder, settings.seed)
        posterior = model.encode(images).latent_dist
        noise = torch.randn(posterior.mean.shape, generator=generator).to(device)
        decoded = model.decode(posterior.mean + posterior.std * noise).sample
        return {**_reconstruction(decoded, images), "kl": 1e-4 * posterior.kl().mean() / models.IMAGE_SIZE}

    report = fit("autoencoder", model, loss, settings.autoencoder, settings.seed, work, device)
    with torch.inference_mode():
        latents = model.encode(
            world.draw(world.sample_scenes(256, HELD_OUT_SEED), device=device) * 2 - 1
        ).latent_dist.mean
    model.register_to_config(scaling_factor=round(1 / latents.std().item(), 5))

    def decoder_loss(step: int, generator: torch.Generator) -> dict[str, torch.Tensor]:
        images = images_of(step, settings.decoder, settings.seed + 1)
        with torch.no_grad():
            latents = model.encode(images).latent_dist.mean
        noise = torch.randn(latents.shape, generator=generator).to(device)
        decoded = model.decode(latents + DECODER_NOISE * noise).sample  # painted latents are never quite clean
        return _reconstruction(decoded, images)

    # the denoiser learns the encoder's latents: from here on only what they are turned into may change
    more = fit("decoder", model.decoder, decoder_loss, settings.decoder, settings.seed, work, device)
    with torch.inference_mode():
        images = world.draw(world.sample_scenes(256, HELD_OUT_SEED), device=device)
        decoded = model.decode(model.encode(images * 2 - 1).latent_dist.mean).sample / 2 + 0.5
    error = (decoded.clamp(0, 1) - images).square().mean().item()
    report["seconds"] += more["seconds"]
    report["held_out_psnr_db"] = round(-10 * math.log10(error), 2)
    return model, report


def train_clip(settings: Settings, work: Path, device: torch.device) -> tuple[nn.Module, dict]:
    """CoCa's two losses: contrastive between pictures and captions, and the caption's next word given the picture."""
    model, stage, tokenizer = models.build_clip(), settings.clip, models.build_tokenizer()

    def tokens(captions: list[str]) -> torch.Tensor:
        return tokenizer(captions, padding="max_length", truncation=True, return_tensors="pt").input_ids.to(device)

    def loss(step: int, generator: torch.Generator) -> dict[str, torch.Tensor]:
        scenes = _scenes(step, stage.batch, settings.seed)
        images = _spoil(world.draw(scenes, device=device), generator)
        output = model(images * 2 - 1, tokens([scene.caption for scene in scenes]))
        logits = (output["logit_scale"].clamp(max=100) * output["image_features"] @ output["text_features"].T).float()
        own = torch.arange(len(scenes), device=device)
        contrast = (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2
        words = output["logits"].float().transpose(1, 2)
        return {
            "contrast": contrast,
            "caption": 2 * F.cross_entropy(words, output["labels"], ignore_index=model.pad_id),
        }

    report = fit("clip", model, loss, stage, settings.seed, work, device)
    with torch.inference_mode():
        scenes = world.sample_scenes(1024, HELD_OUT_SEED)
        images = world.draw(scenes, device=device) * 2 - 1
        report["held_out_retrieval_of_32"] = retrieval(
            model.encode_image(images), model.encode_text(tokens([scene.caption for scene in scenes]))
        )
    return model, report


def _edit(scene: world.Scene, rng: random.Random) -> world.Scene:
    """The scene with one thing about it changed: a thing moved, recoloured, reshaped or gone, or another ground."""
    things = list(scene.things)
    kind = rng.choice(["move", "color", "shape", "drop", "ground"]) if things else "ground"
    if kind == "ground":
        return replace(scene, ground=world.sample_scenes(1, rng.randrange(2**31))[0].ground)
    index = rng.randrange(len(things))
    thing = things.pop(index)
    if kind == "move":
        thing = replace(thing, x=rng.uniform(0.15, 0.85), y=rng.uniform(0.15, 0.85))
    elif kind == "color":
        thing = replace(thing, color=rng.choice(list(world.COLORS)))
    elif kind == "shape":
        thing = replace(thing, shape=rng.choice(world.SHAPE_NAMES))
    return replace(scene, things=tuple(things if kind == "drop" else [*things[:index], thing, *things[index:]]))


def train_perceptual(settings: Settings, work: Path, device: torch.device) -> tuple[nn.Module, dict]:
    """Triplets as in NIGHTS: a reference and two variations; the one with fewer changes must come out nearer.

    The further variation carries all changes of the nearer one and more, so that the judgement is known.
    """
    model, stage = models.PerceptualEmbedder(), settings.perceptual

    def triplets(scenes: list[world.Scene], generator: torch.Generator) -> tuple[torch.Tensor, ...]:
        rng = random.Random(int(torch.randint(2**31, (1,), generator=generator)))
        near, far = [], []
        for scene in scenes:
            for _ in range(rng.choice([0, 1, 1, 2])):
                scene = _edit(scene, rng)
            near.append(scene)
            for _ in range(rng.choice([0, 1, 2, 4])):
                scene = _edit(scene, rng)
            far.append(scene)
        pictures = [world.draw(group, device=device) for group in (scenes, near, far)]
        # the further one is spoilt more as well: blur and noise count, little by little
        for _ in range(2):
            pictures[2] = _spoil(pictures[2], generator)
        return pictures[0], _spoil(pictures[1], generator), pictures[2]

    def loss(step: int, generator: torch.Generator) -> dict[str, torch.Tensor]:
        reference, near, far = (model.embed(p) for p in triplets(_scenes(step, stage.batch, settings.seed), generator))
        gap = F.cosine_similarity(reference, near) - F.cosine_similarity(reference, far)
        return {"hinge": F.relu(0.05 - gap.float()).mean()}  # the margin of DreamSim's training

    report = fit("perceptual", model, loss, stage, settings.seed, work, device)
    with torch.inference_mode():
        generator = torch.Generator().manual_seed(HELD_OUT_SEED)
        reference, near, far = triplets(world.sample_scenes(1024, HELD_OUT_SEED), generator)
        report["held_out_triplets_right"] = (model(reference, near) < model(reference, far)).float().mean().item()
    return model, report


def scene_class(scene: world.Scene) -> int:
    """What a classifier is to tell of a scene: its ground and its most frequent shape, the largest if they tie."""
    counts = Counter(thing.shape for thing in scene.things)
    main = max(scene.things, key=lambda thing: (counts[thing.shape], thing.radius), default=None)
    return models.CLASSES.index((scene.ground.kind, main.shape if main else "nothing"))


def train_classifier(settings: Settings, work: Path, device: torch.device) -> tuple[nn.Module, dict]:
    """Cross-entropy over the kinds of scenes: for the inception score, in the place of ImageNet's Inception-v3."""
    model, stage = models.build_classifier(), settings.classifier

    def labels(scenes: list[world.Scene]) -> torch.Tensor:
        return torch.tensor([scene_class(scene) for scene in scenes], device=device)

    def loss(step: int, generator: torch.Generator) -> dict[str, torch.Tensor]:
        scenes = _scenes(step, stage.batch, settings.seed)
        logits = model.embed(_spoil(world.draw(scenes, device=device), generator))
        return {"class": F.cross_entropy(logits.float(), labels(scenes))}

    report = fit("classifier", model, loss, stage, settings.seed, work, device)
    with torch.inference_mode():
        scenes = world.sample_scenes(1024, HELD_OUT_SEED)
        found = model.embed(world.draw(scenes, device=device)).argmax(dim=1)
        report["held_out_classes_right"] = (found == labels(scenes)).float().mean().item()
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
            posterior = vae.encode(world.draw(scenes, device=device) * 2 - 1).latent_dist
        latents.append((posterior.mean * vae.config.scaling_factor).half().cpu())
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
        noisy = schedule.add_noise(latents, noise, timesteps).to(device)
        velocity = schedule.get_velocity(latents, noise, timesteps).to(device)
        return {"v": F.mse_loss(model(noisy, timesteps.to(device), tokens.long().to(device)).float(), velocity)}

    return model, fit("diffusion", model, loss, stage, settings.seed, work, device)
