"""Scenes in words: several true captions each, from a small vocabulary."""

import random
import re
from collections.abc import Sequence

from .scene import COLORS, LARGE, NUMBERS, SHAPES, SMALL, Ground, Scene, Thing

SMALL_WORDS, LARGE_WORDS, MANY_WORDS = ("small", "tiny", "little"), ("large", "big", "huge"), ("many", "lots of")
FRAMES = ("{things} {on} {ground}", "{things} {on} {ground}", "a picture of {things} {on} {ground}",
          "{ground} with {things}", "there {are} {things} {on} {ground}")  # fmt: skip
EMPTY_FRAMES = ("{ground}", "{ground}", "a picture of {ground}", "nothing but {ground}", "{empty}", "{empty}")
CORNERS = {(0, 0): "in the center", (-1, 0): "on the left", (1, 0): "on the right", (0, -1): "at the top",
           (0, 1): "at the bottom", (-1, -1): "in the top left corner", (1, -1): "in the top right corner",
           (-1, 1): "in the bottom left corner", (1, 1): "in the bottom right corner"}  # fmt: skip
PEOPLE = ("a crowd", "a crowd of people", "a crowd of colorful people", "many people")
CROWD_FRAMES = ("a crowd of {things}", "{many} {things}", "a crowd of many {things}")
PLACED = {False: {"single": 0.4, "list": 0.2}, True: {"single": 1.0, "list": 1.0}}  # how often places are said
LONG = ("list", 3)  # would be cut off by the text encoder
RELATIONS = {"left": ("to the left of", "left of"), "right": ("to the right of", "right of"), "above": ("above",),
             "below": ("below", "under")}  # fmt: skip
GROUND_WORDS: dict[str, tuple[tuple[str, str], ...]] = {  # each ground's names, plain and said to be empty
    "plain": (
        ("{first} wall", "{first} and empty wall"),
        ("plain {first} background", "empty {first} background"),
        ("{first} background", "empty {first} wall"),
    ),
    "gradient": (
        ("background fading from {first} to {last}", "empty background fading from {first} to {last}"),
        ("{first} to {last} gradient", "empty {first} to {last} gradient"),
    ),
    "striped": (
        ("striped {colors} background", "empty striped {colors} background"),
        ("striped {colors} wall", "empty striped {colors} wall"),
    ),
    "checkered": (
        ("checkered {colors} background", "empty checkered {colors} background"),
        ("{colors} checkerboard", "empty {colors} checkerboard"),
    ),
    "textured": (
        ("textured {first} background", "empty textured {first} background"),
        ("rough {first} wall", "rough and empty {first} wall"),
    ),
    "beach": (("beach", "empty beach"), ("sunny beach", "empty sunny beach")),
    "park": (("park", "empty park"), ("green park", "empty green park")),
    "meadow": (
        ("colorful park", "colorful and empty park"),
        ("park full of flowers", "empty park full of flowers"),
    ),
    "night": (("night sky", "empty night sky"), ("starry night", "starry and empty night")),
}

GROUND_SIGNS = (  # how a caption's ground is told, the first that is found
    ("gradient", r"fading|gradient"), ("striped", "striped"), ("checkered", r"checker\w+"),
    ("textured", "textured|rough"), ("beach", "beach"), ("night", "night"),
    ("meadow", r"colorful( and empty)? park|flowers"), ("park", "park"), ("plain", "wall|background"),
)  # fmt: skip


def told_right(caption: str, scene: Scene) -> dict[str, bool]:
    """Whether the ground, colours and shapes that a caption names are the scene's; no entry for what it leaves out.

    >>> told_right("a red heart in a park", Scene(Ground("park"), (Thing("star", "red", 0.5, 0.5, 0.2),)))
    {'ground': True, 'colors': True, 'shapes': False}
    """
    words = set(re.findall(r"\w+", caption.replace("green park", "park").replace("green and empty park", "park")))
    grounds = [kind for kind, sign in GROUND_SIGNS if re.search(rf"\b(?:{sign})\b", caption)]
    named = {
        "ground": set(grounds[:1]),
        "colors": words & set(COLORS),
        "shapes": {shape for shape, names in SHAPES.items() if words & {word for pair in names for word in pair}},
    }
    colors, shapes = ({getattr(thing, part) for thing in scene.things} for part in ("color", "shape"))
    shown = {"ground": {scene.ground.kind}, "colors": colors | set(scene.ground.colors), "shapes": shapes}
    return {part: own <= shown[part] for part, own in named.items() if own}


def _article(phrase: str) -> str:
    return ("an " if phrase[0] in "aeiou" else "a ") + phrase


def _describe_ground(ground: Ground, rng: random.Random) -> tuple[str, str]:
    """The ground in words, and the same ground said to be empty."""
    first, last = (ground.colors or ("",))[0], (ground.colors or ("",))[-1]
    colors = {"first": first, "last": last, "colors": " and ".join(ground.colors)}
    plain, empty = rng.choice(GROUND_WORDS[ground.kind])
    return _article(plain.format(**colors)), _article(empty.format(**colors))


