"""What captions say is true of the scene, and what is drawn is what the scene says."""

import math
import re
from collections import Counter
from dataclasses import replace

import pytest
import torch

from bfkit.mini.captions import VOCABULARY, unknown_words
from bfkit.mini.render import draw
from bfkit.mini.scene import COLORS, SHAPES, Ground, Scene, Thing
from bfkit.mini.world import captioned_scenes, sample_scenes

NUMBERS = {2: "two", 3: "three", 4: "four", 5: "five", 6: "six"}
ENDS = ("a white and empty wall", "a colorful park with a crowd")


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return sample_scenes(3000, seed=11)


def names(shape: str, plural: bool) -> str:
    """A pattern of every name of a shape."""
    return "(?:" + "|".join(pair[plural] for pair in SHAPES[shape]) + ")"


def on_wall(*things: Thing, color: str = "white") -> Scene:
    return Scene(Ground("plain", (color,)), things)


# --- scenes ---------------------------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_scenes_and_another_seed_others():
    assert sample_scenes(40, seed=5) == sample_scenes(40, seed=5)
    assert sample_scenes(40, seed=5) != sample_scenes(40, seed=6)


def test_a_longer_list_begins_with_the_shorter():
    assert sample_scenes(60, seed=5)[:25] == sample_scenes(25, seed=5)
    longer, shorter = captioned_scenes(60, seed=5), captioned_scenes(25, seed=5)
    assert list(longer.items())[:25] == list(shorter.items())


def test_things_lie_within_the_picture(scenes):
    for scene in scenes:
        for thing in scene.things:
            assert thing.radius <= thing.x <= 1 - thing.radius, scene
            assert thing.radius <= thing.y <= 1 - thing.radius, scene


def test_no_thing_has_the_colour_of_its_ground(scenes):
    for scene in scenes:
        assert not {thing.color for thing in scene.things} & set(scene.ground.colors), scene


def test_complexity_grows_from_an_empty_wall_to_a_crowded_park(scenes):
    wall, park = (captioned_scenes(2, seed=0)[caption] for caption in ENDS)
    assert wall.complexity == 0
    assert park.complexity > 15
    means = {}
    for kind in ("empty", "single", "groups", "crowd"):
        values = [scene.complexity for scene in scenes if scene.arrangement == kind]
        means[kind] = sum(values) / len(values)
    assert list(means.values()) == sorted(means.values())
    assert means["crowd"] > 3 * means["single"]


# --- captions -------------------------------------------------------------------------------------------------------


def test_the_world_has_thousands_of_captions_each_with_a_scene_of_its_own():
    found = captioned_scenes(5000, seed=3)
    assert len(found) == 5000
    assert tuple(found)[:2] == ENDS
    assert all(scene.caption == caption for caption, scene in found.items())


def test_captions_are_made_of_the_vocabulary(scenes):
    for scene in scenes:
        assert re.fullmatch(r"[a-z]+(,? [a-z]+)*", scene.caption)
        assert set(re.findall("[a-z]+", scene.caption)) <= set(VOCABULARY), scene.caption


@pytest.mark.parametrize("sentence", [*ENDS, "a crowd of many colorful shapes on a striped green background"])
def test_sentences_of_the_paper_and_the_lessons_have_no_unknown_words(sentence):
    assert unknown_words(sentence) == []


def test_unknown_words_are_named_once_in_order_whatever_their_case_and_punctuation():
    assert unknown_words("Two Zebras, a RED circle and two zebras... don't!") == ["zebras", "don't"]
    assert unknown_words("") == unknown_words(" ,.!") == []


def test_the_vocabulary_has_no_word_twice_and_every_colour_number_and_shape():
    assert len(set(VOCABULARY)) == len(VOCABULARY)
    shapes = {name for pairs in SHAPES.values() for pair in pairs for name in pair}
    assert {*COLORS, *NUMBERS.values(), *shapes} <= set(VOCABULARY)


def test_number_words_are_the_numbers_of_things(scenes):
    words = {1: "an?", **NUMBERS}
    checked = 0
    for scene in scenes:
        if scene.arrangement not in ("single", "relation", "list", "groups"):
            continue
        kinds = Counter((thing.shape, thing.color) for thing in scene.things)
        for (shape, color), count in kinds.items():
            sizes = r"(?:(?:small|tiny|little|large|big|huge) )?"
            pattern = rf"\b{words[count]} {sizes}{color} {names(shape, count > 1)}\b"
            assert len(re.findall(pattern, scene.caption)) == 1, (pattern, scene.caption)
            checked += 1
        said = [word for word in scene.caption.split() if word in NUMBERS.values()]
        assert sorted(said) == sorted(NUMBERS[count] for count in kinds.values() if count > 1), scene.caption
    assert checked > 1000


