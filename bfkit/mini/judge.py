"""The judge of the ruler: it reads what a picture of the miniature's world shows, and has only seen drawn ones.

It finds things (where, which shape, which colour) and tells the ground. It trains nothing that paints, so that a
painter cannot have learnt to please it. ``verdicts`` compares what it reads with the scene that a caption was asked of.
"""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from scipy.optimize import linear_sum_assignment
from torch import nn
from torch.nn import functional as F

from bfkit.models.perceptual import half_precision

from .captions import CORNERS
from .scene import COLORS, GROUNDS, NUMBERS, SHAPE_NAMES, Scene, Thing

GRID = 16  # cells a side in which things are found
THRESHOLD = 0.4  # of a peak that counts as a thing
COLOR_NAMES = tuple(COLORS)
VERDICTS = ("ground", "ground_colors", "number", "colors", "shapes", "kinds", "places")
PLACE_MARGIN = 0.08  # a thing is left of, or on the left, from this share of the side on


@dataclass(frozen=True)
class Found:
    """One thing that the judge sees; ``x`` and ``y`` as shares of the side, ``score`` of its peak in [0, 1]."""

    shape: str
    color: str
    x: float
    y: float
    score: float = 1.0


@dataclass(frozen=True)
class Reading:
    """All that the judge sees in one picture."""

    ground: str
    ground_colors: frozenset[str]
    things: tuple[Found, ...]


def _conv(before: int, after: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, after, 3, stride=stride, padding=1), nn.GroupNorm(8, after), nn.SiLU(inplace=True)
    )


