"""What a scene of the miniature's world is: a ground and things, every parameter known."""

from dataclasses import dataclass

RGB = tuple[float, float, float]
COLORS: dict[str, RGB] = {
    "white": (0.96, 0.96, 0.95),
    "black": (0.08, 0.08, 0.09),
    "gray": (0.55, 0.55, 0.56),
    "red": (0.86, 0.14, 0.15),
    "orange": (0.96, 0.55, 0.10),
    "yellow": (0.97, 0.87, 0.18),
    "green": (0.16, 0.62, 0.24),
    "teal": (0.08, 0.60, 0.62),
    "blue": (0.14, 0.33, 0.86),
    "purple": (0.50, 0.20, 0.70),
    "pink": (0.97, 0.60, 0.74),
    "brown": (0.48, 0.30, 0.16),
}
SHAPES: dict[str, tuple[tuple[str, str], ...]] = {  # shape: its names, each (singular, plural)
    "circle": (("circle", "circles"), ("disc", "discs")),
    "square": (("square", "squares"),),
    "triangle": (("triangle", "triangles"),),
    "diamond": (("diamond", "diamonds"),),
    "star": (("star", "stars"),),
    "ring": (("ring", "rings"),),
    "cross": (("cross", "crosses"),),
    "heart": (("heart", "hearts"),),
    "person": (("person", "people"),),
}
SHAPE_NAMES = tuple(SHAPES)
GROUNDS = ("plain", "gradient", "striped", "checkered", "textured", "beach", "park", "meadow", "night")
NUMBERS = {2: "two", 3: "three", 4: "four", 5: "five", 6: "six"}
CROWD = 8  # from this many things on, a caption says "crowd" instead of a number
MAX_THINGS = 9
MAX_DECOR = 14
SMALL, LARGE = 0.14, 0.28  # radii, as a share of the picture's side, below and above which a caption may say so
SKY: dict[str, tuple[RGB, RGB]] = {  # of the grounds that are places: the colour above and the colour below
    "beach": ((0.30, 0.62, 0.90), (0.93, 0.83, 0.58)),
    "park": ((0.62, 0.82, 0.97), (0.32, 0.68, 0.28)),
    "meadow": ((0.62, 0.82, 0.97), (0.32, 0.68, 0.28)),
    "night": ((0.03, 0.03, 0.14), (0.15, 0.14, 0.36)),
}


def second_tone(color: RGB) -> RGB:
    """The other tone of a pattern in one colour: lighter, or darker where the colour is light."""
    light = sum(color) / 3 > 0.8
    red, green, blue = (c * 0.75 if light else c * 0.55 + 0.45 for c in color)
    return red, green, blue


def shade(color: RGB) -> RGB:
    """The darkest tone of a rough wall of that colour."""
    red, green, blue = (c * 0.62 + 0.06 for c in color)
    return red, green, blue


def _between(first: RGB, last: RGB, share: float) -> RGB:
    """The colour that lies ``share`` of the way from one to another."""
    red, green, blue = (a + (b - a) * share for a, b in zip(first, last, strict=True))
    return red, green, blue


@dataclass(frozen=True)
class Thing:
    """One object: its shape, colour name, centre (x to the right, y down) and radius as shares of the side."""

    shape: str
    color: str
    x: float
    y: float
    radius: float


@dataclass(frozen=True)
class Ground:
    """What the things stand on; ``colors`` has one or two names, ``seed`` decides texture, tilt and tiny decor."""

    kind: str
    colors: tuple[str, ...] = ()
    seed: int = 0

    @property
    def tones(self) -> tuple[RGB, ...]:
        """The colours that it is painted in, as values; a gradient's in five places."""
        if self.kind in SKY:
            return SKY[self.kind]
        own = [COLORS[name] for name in self.colors]
        if self.kind == "gradient":
            return tuple(_between(own[0], own[-1], i / 4) for i in range(5))
        if self.kind == "textured":
            return (own[0], shade(own[0]))
        return (*own, second_tone(own[0])) if self.kind in ("striped", "checkered") and len(own) == 1 else tuple(own)


@dataclass(frozen=True)
class Scene:
    """A ground and its things, in painting order; ``arrangement`` is how they were placed and are described."""

    ground: Ground
    things: tuple[Thing, ...] = ()
    arrangement: str = "empty"
    caption: str = ""

    @property
    def complexity(self) -> float:
        """Things + distinct kinds of things + the ground's detail: 0 for an empty wall, about 20 for a crowded park."""
        detail = {"plain": 0, "gradient": 1, "striped": 2, "checkered": 3, "textured": 3, "beach": 2, "park": 3}
        kinds = {(thing.shape, thing.color) for thing in self.things}
        return len(self.things) + len(kinds) + detail.get(self.ground.kind, 4)