def test_articles_and_verbs_agree(scenes):
    for scene in scenes:
        assert not re.search(r"\ba [aeiou]|\ban [^aeiou]", scene.caption), scene.caption
        assert re.match(r"there is an? |there are (two|three|four|five|six|many|lots) |(?!there)", scene.caption)


def test_colour_words_are_the_colours_of_ground_and_things(scenes):
    for scene in scenes:
        said = {word for word in re.findall("[a-z]+", scene.caption) if word in COLORS}
        ground = set(scene.ground.colors)
        things = {thing.color for thing in scene.things}
        said -= {"green"} if scene.ground.kind == "park" and "green park" in scene.caption else set()
        assert ground <= said, scene.caption
        if scene.arrangement == "crowd":
            assert said - ground in (things, set()), scene.caption
            assert said - ground == (things if len(things) == 1 else set()), scene.caption
        else:
            assert said == ground | things, scene.caption


def test_crowds_are_many_and_only_crowds_are_called_so(scenes):
    for scene in scenes:
        said = re.search(r"\b(crowd|many|lots)\b", scene.caption) is not None
        assert said == (len(scene.things) >= 8), scene.caption


def test_relation_words_agree_with_positions(scenes):
    seen = Counter()
    for scene in scenes:
        found = re.search(r"\b(left of|right of|above|below|under)\b", scene.caption)
        assert (found is not None) == (scene.arrangement == "relation"), scene.caption
        if not found:
            continue
        before, after = scene.caption[: found.start()], scene.caption[found.end() :]
        first, second = scene.things
        assert re.search(rf"\b{first.color} {names(first.shape, False)}\b", before), scene.caption
        assert re.search(rf"\b{second.color} {names(second.shape, False)}\b", after), scene.caption
        gap = {
            "left of": second.x - first.x,
            "right of": first.x - second.x,
            "above": second.y - first.y,
            "below": first.y - second.y,
            "under": first.y - second.y,
        }
        assert gap[found[0]] > 0.3, scene.caption
        seen[found[0]] += 1
    assert len(seen) == 5


def test_words_for_places_agree_with_positions(scenes):
    seen = Counter()
    for scene in scenes:
        for word, near in {
            "left": lambda t: t.x < 0.4,
            "right": lambda t: t.x > 0.6,
            "top": lambda t: t.y < 0.4,
            "bottom": lambda t: t.y > 0.6,
            "center": lambda t: 0.35 < t.x < 0.65 and 0.35 < t.y < 0.65,
        }.items():
            if scene.arrangement == "single" and word in scene.caption.split():
                assert near(scene.things[0]), scene.caption
                seen[word] += 1
    assert len(seen) == 5


def test_words_for_sizes_agree_with_radii(scenes):
    seen = Counter()
    for scene in scenes:
        if scene.arrangement == "crowd":
            continue
        for shape, color in {(thing.shape, thing.color) for thing in scene.things}:
            radii = [thing.radius for thing in scene.things if (thing.shape, thing.color) == (shape, color)]
            name = names(shape, len(radii) > 1)
            found = re.search(rf"\b(small|tiny|little|large|big|huge) {color} {name}\b", scene.caption)
            if found:
                small = found[1] in ("small", "tiny", "little")
                assert max(radii) < 0.14 if small else min(radii) > 0.28, scene.caption
                seen[small] += 1
    assert len(seen) == 2


# --- pictures -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [16, 64, 100])
def test_pictures_are_float_in_unit_range(scenes, size):
    pictures = draw(scenes[:24], size=size)
    assert pictures.shape == (24, 3, size, size)
    assert pictures.dtype == torch.float32
    assert pictures.isfinite().all()
    assert pictures.min() >= 0
    assert pictures.max() <= 1


def test_a_scene_drawn_alone_is_the_scene_drawn_in_a_batch(scenes):
    grounds = {scene.ground.kind: scene for scene in scenes if scene.things}
    group = [*grounds.values(), *scenes[:20]]
    assert len(grounds) == 9
    together = draw(group)
    for scene, picture in zip(group, together, strict=True):
        torch.testing.assert_close(draw([scene])[0], picture, atol=1e-6, rtol=0)


def test_a_picture_depends_on_the_scene_alone(scenes):
    torch.manual_seed(1)
    first = draw(scenes[:8])
    torch.manual_seed(2)
    assert torch.equal(draw(scenes[:8]), first)


@pytest.mark.parametrize("color", COLORS)
def test_a_plain_wall_has_its_colour_everywhere(color):
    picture = draw([on_wall(color=color)])[0]
    expected = torch.tensor(COLORS[color]).view(3, 1, 1).expand_as(picture)
    torch.testing.assert_close(picture, expected)


