"""What a scene of the miniature's world is: a ground and things, every parameter known."""

from dataclasses import dataclass

COLORS: dict[str, tuple[float, float, float]] = {
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
CROWD = 9  # from this many things on, a caption says "crowd" instead of a number
MAX_THINGS = 16
MAX_DECOR = 14
SMALL, LARGE = 0.11, 0.20  # radii, as a share of the picture's side, below and above which a caption may say so


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


@dataclass(frozen=True)
class Scene:
    """A ground and its things, in painting order; ``arrangement`` is how they were placed and are described."""

    ground: Ground
    things: tuple[Thing, ...] = ()
    arrangement: str = "empty"
    caption: str = ""

    @property
    def complexity(self) -> float:
        """Things + distinct kinds of things + the ground's detail: 0 for an empty wall, about 30 for a crowded park."""
        detail = {"plain": 0, "gradient": 1, "striped": 2, "checkered": 3, "textured": 3, "beach": 2, "park": 3}
        kinds = {(thing.shape, thing.color) for thing in self.things}
        return len(self.things) + len(kinds) + detail.get(self.ground.kind, 4)