class Judge(nn.Module):
    """Pictures (N, 3, 64, 64) in [0, 1] to maps of centres, shapes and colours (N, 22, 16, 16) and of the ground.

    A pyramid: fine maps say where, coarse ones what. ``features`` (N, 128) feed the ground's heads.
    """

    def __init__(self, widths: tuple[int, int, int, int] = (32, 64, 96, 128)) -> None:
        super().__init__()
        self.config = {"widths": list(widths)}
        stem, fine, middle, coarse = widths
        self.stem = nn.Sequential(_conv(3, stem, 2), _conv(stem, stem))
        self.fine = nn.Sequential(_conv(stem, fine, 2), _conv(fine, fine))
        self.middle = nn.Sequential(_conv(fine, middle, 2), _conv(middle, middle))
        self.coarse = nn.Sequential(_conv(middle, coarse, 2), _conv(coarse, coarse))
        self.from_coarse, self.from_middle = nn.Conv2d(coarse, middle, 1), nn.Conv2d(middle, fine, 1)
        self.merge_middle, self.merge_fine = _conv(middle, middle), _conv(fine, fine)
        self.things = nn.Sequential(_conv(fine, fine), nn.Conv2d(fine, 1 + len(SHAPE_NAMES) + len(COLORS), 1))
        self.ground = nn.Linear(coarse, len(GROUNDS) + len(COLORS))
        nn.init.constant_(self.things.get_parameter("1.bias")[:1], -3.0)  # most cells are no centre

    def forward(self, pictures: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Logits of things (N, 22, 16, 16), logits of the ground (N, 21), features (N, 128)."""
        fine = self.fine(self.stem(pictures * 2 - 1))
        middle = self.middle(fine)
        coarse = self.coarse(middle)
        middle = self.merge_middle(middle + F.interpolate(self.from_coarse(coarse), scale_factor=2.0))
        fine = self.merge_fine(fine + F.interpolate(self.from_middle(middle), scale_factor=2.0))
        features = coarse.mean((2, 3))
        return self.things(fine), self.ground(features), features

    @torch.inference_mode()
    def read(self, pictures: torch.Tensor) -> tuple[list[Reading], torch.Tensor]:
        """What each picture shows, and its features (N, 128)."""
        maps, grounds, features = (torch.cat(part) for part in zip(*map(self, pictures.split(100)), strict=True))
        peaks = maps[:, :1].sigmoid()
        peaks = torch.where(peaks == F.max_pool2d(peaks, 3, 1, 1), peaks, 0)[:, 0]
        shapes = maps[:, 1 : 1 + len(SHAPE_NAMES)].argmax(1)
        colors = maps[:, 1 + len(SHAPE_NAMES) :].argmax(1)
        things: list[list[Found]] = [[] for _ in pictures]
        for picture, row, column in (peaks > THRESHOLD).nonzero().tolist():
            place = picture, row, column
            things[picture].append(Found(
                SHAPE_NAMES[shapes[place]], COLOR_NAMES[colors[place]], (column + 0.5) / GRID, (row + 0.5) / GRID,
                peaks[place].item()))  # fmt: skip
        kinds = grounds[:, : len(GROUNDS)].argmax(1).tolist()
        told = grounds[:, len(GROUNDS) :] > 0
        return [
            Reading(GROUNDS[kind], frozenset(n for n, yes in zip(COLOR_NAMES, row.tolist(), strict=True) if yes), (*t,))
            for kind, row, t in zip(kinds, told, things, strict=True)
        ], features


def save_judge(model: Judge, folder: Path) -> None:
    """Write ``config.json`` and float16 ``model.safetensors``."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(model.config, indent=2) + "\n", encoding="utf-8")
    save_file(half_precision(model), folder / "model.safetensors")


def load_judge(folder: Path) -> Judge:
    """Read what ``save_judge`` wrote; FileNotFoundError names the file that is missing."""
    for needed in ("config.json", "model.safetensors"):
        if not (folder / needed).is_file():
            raise FileNotFoundError(f"no judge in {folder}: {needed} is missing; name another folder")
    model = Judge(tuple(json.loads((folder / "config.json").read_text(encoding="utf-8"))["widths"]))
    model.load_state_dict({key: value.float() for key, value in load_file(folder / "model.safetensors").items()})
    return model.eval()


def _side(value: float) -> int:
    """-1 left or top, 0 in the middle, 1 right or bottom."""
    return 0 if abs(value - 0.5) <= PLACE_MARGIN + 0.04 else (1 if value > 0.5 else -1)


def _matches(asked: Sequence[Thing], found: Sequence[Found]) -> list[Found]:
    """For each asked thing the found one that is most like it in colour and shape, each used once."""
    cost = [[(t.color != f.color) + (t.shape != f.shape) - 0.01 * f.score for f in found] for t in asked]
    return [found[column] for column in linear_sum_assignment(np.array(cost))[1]]


def _places_right(scene: Scene, found: Sequence[Found]) -> bool | None:
    """Whether things are where the caption says; None if it says nothing of places."""
    corners = any(place in scene.caption for place in CORNERS.values())
    if scene.arrangement != "relation" and not corners:
        return None
    if len(found) < len(scene.things):
        return False
    pairs = list(zip(scene.things, _matches(scene.things, found), strict=True))
    if scene.arrangement != "relation":
        return all(_side(t.x) == _side(f.x) and _side(t.y) == _side(f.y) for t, f in pairs)
    (first, seen_first), (second, seen_second) = pairs
    across = abs(first.x - second.x) > abs(first.y - second.y)
    wanted = second.x - first.x if across else second.y - first.y
    gap = seen_second.x - seen_first.x if across else seen_second.y - seen_first.y
    return bool(gap * np.sign(wanted) > PLACE_MARGIN)


def verdicts(reading: Reading, scene: Scene) -> dict[str, bool | None]:
    """Right or wrong for each of ``VERDICTS``; None where the caption says nothing of it.

    A crowd has more than six things; its colours and shapes are judged where the caption names a single one.
    """
    asked, found = scene.things, reading.things
    result: dict[str, bool | None] = {
        "ground": reading.ground == scene.ground.kind,
        "ground_colors": reading.ground_colors == set(scene.ground.colors) if scene.ground.colors else None,
    }
    shapes, colors = ({getattr(t, name) for t in asked} for name in ("shape", "color"))
    if scene.arrangement == "crowd":
        people = shapes == {"person"} and len(colors) > 1  # "a crowd" may be all that is said of people
        said = len(shapes) == 1 and (not people or "people" in scene.caption)
        right_colors = all(f.color in colors for f in found) if len(colors) == 1 else None
        right_shapes = all(f.shape in shapes for f in found) if said else None
        many = len(found) > max(NUMBERS)
        judged = [right for right in (right_colors, right_shapes) if right is not None]
        return result | {"number": many, "colors": right_colors and many if right_colors is not None else None,
                         "shapes": right_shapes and many if right_shapes is not None else None,
                         "kinds": all(judged) and many if judged else None, "places": None}  # fmt: skip

    def same(*names: str) -> bool | None:
        if not asked:
            return None
        left, right = (Counter(tuple(getattr(t, n) for n in names) for t in group) for group in (asked, found))
        return left == right

    return result | {
        "number": len(found) == len(asked),
        "colors": same("color"),
        "shapes": same("shape"),
        "kinds": same("shape", "color"),
        "places": _places_right(scene, found),
    }