@pytest.mark.parametrize("shape", [shape for shape in SHAPES if shape != "ring"])
@pytest.mark.parametrize("color", ["red", "black", "teal"])
def test_the_centre_of_a_big_thing_has_its_colour(shape, color):
    x, y = 0.4, 0.6
    picture = draw([on_wall(Thing(shape, color, x, y, 0.3))], size=64)[0]
    torch.testing.assert_close(picture[:, int(y * 64), int(x * 64)], torch.tensor(COLORS[color]))


def test_one_sees_through_a_ring():
    picture = draw([on_wall(Thing("ring", "red", 0.5, 0.5, 0.3))], size=64)[0]
    torch.testing.assert_close(picture[:, 32, 32], torch.tensor(COLORS["white"]))
    torch.testing.assert_close(picture[:, 32, 32 + round(0.7 * 0.3 * 64)], torch.tensor(COLORS["red"]))


AREAS = {  # of unit shapes, by the formulas of school
    "circle": math.pi * 0.95**2,
    "square": 1.68**2,
    "triangle": 3 * math.sqrt(3) * 0.6**2,  # equilateral, by its inscribed circle
    "diamond": 2 * 1.05 * (1.05 / 1.35),
    "ring": math.pi * (0.94**2 - 0.46**2),
    "cross": 2 * 1.90 * 0.58 - 0.58**2,
    "star": 10 * 0.5 * 1.05 * 0.46 * math.sin(math.pi / 5),
}


@pytest.mark.parametrize("shape", AREAS)
def test_a_shape_covers_its_area(shape):
    radius, size = 0.35, 256
    picture = draw([on_wall(Thing(shape, "black", 0.51, 0.49, radius))], size=size)[0, 0]
    white, black = COLORS["white"][0], COLORS["black"][0]
    share = ((white - picture) / (white - black)).mean().item()
    assert share == pytest.approx(AREAS[shape] * radius**2, rel=0.02)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_thing_stays_close_to_its_radius(shape):
    radius, size = 0.3, 128
    picture = draw([on_wall(Thing(shape, "black", 0.5, 0.5, radius))], size=size)[0, 0]
    rows, columns = torch.nonzero(picture < 0.5, as_tuple=True)
    extent = torch.stack([(rows + 0.5) / size - 0.5, (columns + 0.5) / size - 0.5]).abs().amax().item()
    assert 0.8 * radius < extent < 1.1 * radius


@pytest.mark.parametrize("shape", SHAPES)
def test_edges_are_anti_aliased(shape):
    picture = draw([on_wall(Thing(shape, "black", 0.503, 0.497, 0.3))], size=64)[0, 0]
    white, black = COLORS["white"][0], COLORS["black"][0]
    between = ((picture > black + 0.05) & (picture < white - 0.05)).sum().item()
    assert 15 < between < 64 * 64 * 0.15


def test_a_picture_averaged_down_is_the_picture_drawn_small(scenes):
    large = torch.nn.functional.avg_pool2d(draw(scenes[:24], size=256), 4)
    small = draw(scenes[:24], size=64)
    differences = (large - small).abs()
    assert differences.mean() < 0.005
    assert differences.quantile(0.99) < 0.08


def test_later_things_are_painted_over_earlier_ones():
    first, second = Thing("square", "red", 0.4, 0.5, 0.3), Thing("square", "blue", 0.6, 0.5, 0.3)
    pictures = draw([on_wall(first, second), on_wall(second, first)], size=64)
    for picture, color in zip(pictures, ("blue", "red"), strict=True):
        torch.testing.assert_close(picture[:, 32, 32], torch.tensor(COLORS[color]))
        torch.testing.assert_close(picture[:, 32, 14], torch.tensor(COLORS["red"]))
        torch.testing.assert_close(picture[:, 32, 50], torch.tensor(COLORS["blue"]))


def test_a_thing_moved_moves_in_the_picture():
    thing = Thing("star", "purple", 0.25, 0.5, 0.15)
    left, right = draw([on_wall(thing), on_wall(replace(thing, x=0.75))], size=64)
    torch.testing.assert_close(left.roll(32, dims=2), right, atol=1e-4, rtol=0)


def test_two_colours_of_a_pattern_cover_about_as_much_each():
    for kind in ("gradient", "striped", "checkered"):
        grounds = [Scene(Ground(kind, ("black", "white"), seed)) for seed in range(8)]
        middle = (COLORS["black"][0] + COLORS["white"][0]) / 2
        assert draw(grounds)[:, 0].mean().item() == pytest.approx(middle, abs=0.08), kind
