"""The miniature's world: captioned scenes whose every parameter is known, drawn by batched tensor code.

Scenes range from "a white and empty wall" to "a colorful park with a crowd". ``sample_scenes`` invents them,
``describe`` words them (several ways each), ``draw`` paints them, and since the parameters are kept, the world can
itself check what a caption claims: how many things, of which colour, where.
"""

import math
import random
from dataclasses import replace

from .captions import VOCABULARY, describe, unknown_words, words
from .render import draw
from .scene import COLORS, CROWD, GROUNDS, MAX_THINGS, RGB, SHAPE_NAMES, SHAPES, Ground, Scene, Thing

__all__ = [
    "COLORS", "GROUNDS", "SHAPES", "SHAPE_NAMES", "VOCABULARY", "Ground", "Scene", "Thing", "captioned_scenes",
    "describe", "draw", "sample_scenes", "unknown_words", "words",
]  # fmt: skip


def _sample_ground(rng: random.Random) -> Ground:
    kind = rng.choices(GROUNDS, weights=(30, 12, 14, 10, 10, 6, 7, 5, 6))[0]
    first = rng.choice(list(COLORS))
    second = rng.choice([name for name in COLORS if _stands_out(name, (COLORS[first],))])
    colors = {
        "plain": (first,),
        "gradient": (first, second),
        "striped": (first, second) if rng.random() < 0.6 else (first,),
        "checkered": (first, second) if rng.random() < 0.6 else (first,),
        "textured": (first,),
    }.get(kind, ())
    return Ground(kind, colors, rng.randrange(2**31))


def _stands_out(color: str, tones: tuple[RGB, ...]) -> bool:
    """Whether a colour can be told from every tone of a ground (black from brown is the nearest pair that can)."""
    return all(math.dist(COLORS[color], tone) > 0.34 for tone in tones)


def free_colors(ground: Ground) -> list[str]:
    """Colour names that stand out from the ground."""
    return [name for name in COLORS if name not in ground.colors and _stands_out(name, ground.tones)]


