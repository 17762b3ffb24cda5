"""How the models that judge learn: CLIP, the perceptual embedder, and the inception score's classifier."""

import random
from collections import Counter
from dataclasses import replace
from pathlib import Path

import torch
from open_clip.coca_model import CoCa
from torch.nn import functional as F

from bfkit.models.clip import load_clip, retrieval
from bfkit.models.perceptual import PerceptualEmbedder

from . import models, world
from .captions import told_right
from .scene import COLORS, SHAPE_NAMES
from .trainer import fit
from .training_data import HELD_OUT_SEED, Settings, fresh_scenes, spoil

SHARPNESS = 20.0  # of cosines in the perceptual embedder's contrast


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


def captions_right(folder: Path, count: int = 500) -> dict[str, float]:
    """Of the captions that a saved CLIP writes of drawn pictures, the shares that name right what they name."""
    scenes = world.sample_scenes(count, HELD_OUT_SEED)
    said = load_clip(folder).caption(world.draw(scenes))
    told = [told_right(caption, scene) for caption, scene in zip(said, scenes, strict=True)]
    right = {part: [one[part] for one in told if part in one] for part in ("ground", "colors", "shapes")}
    return {f"held_out_captions_{part}_right": sum(own) / max(1, len(own)) for part, own in right.items()}


def _edited(scene: world.Scene, where: int | None, rng: random.Random) -> world.Scene:
    """The scene with one of its things moved, recoloured, reshaped or gone (None for now); or with another ground."""
    if where is None:
        while (ground := world.sample_scenes(1, rng.randrange(2**31))[0].ground) == scene.ground:
            pass
        return replace(scene, ground=ground)
    things: list[world.Thing | None] = list(scene.things)
    thing = scene.things[where]
    colors, shapes = ([one for one in of if one not in (thing.color, thing.shape)] for of in (COLORS, SHAPE_NAMES))
    x, y = (0.1 + (at - 0.1 + rng.uniform(0.2, 0.6)) % 0.8 for at in (thing.x, thing.y))
    things[where] = rng.choice([
        replace(thing, x=x, y=y), replace(thing, color=rng.choice(colors)), replace(thing, shape=rng.choice(shapes)),
        None])  # fmt: skip
    return replace(scene, things=tuple(things))


def _drawn(scenes: list[world.Scene], device: torch.device) -> torch.Tensor:
    return world.draw([replace(one, things=tuple(filter(None, one.things))) for one in scenes], device=device)


def _jogged(images: torch.Tensor, generator: torch.Generator, most: int = 2) -> torch.Tensor:
    """Each picture moved by a few pixels, as no eye minds it."""
    side, padded = images.shape[-1], F.pad(images, (most,) * 4, mode="replicate")
    ends = torch.randint(2 * most + 1, (len(images), 2), generator=generator).tolist()
    return torch.stack([image[:, y : y + side, x : x + side] for image, (y, x) in zip(padded, ends, strict=True)])


def triplets(
    scenes: list[world.Scene], generator: torch.Generator, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """References, nearer and further variations, (N, 3, H, W) each; what is further is known.

    The further one has all the changes of the nearer one and some more, of other things, so that none undoes another;
    where it has none more it is blurred and noisy. Both are jogged and a little spoilt, which is to count for nothing.
    """
    rng = random.Random(int(torch.randint(2**31, (1,), generator=generator)))
    near, far, more = [], [], []
    for scene in scenes:
        where = [None, *range(len(scene.things))]
        rng.shuffle(where)
        first, last = (few := rng.choice([0, 0, 1, 2])), few + rng.choice([0, 1, 1, 2, 4])
        for part in where[:first]:
            scene = _edited(scene, part, rng)
        near.append(scene)
        for part in where[first:last]:
            scene = _edited(scene, part, rng)
        far.append(scene)
        more.append(len(where[first:last]))
    references, nearer, further = (_drawn(group, device) for group in (scenes, near, far))
    worn = further
    for _ in range(6):
        worn = spoil(worn, generator, least=0.5)
    further = torch.where((torch.tensor(more, device=device) > 0).view(-1, 1, 1, 1), further, worn)
    nearer, further = (spoil(_jogged(images, generator), generator) for images in (nearer, further))
    return references, nearer, further


def train_perceptual(
    settings: Settings, work: Path, device: torch.device, finish: bool = False
) -> tuple[PerceptualEmbedder, dict]:
    """Each reference is to be nearest to its nearer variation, among those and the further ones of the whole batch.

    Triplets as in NIGHTS, DreamSim's data. A hinge on the triplet alone, as DreamSim has it from features that were
    trained before, leaves an untrained network worse than it began: it draws all the pictures together.
    """
    model, stage = PerceptualEmbedder(), settings.perceptual

    def loss(step: int, generator: torch.Generator) -> dict[str, torch.Tensor]:
        drawn = triplets(fresh_scenes(step, stage.batch, settings.seed), generator, device)
        reference, nearer, further = (F.normalize(model.embed(images).float(), dim=-1) for images in drawn)
        logits = SHARPNESS * reference @ torch.cat([nearer, further]).T
        return {"contrast": F.cross_entropy(logits, torch.arange(len(reference), device=device))}

    report = fit("perceptual", model, loss, stage, settings.seed, work, device, finish)
    with torch.inference_mode():
        generator = torch.Generator().manual_seed(HELD_OUT_SEED)
        reference, near, far = triplets(world.sample_scenes(1024, HELD_OUT_SEED), generator, device)
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
