"""How the painter's text encoder learns to read: contrastively, beside pictures, before anything is painted.

Stable Diffusion 2 is conditioned on OpenCLIP's text tower, frozen. So here: a text tower and a small picture tower
learn to agree, the text tower also says what the scene holds, and is frozen before the painter starts.
"""

from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F
from transformers import CLIPTextModel

from bfkit.models.clip import retrieval
from bfkit.models.perceptual import PerceptualEmbedder

from . import models, world
from .scene import COLORS, GROUNDS, SHAPE_NAMES, Ground, Scene
from .trainer import fit
from .training_data import HELD_OUT_SEED, Settings, fresh_scenes

PICTURE_SIDE = 32  # enough to tell scenes apart, and drawn four times as fast as 64
COLOR_NAMES = tuple(COLORS)
CELLS, MOST = 3, 9  # places are read on a 3 x 3 grid; of one kind there are nine things at most


def attributes(scene: Scene) -> torch.Tensor:
    """What a scene holds as zeros and ones.

    Ground kind, its first and its second colour; for each pair of shape and colour whether there are at least 1 to 9;
    for each cell of a 3 x 3 grid which shapes and which colours are there.
    """
    shapes, colors = len(SHAPE_NAMES), len(COLOR_NAMES)
    ground = torch.zeros(len(GROUNDS) + 2 * colors)
    ground[GROUNDS.index(scene.ground.kind)] = 1
    for place, name in enumerate(scene.ground.colors):
        ground[len(GROUNDS) + place * colors + COLOR_NAMES.index(name)] = 1
    pairs = torch.zeros(shapes, colors)
    cells = torch.zeros(CELLS, CELLS, shapes + colors)
    for thing in scene.things:
        shape, color = SHAPE_NAMES.index(thing.shape), COLOR_NAMES.index(thing.color)
        pairs[shape, color] += 1
        row, column = (min(CELLS - 1, int(c * CELLS)) for c in (thing.y, thing.x))
        cells[row, column, shape] = cells[row, column, shapes + color] = 1
    numbers = (pairs.sum(1, keepdim=True) >= torch.arange(1, MOST + 1)).float()
    return torch.cat([ground, (pairs > 0).float().flatten(), numbers.flatten(), cells.flatten()])


class TextAndPicture(nn.Module):
    """The text tower that is kept, and what it learns with: a picture tower, and a head that names attributes."""

    def __init__(self, text_encoder: CLIPTextModel | None = None) -> None:
        super().__init__()
        self.text_encoder = text_encoder or models.build_text_encoder()
        width = self.text_encoder.config.hidden_size
        self.project = nn.Linear(width, 128)
        self.picture = PerceptualEmbedder(widths=(32, 64, 96), image_size=PICTURE_SIDE, depth=1)
        self.head = nn.Linear(width, len(attributes(Scene(Ground("plain")))))
        self.scale = nn.Parameter(torch.tensor(2.7))  # exp: 15

    def forward(self, tokens: torch.Tensor, pictures: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Unit embeddings of texts and pictures (N, 128), and the texts' logits of attributes."""
        pooled = self.text_encoder(tokens).pooler_output
        texts, seen = self.project(pooled), self.picture.embed(pictures)
        return F.normalize(texts, dim=-1), F.normalize(seen, dim=-1), self.head(pooled)


def train_text(
    settings: Settings, work: Path, device: torch.device, start: CLIPTextModel | None = None, finish: bool = False
) -> tuple[TextAndPicture, dict]:
    """Contrast between texts and pictures, plus the cross-entropy of the attributes that a text tells."""
    tokenizer, stage = models.build_tokenizer(), settings.text
    model = TextAndPicture(start)

    def batch(scenes: list[Scene]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        captions = [scene.caption for scene in scenes]
        tokens = tokenizer(captions, padding="max_length", truncation=True, return_tensors="pt").input_ids
        pictures = world.draw(scenes, size=PICTURE_SIDE, device=device)
        return tokens.to(device), pictures, torch.stack([attributes(scene) for scene in scenes]).to(device)

    def loss(step: int, generator: torch.Generator) -> dict[str, torch.Tensor]:
        tokens, pictures, truth = batch(fresh_scenes(step, stage.batch, settings.seed, detailed=step % 2 == 1))
        texts, seen, told = model(tokens, pictures)
        logits = (model.scale.exp().clamp(max=100) * texts @ seen.T).float()
        own = torch.arange(len(texts), device=device)
        return {
            "contrast": (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2,
            "attributes": 10 * F.binary_cross_entropy_with_logits(told.float(), truth),
        }

    report = fit("text", model, loss, stage, settings.seed, work, device, finish)
    with torch.inference_mode():
        tokens, pictures, truth = batch(world.sample_scenes(1024, HELD_OUT_SEED))
        texts, seen, told = model(tokens, pictures)
        report["held_out_retrieval_of_32"] = retrieval(seen, texts)
        kinds = slice(0, len(GROUNDS))
        report["held_out_ground_told"] = (told[:, kinds].argmax(1) == truth[:, kinds].argmax(1)).float().mean().item()
    return model, report
