"""Scenes in pixels: batched signed distances, anti-aliased, on any device."""

import math
import random
from collections.abc import Iterable, Sequence

import torch

from .scene import COLORS, MAX_DECOR, SKY, Ground, Scene, Thing, second_tone, shade


def _half_planes(x: torch.Tensor, y: torch.Tensor, angles: Iterable[float], offset: float) -> torch.Tensor:
    """Signed distance bound of the intersection of half planes whose normals point at ``angles`` (radians)."""
    return torch.stack([x * math.cos(a) + y * math.sin(a) - offset for a in angles]).amax(0)


def _box(x: torch.Tensor, y: torch.Tensor, half_width: float, half_height: float) -> torch.Tensor:
    return torch.maximum(x.abs() - half_width, y.abs() - half_height)


def _star(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """A five-pointed star: the union of five thin triangles' intersections, folded into one wedge."""
    angle = torch.atan2(x, -y)  # from straight up
    wedge = 2 * math.pi / 5
    folded = (angle + wedge / 2).remainder(wedge) - wedge / 2
    radius = torch.hypot(x, y)
    px, py = radius * folded.cos(), radius * folded.sin().abs()
    tip, notch = (1.05, 0.0), (0.46 * math.cos(wedge / 2), 0.46 * math.sin(wedge / 2))
    nx, ny = notch[1] - tip[1], tip[0] - notch[0]
    length = math.hypot(nx, ny)
    return ((px - tip[0]) * nx + (py - tip[1]) * ny) / length


def _heart(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    lobes = torch.hypot(x.abs() - 0.46, y + 0.32) - 0.52
    tip = _half_planes(x.abs(), y + 0.1, (math.radians(46),), 0.68)
    body = torch.maximum(torch.maximum(tip, -(y + 0.32)), x.abs() - 0.98)
    return torch.minimum(lobes, body)


def _limb(x: torch.Tensor, y: torch.Tensor, start: tuple[float, float], end: tuple[float, float]) -> torch.Tensor:
    """Distance to a line from ``start`` to ``end``."""
    dx, dy = end[0] - start[0], end[1] - start[1]
    along = (((x - start[0]) * dx + (y - start[1]) * dy) / (dx * dx + dy * dy)).clamp(0, 1)
    return torch.hypot(x - start[0] - along * dx, y - start[1] - along * dy)


def _person(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """A head, a body, two arms held out and two legs apart."""
    side = x.abs()
    head = torch.hypot(x, y + 0.68) - 0.29
    body = _limb(x, y, (0.0, -0.10), (0.0, 0.20)) - 0.30
    arms = _limb(side, y, (0.22, -0.22), (0.70, 0.10)) - 0.13
    legs = _limb(side, y, (0.18, 0.30), (0.34, 0.84)) - 0.15
    return torch.stack([head, body, arms, legs]).amin(0)


# signed distances (negative inside) to unit shapes about the origin; x to the right, y down
DISTANCES = {
    "circle": lambda x, y: torch.hypot(x, y) - 0.95,
    "square": lambda x, y: _box(x, y, 0.84, 0.84),
    "triangle": lambda x, y: _half_planes(x, y - 0.25, (math.pi / 2, math.radians(-30), math.radians(210)), 0.6),
    "diamond": lambda x, y: (x.abs() * 1.35 + y.abs() - 1.05) / 1.68,
    "star": _star,
    "ring": lambda x, y: (torch.hypot(x, y) - 0.70).abs() - 0.24,
    "cross": lambda x, y: torch.minimum(_box(x, y, 0.29, 0.95), _box(x, y, 0.95, 0.29)),
    "heart": _heart,
    "person": _person,
}


def _grid(size: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Pixel centres (1, H, W) in [0, 1]: x to the right, y down."""
    axis = (torch.arange(size, device=device) + 0.5) / size
    return axis.view(1, 1, size).expand(1, size, size), axis.view(1, size, 1).expand(1, size, size)


def _texture(seeds: Sequence[int], x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Smooth random relief (N, H, W) of about unit range: eight waves of random direction, pitch and phase."""
    waves = torch.tensor(
        [[(r.uniform(3, 8), r.uniform(0, math.pi), r.uniform(0, 2 * math.pi)) for _ in range(8)]
         for r in map(random.Random, seeds)], device=x.device)  # fmt: skip
    pitch, angle, phase = (w[..., None, None] for w in waves.unbind(-1))
    ripple = (2 * math.pi * pitch * (x * angle.cos() + y * angle.sin()) + phase).sin()
    return ripple.mean(1) * 1.8


def _ramp(edge: torch.Tensor, sharpness: float) -> torch.Tensor:
    return (edge * sharpness + 0.5).clamp(0, 1)


def _draw_grounds(grounds: Sequence[Ground], size: int, device: torch.device) -> torch.Tensor:
    """Grounds alone, (N, 3, H, W)."""
    x, y = _grid(size, device)
    rngs = [random.Random(ground.seed) for ground in grounds]

    def column(values: Iterable[float]) -> torch.Tensor:
        return torch.tensor(list(values), device=device).view(-1, 1, 1)

    def color(index: int) -> torch.Tensor:
        rows = []
        for ground in grounds:
            names = ground.colors or ("white",)
            rgb = COLORS[names[min(index, len(names) - 1)]]
            if index == 1 and len(names) == 1:
                rgb = shade(rgb) if ground.kind == "textured" else second_tone(rgb)
            rows.append(torch.tensor(rgb))
        return torch.stack(rows).to(device).view(-1, 3, 1, 1)

    tilt = column(rng.choice([0.0, math.pi / 2, math.pi / 4, -math.pi / 4]) for rng in rngs)
    upright = column(rng.choice([math.pi / 2, math.pi / 2, 0.0]) for rng in rngs)
    pitch = column(rng.choice([3.0, 4.0, 5.0]) for rng in rngs)
    shift = column(rng.random() for rng in rngs)
    horizon = column(rng.uniform(0.35, 0.5) for rng in rngs)
    relief = _texture([ground.seed for ground in grounds], x, y)

    def wave(across: torch.Tensor) -> torch.Tensor:  # a triangle wave in [-1, 1], made into soft-edged bars
        return ((across * pitch + shift).remainder(1.0) - 0.5).abs() * 4 - 1

    kinds = [ground.kind for ground in grounds]
    fade = x * upright.cos() + y * upright.sin()
    bars = _ramp(wave(x * tilt.cos() + y * tilt.sin()) / 4 / pitch, size)
    squares = _ramp((2 * math.pi * pitch * x).sin() * (2 * math.pi * pitch * y).sin() / (2 * math.pi * pitch), 2 * size)
    mixes = {"gradient": fade, "striped": bars, "checkered": squares, "textured": (0.5 + 0.5 * relief).clamp(0, 1)}
    mix = torch.zeros(len(grounds), size, size, device=device)
    for kind, value in mixes.items():
        rows = [i for i, k in enumerate(kinds) if k == kind]
        mix[rows] = value[rows]
    first, second = color(0), color(1)
    picture = first + (second - first) * mix.unsqueeze(1)

    for kind, rough in (("park", 0.16), ("meadow", 0.16), ("beach", 0.06)):
        rows = [i for i, k in enumerate(kinds) if k == kind]
        if rows:
            top, bottom = (torch.tensor(c, device=device).view(1, 3, 1, 1) for c in SKY[kind])
            land = _ramp(y - horizon[rows], size).unsqueeze(1)
            ground = bottom * (1 + rough * relief[rows].unsqueeze(1))
            picture[rows] = top * (1 - land) + ground * land

    night = [i for i, k in enumerate(kinds) if k == "night"]
    if night:
        deep, low = (torch.tensor(c, device=device).view(1, 3, 1, 1) for c in SKY["night"])
        picture[night] = deep + (low - deep) * y.unsqueeze(1)
    return picture.clamp(0, 1)


def _decor(ground: Ground) -> list[Thing]:
    """Tiny dots that belong to the ground: flowers in a colourful park, stars in a night sky."""
    rng = random.Random(ground.seed + 1)
    if ground.kind == "meadow":
        colors = ("red", "yellow", "white", "pink", "purple", "orange")
        return [
            Thing("circle", rng.choice(colors), rng.random(), rng.uniform(0.55, 1.0), 0.028) for _ in range(MAX_DECOR)
        ]
    if ground.kind == "night":
        return [
            Thing("circle", "white", rng.random(), rng.random(), rng.uniform(0.010, 0.022)) for _ in range(MAX_DECOR)
        ]
    return []


def draw(scenes: Sequence[Scene], size: int = 64, device: torch.device | str = "cpu") -> torch.Tensor:
    """Paint scenes in order, later things over earlier ones, edges anti-aliased.

    Returns (N, 3, size, size) float32 in [0, 1].
    """
    device = torch.device(device)
    picture = _draw_grounds([scene.ground for scene in scenes], size, device)
    layers = [[*_decor(scene.ground), *scene.things] for scene in scenes]
    owners = [(row, depth) for row, things in enumerate(layers) for depth in range(len(things))]
    if not owners:
        return picture
    flat = [layers[row][depth] for row, depth in owners]
    x, y = _grid(size, device)
    place = torch.tensor([(t.x, t.y, t.radius) for t in flat], device=device).T[..., None, None]
    x, y = (x - place[0]) / place[2], (y - place[1]) / place[2]
    cover = torch.empty(len(flat), size, size, device=device)
    for shape, distance in DISTANCES.items():
        rows = [i for i, thing in enumerate(flat) if thing.shape == shape]
        if rows:
            cover[rows] = _ramp(-distance(x[rows], y[rows]) * place[2][rows], size)
    paint = torch.tensor([COLORS[thing.color] for thing in flat], device=device).view(-1, 3, 1, 1)
    depths = torch.tensor([depth for _, depth in owners])
    pictures = torch.tensor([row for row, _ in owners])
    for depth in range(max(map(len, layers))):  # painter's algorithm: each picture has one thing at a depth
        chosen = depths == depth
        rows, alpha = pictures[chosen], cover[chosen].unsqueeze(1)
        picture[rows] = picture[rows] * (1 - alpha) + paint[chosen] * alpha
    return picture