def _place(rng: random.Random, count: int, cells: int, radius: tuple[float, float]) -> list[tuple[float, float, float]]:
    """``count`` centres and radii in distinct cells of a ``cells`` x ``cells`` grid, jittered, within the picture."""
    chosen = rng.sample(range(cells * cells), count)
    places = []
    for cell in sorted(chosen):
        size = rng.uniform(*radius)
        slack = max(0.0, 0.5 / cells - size)
        center = ((cell % cells + 0.5) / cells, (cell // cells + 0.5) / cells)
        x, y = (min(max(c + rng.uniform(-slack, slack), size), 1 - size) for c in center)
        places.append((x, y, size))
    return places


def _kinds(rng: random.Random, ground: Ground, count: int) -> list[tuple[str, str]]:
    """``count`` distinct (shape, colour) pairs."""
    colors = free_colors(ground)
    kinds: list[tuple[str, str]] = []
    while len(kinds) < count:
        kind = (rng.choice(SHAPE_NAMES), rng.choice(colors))
        if kind not in kinds:
            kinds.append(kind)
    return kinds


def _sample_things(rng: random.Random, ground: Ground, arrangement: str) -> tuple[Thing, ...]:
    if arrangement == "empty":
        return ()
    if arrangement == "single":
        radius, reach = rng.choice([
            (rng.uniform(0.12, 0.138), 0.30), (rng.uniform(0.19, 0.25), 0.24), (rng.uniform(0.31, 0.40), 0.0)
        ])  # fmt: skip
        x, y = (0.5 + reach * rng.choice([-1, 0, 1]) + rng.uniform(-0.04, 0.04) for _ in range(2))
        x, y = (min(max(c, radius), 1 - radius) for c in (x, y))
        return (Thing(*_kinds(rng, ground, 1)[0], x, y, radius),)
    if arrangement == "relation":
        first, second = _kinds(rng, ground, 2)
        near, far = rng.uniform(0.24, 0.28), rng.uniform(0.72, 0.76)
        across = rng.uniform(0.4, 0.6)
        r1, r2 = rng.uniform(0.17, 0.22), rng.uniform(0.17, 0.22)
        ends = [(near, far), (far, near)][rng.randrange(2)]
        if rng.random() < 0.5:
            return (Thing(*first, ends[0], across, r1), Thing(*second, ends[1], across + rng.uniform(-0.05, 0.05), r2))
        return (Thing(*first, across, ends[0], r1), Thing(*second, across + rng.uniform(-0.05, 0.05), ends[1], r2))
    if arrangement == "list":
        kinds = _kinds(rng, ground, rng.choice([2, 3, 3]))
        places = _place(rng, len(kinds), 2, (0.17, 0.22))
        return tuple(Thing(*kind, *place) for kind, place in zip(kinds, places, strict=True))
    if arrangement == "groups":
        counts = [rng.randint(2, 6)] if rng.random() < 0.55 else [rng.randint(2, 3), rng.randint(2, 3)]
        kinds = [kind for kind, n in zip(_kinds(rng, ground, len(counts)), counts, strict=True) for _ in range(n)]
        places = _place(rng, len(kinds), 3, (0.14, 0.16))
        rng.shuffle(places)
        return tuple(Thing(*kind, *place) for kind, place in zip(kinds, places, strict=True))
    # a crowd: one shape or many, one colour or many
    count = rng.randint(CROWD, MAX_THINGS)
    colors = free_colors(ground)
    variety = rng.choices(["people", "mixed", "shape", "color", "same"], weights=(30, 30, 15, 12, 13))[0]
    shape, color = rng.choice(SHAPE_NAMES), rng.choice(colors)
    things = []
    for x, y, radius in _place(rng, count, 3, (0.13, 0.16)):
        own_shape = {"people": "person", "mixed": rng.choice(SHAPE_NAMES), "color": rng.choice(SHAPE_NAMES)}
        own_color = rng.choice(colors) if variety in ("people", "mixed", "shape") else color
        things.append(Thing(own_shape.get(variety, shape), own_color, x, y, radius))
    return tuple(things)


ARRANGEMENTS = {"empty": 10, "single": 30, "relation": 12, "list": 15, "groups": 19, "crowd": 14}


def sample_scenes(count: int, seed: int) -> list[Scene]:
    """``count`` captioned scenes; the same seed gives the same scenes, and a longer list begins with the shorter."""
    scenes = []
    for index in range(count):
        rng = random.Random(seed * 1_000_003 + index)
        ground = _sample_ground(rng)
        arrangement = rng.choices(list(ARRANGEMENTS), weights=list(ARRANGEMENTS.values()))[0]
        scene = Scene(ground, _sample_things(rng, ground, arrangement), arrangement)
        scenes.append(replace(scene, caption=describe(scene, rng)))
    return scenes


def captioned_scenes(count: int, seed: int) -> dict[str, Scene]:
    """``count`` distinct captions, each with a scene it is true of; the two ends of the paper's Figure 2 come first."""
    scenes = {scene.caption: scene for scene in _ends()}
    drawn = 0
    while len(scenes) < count:
        drawn += count
        for scene in sample_scenes(drawn, seed):
            scenes.setdefault(scene.caption, scene)
    return dict(list(scenes.items())[:count])


def _ends() -> tuple[Scene, Scene]:
    """An empty wall and a crowded park."""
    rng, park = random.Random(0), Ground("meadow", seed=0)
    people = tuple(
        Thing("person", rng.choice(free_colors(park)), *place) for place in _place(rng, MAX_THINGS, 3, (0.13, 0.16))
    )
    return (
        Scene(Ground("plain", ("white",)), caption="a white and empty wall"),
        Scene(park, people, "crowd", caption="a colorful park with a crowd"),
    )
