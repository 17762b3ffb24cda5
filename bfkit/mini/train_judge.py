"""How the judge learns: from drawn scenes, and things strewn about in every size, spoilt as painters do."""

import math
import random
from pathlib import Path

import torch
from torch.nn import functional as F

from . import world
from .judge import COLOR_NAMES, GRID, Judge, Reading, verdicts
from .scene import COLORS, GROUNDS, SHAPE_NAMES, Ground, Scene, Thing
from .trainer import fit
from .training_data import HELD_OUT_SEED, Settings, fresh_scenes, spoil

SIZES = (0.075, 0.40)  # of strewn things: smaller and larger than the world's own, so that none is foreign
MOST_STREWN = 12


def strew(ground: Ground, rng: random.Random) -> Scene:
    """Things of any size anywhere, each apart from the others, whose colours stand out from the ground."""
    things: list[Thing] = []
    colors = world.free_colors(ground)
    largest = rng.choice([0.12, 0.2, 0.3, SIZES[1]])
    for _ in range(3 * rng.randint(0, MOST_STREWN)):
        radius = rng.uniform(SIZES[0], largest)
        x, y = (rng.uniform(radius, 1 - radius) for _ in range(2))
        apart = all(math.hypot(t.x - x, t.y - y) > t.radius + radius for t in things)
        if apart and len(things) < MOST_STREWN:
            things.append(Thing(rng.choice(SHAPE_NAMES), rng.choice(colors), x, y, radius))
    return Scene(ground, tuple(things), "strewn")


def targets(scenes: list[Scene]) -> tuple[torch.Tensor, ...]:
    """What the judge is to say.

    Centres (N, 16, 16) as soft peaks; rows (T, 5) of picture, row, column, shape and colour of every thing; the
    ground's kind (N,) and its colours (N, 12) as zeros and ones.
    """
    axis = (torch.arange(GRID) + 0.5) / GRID
    centres = torch.zeros(len(scenes), GRID, GRID)
    rows, kinds, colors = [], [], torch.zeros(len(scenes), len(COLORS))
    for index, scene in enumerate(scenes):
        kinds.append(GROUNDS.index(scene.ground.kind))
        for name in scene.ground.colors:
            colors[index, COLOR_NAMES.index(name)] = 1
        for thing in scene.things:
            spread = max(0.4 / GRID, thing.radius / 4)
            row, column = (min(GRID - 1, int(c * GRID)) for c in (thing.y, thing.x))
            distance = (axis[None] - axis[column]).square() + (axis[:, None] - axis[row]).square()
            centres[index] = torch.maximum(centres[index], (-distance / (2 * spread**2)).exp())
            rows.append((index, row, column, SHAPE_NAMES.index(thing.shape), COLOR_NAMES.index(thing.color)))
    return centres, torch.tensor(rows, dtype=torch.long).view(-1, 5), torch.tensor(kinds), colors


def _peak_loss(logits: torch.Tensor, centres: torch.Tensor) -> torch.Tensor:
    """CenterNet's focal loss (arXiv 1904.07850): cells beside a centre count less."""
    chance, here = logits.sigmoid().clamp(1e-4, 1 - 1e-4), centres == 1
    loss = torch.where(here, (1 - chance).square() * chance.log(),
                       (1 - centres).pow(4) * chance.square() * (1 - chance).log())  # fmt: skip
    return -loss.sum() / here.sum().clamp(min=1)


def spoil_like_a_painter(pictures: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Blur and noise, half of them also through a coarse cosine transform as JPEG does, some in other contrast."""
    pictures = spoil(spoil(pictures, generator), generator)
    blocks = F.unfold(pictures.flatten(0, 1).unsqueeze(1), 8, stride=8)  # (N * 3, 64, L)
    wave = torch.arange(8, dtype=torch.float32, device=pictures.device)
    basis = torch.cos(math.pi * (wave[None] + 0.5) * wave[:, None] / 8) * math.sqrt(2 / 8)
    basis[0] /= math.sqrt(2)
    basis = torch.kron(basis, basis)
    step = 0.02 + 0.04 * (wave[:, None] + wave[None]).flatten()[:, None]
    coarse = torch.round(basis @ blocks / step) * step
    size = pictures.shape[-2:]
    jpeg = F.fold(basis.T @ coarse, size, 8, stride=8).view_as(pictures)
    chosen = torch.rand((len(pictures), 1, 1, 1), generator=generator).to(pictures.device) < 0.5
    contrast = 1 + 0.1 * (torch.rand((len(pictures), 1, 1, 1), generator=generator).to(pictures.device) - 0.5)
    return ((torch.where(chosen, jpeg, pictures) - 0.5) * contrast + 0.5).clamp(0, 1)


def train_judge(settings: Settings, work: Path, device: torch.device, finish: bool = False) -> tuple[Judge, dict]:
    """Centres, shapes, colours and grounds of drawn scenes, half of them of the world and half strewn."""
    model, stage = Judge(), settings.judge

    def loss(step: int, generator: torch.Generator) -> dict[str, torch.Tensor]:
        rng = random.Random(step)
        scenes = fresh_scenes(step, stage.batch, settings.seed + 7)
        scenes = [s if i % 2 else strew(s.ground, rng) for i, s in enumerate(scenes)]
        centres, rows, kinds, colors = (part.to(device) for part in targets(scenes))
        maps, grounds, _ = model(spoil_like_a_painter(world.draw(scenes, device=device), generator))
        maps, grounds = maps.float(), grounds.float()
        at = maps[rows[:, 0], 1:, rows[:, 1], rows[:, 2]]
        return {
            "centres": _peak_loss(maps[:, 0], centres),
            "shapes": F.cross_entropy(at[:, : len(SHAPE_NAMES)], rows[:, 3]),
            "colors": F.cross_entropy(at[:, len(SHAPE_NAMES) :], rows[:, 4]),
            "ground": F.cross_entropy(grounds[:, : len(GROUNDS)], kinds),
            "ground colors": 2 * F.binary_cross_entropy_with_logits(grounds[:, len(GROUNDS) :], colors),
        }

    report = fit("judge", model, loss, stage, settings.seed, work, device, finish)
    scenes = world.sample_scenes(1000, HELD_OUT_SEED)
    readings: list[Reading] = model.read(world.draw(scenes, device=device))[0]
    judged = [verdicts(reading, scene) for reading, scene in zip(readings, scenes, strict=True)]
    for name in judged[0]:
        right = [said for row in judged if (said := row[name]) is not None]
        report[f"held_out_{name}_right"] = sum(right) / len(right)
    return model, report
