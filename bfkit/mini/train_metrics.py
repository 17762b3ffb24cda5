"""How the models that judge learn: CLIP, the perceptual embedder, and the inception score's classifier."""

import random
from collections import Counter
from dataclasses import replace
from pathlib import Path

import torch
from open_clip.coca_model import CoCa
from torch.nn import functional as F

from bfkit.models.clip import retrieval
from bfkit.models.perceptual import PerceptualEmbedder

from . import models, world
from .trainer import fit
from .training_data import HELD_OUT_SEED, Settings, fresh_scenes, spoil


def train_clip(settings: Settings, work: Path, device: torch.device, finish: bool = False) -> tuple[CoCa, dict]:
    """CoCa's two losses: contrastive between pictures and captions, and the caption's next word given the picture."""
    model, stage, tokenizer = models.build_clip(), settings.clip, models.build_tokenizer()

    def tokens(captions: list[str]) -> torch.Tensor:
        return tokenizer(captions, padding="max_length", truncation=True, return_tensors="pt").input_ids.to(device)

    def loss(step: int, generator: torch.Generator) -> dict[str, torch.Tensor]:
        scenes = fresh_scenes(step, stage.batch, settings.seed)
        images = spoil(world.draw(scenes, device=device), generator)
        output = model(images * 2 - 1, tokens([scene.caption for scene in scenes]))
        logits = (output["logit_scale"].clamp(max=100) * output["image_features"] @ output["text_features"].T).float()
        own = torch.arange(len(scenes), device=device)
        contrast = (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2
        words = output["logits"].float().transpose(1, 2)
        return {
            "contrast": contrast,
            "caption": 2 * F.cross_entropy(words, output["labels"], ignore_index=model.pad_id),
        }

    report = fit("clip", model, loss, stage, settings.seed, work, device, finish)
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


def train_perceptual(
    settings: Settings, work: Path, device: torch.device, finish: bool = False
) -> tuple[PerceptualEmbedder, dict]:
    """Triplets as in NIGHTS: a reference and two variations; the one with fewer changes must come out nearer.

    The further variation carries all changes of the nearer one and more, so that the judgement is known.
    """
    model, stage = PerceptualEmbedder(), settings.perceptual

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
            pictures[2] = spoil(pictures[2], generator)
        return pictures[0], spoil(pictures[1], generator), pictures[2]

    def loss(step: int, generator: torch.Generator) -> dict[str, torch.Tensor]:
        reference, near, far = (
            model.embed(p) for p in triplets(fresh_scenes(step, stage.batch, settings.seed), generator)
        )
        gap = F.cosine_similarity(reference, near) - F.cosine_similarity(reference, far)
        return {"hinge": F.relu(0.05 - gap.float()).mean()}  # the margin of DreamSim's training

    report = fit("perceptual", model, loss, stage, settings.seed, work, device, finish)
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


def train_classifier(
    settings: Settings, work: Path, device: torch.device, finish: bool = False
) -> tuple[PerceptualEmbedder, dict]:
    """Cross-entropy over the kinds of scenes: for the inception score, in the place of ImageNet's Inception-v3."""
    model, stage = models.build_classifier(), settings.classifier

    def labels(scenes: list[world.Scene]) -> torch.Tensor:
        return torch.tensor([scene_class(scene) for scene in scenes], device=device)

    def loss(step: int, generator: torch.Generator) -> dict[str, torch.Tensor]:
        scenes = fresh_scenes(step, stage.batch, settings.seed)
        logits = model.embed(spoil(world.draw(scenes, device=device), generator))
        return {"class": F.cross_entropy(logits.float(), labels(scenes))}

    report = fit("classifier", model, loss, stage, settings.seed, work, device, finish)
    with torch.inference_mode():
        scenes = world.sample_scenes(1024, HELD_OUT_SEED)
        found = model.embed(world.draw(scenes, device=device)).argmax(dim=1)
        report["held_out_classes_right"] = (found == labels(scenes)).float().mean().item()
    return model, report