def _size_word(things: Sequence[Thing], rng: random.Random) -> str:
    radius = sum(thing.radius for thing in things) / len(things)
    if radius < SMALL:
        return rng.choice(SMALL_WORDS) + " "
    return rng.choice(LARGE_WORDS) + " " if radius > LARGE else ""


def _name(thing: Thing, rng: random.Random, plural: bool = False) -> str:
    return rng.choice(SHAPES[thing.shape])[plural]


def _join(phrases: list[str]) -> str:
    return phrases[0] if len(phrases) == 1 else ", ".join(phrases[:-1]) + " and " + phrases[-1]


def _describe_crowd(things: Sequence[Thing], rng: random.Random) -> str:
    shapes, colors = {thing.shape for thing in things}, {thing.color for thing in things}
    plural = _name(things[0], rng, plural=True) if len(shapes) == 1 else "shapes"
    color = f"{things[0].color} " if len(colors) == 1 else "colorful "
    if shapes == {"person"} and len(colors) > 1:
        return rng.choice(PEOPLE)
    many = rng.choice(MANY_WORDS)
    return rng.choice(CROWD_FRAMES).format(many=many, things=f"{color}{plural}")


def _third(share: float) -> int | None:
    """-1 left or top, 0 in the middle, 1 right or bottom; None where one could say two things."""
    off = abs(share - 0.5)
    if 0.09 <= off <= 0.14:
        return None
    return 0 if off < 0.09 else 1 if share > 0.5 else -1


def corner(thing: Thing) -> str:
    """Where a thing is, in words; empty where one could say two things."""
    column, row = _third(thing.x), _third(thing.y)
    return "" if column is None or row is None else CORNERS[column, row]


def _describe_things(scene: Scene, rng: random.Random, detailed: bool) -> str:
    things = scene.things
    if scene.arrangement == "crowd":
        return _describe_crowd(things, rng)
    if scene.arrangement == "relation":
        first, second = things
        if abs(first.x - second.x) > abs(first.y - second.y):
            relation = rng.choice(RELATIONS["left" if first.x < second.x else "right"])
        else:
            relation = rng.choice(RELATIONS["above" if first.y < second.y else "below"])
        one, other = (_article(f"{thing.color} {_name(thing, rng)}") for thing in things)
        return f"{one} {relation} {other}"
    phrases = []
    placed = rng.random() < PLACED[detailed].get(scene.arrangement, 0.0) and (scene.arrangement, len(things)) != LONG
    kinds = dict.fromkeys((thing.shape, thing.color) for thing in things)
    for kind in kinds:
        group = [thing for thing in things if (thing.shape, thing.color) == kind]
        count, color = len(group), group[0].color
        phrase = f"{_size_word(group, rng)}{color} {_name(group[0], rng, plural=count > 1)}"
        phrase = _article(phrase) if count == 1 else f"{NUMBERS[count]} {phrase}"
        phrases.append(f"{phrase} {place}" if placed and (place := corner(group[0])) else phrase)
    return _join(phrases)


def describe(scene: Scene, rng: random.Random, detailed: bool = False) -> str:
    """One of the scene's captions, drawn by ``rng``; every word of it is true of the scene.

    A ``detailed`` one says where things are wherever words suffice: what a painter learns most from.
    """
    ground, empty = _describe_ground(scene.ground, rng)
    if not scene.things:
        return rng.choice(EMPTY_FRAMES).format(ground=ground, empty=empty)
    things = _describe_things(scene, rng, detailed)
    plural = len(scene.things) > 1 and not things.startswith(("a ", "an "))
    on = "in" if scene.ground.kind in ("park", "meadow", "night") else "on"
    return rng.choice(FRAMES).format(things=things, ground=ground, on=on, are="are" if plural else "is")


def words(text: str) -> list[str]:
    """The words of a text in lower case, punctuation left out."""
    return re.findall(r"[^\W_]+(?:'[^\W_]+)?", text.lower())


def _vocabulary() -> tuple[str, ...]:
    """Every word that ``describe`` can say."""
    names = [name for pairs in SHAPES.values() for pair in pairs for name in pair]
    grounds = [text for pairs in GROUND_WORDS.values() for pair in pairs for text in pair]
    texts = [*COLORS, *NUMBERS.values(), *names, *grounds, *FRAMES, *EMPTY_FRAMES, *CORNERS.values(), *SMALL_WORDS]
    texts += [
        *LARGE_WORDS,
        *MANY_WORDS,
        *(text for pair in RELATIONS.values() for text in pair),
        *CROWD_FRAMES,
        *PEOPLE,
    ]
    texts += ["a an and in on is are shape shapes colorful"]  # said by the code above
    return tuple(sorted({word for text in texts for word in words(re.sub(r"{\w+}", "", text))}))


VOCABULARY = _vocabulary()


def unknown_words(text: str) -> list[str]:
    """The words of a text that no caption of this world uses, in order, each once."""
    return [word for word in dict.fromkeys(words(text)) if word not in VOCABULARY]
