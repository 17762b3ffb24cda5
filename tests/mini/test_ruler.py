"""The ruler: right is right and wrong is wrong by hand-made readings, and its distances are the textbook's."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import scipy.stats
import torch

from bfkit.mini import ruler, world
from bfkit.mini.judge import VERDICTS, Found, Judge, Reading, load_judge, save_judge, verdicts
from bfkit.mini.ruler import frechet_distance, paint_report, wilson
from bfkit.mini.train_judge import strew, targets
from bfkit.mini.world import Ground, Scene, Thing


def seen(scene: Scene, **changes) -> Reading:
    """What a perfect judge reads in a scene."""
    things = tuple(Found(t.shape, t.color, t.x, t.y) for t in scene.things)
    return replace(Reading(scene.ground.kind, frozenset(scene.ground.colors), things), **changes)


STAR, RING = Thing("star", "red", 0.25, 0.25, 0.15), Thing("ring", "blue", 0.75, 0.75, 0.15)
WALL = Ground("plain", ("white",))
PAIR = Scene(WALL, (STAR, RING), "list", "a red star and a blue ring on a white wall")
CORNER = Scene(WALL, (STAR,), "single", "a red star in the top left corner on a white wall")
BESIDE = Scene(WALL, (STAR, replace(RING, y=0.3)), "relation", "a red star left of a blue ring on a white wall")
CROWD = Scene(
    Ground("park"),
    tuple(Thing("heart", "pink", (i % 3 + 0.5) / 3, (i // 3 + 0.5) / 3, 0.14) for i in range(9)),
    "crowd",
    "many pink hearts in a park",
)


def test_a_perfect_reading_of_any_scene_is_right_in_all_that_the_caption_says():
    said = dict.fromkeys(VERDICTS, 0)
    for scene in world.sample_scenes(400, seed=21):
        judged = verdicts(seen(scene), scene)
        assert set(judged) == set(VERDICTS)
        assert False not in judged.values(), (scene.caption, judged)
        for name, right in judged.items():
            said[name] += right is not None
    assert min(said.values()) > 20, said


@pytest.mark.parametrize(
    ("scene", "reading", "wrong"),
    [
        (PAIR, seen(PAIR, ground="striped"), {"ground"}),
        (PAIR, seen(PAIR, ground_colors=frozenset({"gray"})), {"ground_colors"}),
        (PAIR, seen(PAIR, things=seen(PAIR).things[:1]), {"number", "colors", "shapes", "kinds"}),
        # the colours and the shapes are there, but the other way round
        (PAIR, seen(PAIR, things=(Found("star", "blue", 0.2, 0.2), Found("ring", "red", 0.8, 0.8))), {"kinds"}),
        (CORNER, seen(CORNER, things=(Found("star", "red", 0.75, 0.25),)), {"places"}),
        (CORNER, seen(CORNER, things=(Found("heart", "red", 0.25, 0.25),)), {"shapes", "kinds"}),
        (CORNER, seen(CORNER, things=()), {"number", "colors", "shapes", "kinds", "places"}),
        (BESIDE, seen(BESIDE, things=(Found("star", "red", 0.7, 0.3), Found("ring", "blue", 0.3, 0.3))), {"places"}),
        (CROWD, seen(CROWD, things=seen(CROWD).things[:6]), {"number", "colors", "shapes", "kinds"}),
        (CROWD, seen(CROWD, things=seen(CROWD).things[:7]), set()),
        (CROWD, seen(CROWD, things=(*seen(CROWD).things[:8], Found("star", "pink", 0.8, 0.8))), {"shapes", "kinds"}),
    ],
)
def test_what_is_wrong_is_called_wrong_and_nothing_else(scene, reading, wrong):
    judged = verdicts(reading, scene)
    assert {name for name, right in judged.items() if right is False} == wrong


def test_what_a_caption_does_not_say_is_not_judged():
    assert verdicts(seen(PAIR), PAIR)["places"] is None
    assert verdicts(seen(CROWD), CROWD)["ground_colors"] is None
    empty = Scene(WALL, caption="a white wall")
    assert verdicts(seen(empty), empty)["colors"] is None
    people = Scene(WALL, tuple(Thing("person", c, 0.5, 0.5, 0.1) for c in list(world.COLORS)[:9]), "crowd", "a crowd")
    assert verdicts(seen(people), people)["shapes"] is None


def test_the_frechet_distance_of_normal_samples_is_the_formula_of_their_moments():
    generator = torch.Generator().manual_seed(0)
    first = torch.randn((20_000, 3), generator=generator)
    scale, shift = torch.tensor([2.0, 0.5, 1.0]), torch.tensor([1.0, 0.0, -2.0])
    second = torch.randn((20_000, 3), generator=generator) * scale + shift
    # with diagonal covariances: squared distance of the means plus squared distance of the standard deviations
    expected = shift.square().sum() + (scale - 1).square().sum()
    assert frechet_distance(first, second) == pytest.approx(expected.item(), rel=0.05)
    assert frechet_distance(first, first) == pytest.approx(0, abs=1e-6)
    turn = torch.from_numpy(scipy.stats.ortho_group.rvs(3, random_state=0)).float()
    assert frechet_distance(first @ turn, second @ turn) == pytest.approx(frechet_distance(first, second), rel=1e-3)


@pytest.mark.parametrize(("right", "count"), [(0, 10), (3, 10), (10, 10), (412, 500)])
def test_the_interval_of_a_share_is_wilsons(right, count):
    expected = scipy.stats.binomtest(right, count).proportion_ci(method="wilson")
    assert wilson(right, count) == pytest.approx((expected.low, expected.high), abs=1e-6)


def test_strewn_things_lie_apart_within_the_picture_and_stand_out():
    import random

    rng, sizes = random.Random(0), []
    for scene in world.sample_scenes(200, seed=3):
        things = strew(scene.ground, rng).things
        sizes += [t.radius for t in things]
        for i, thing in enumerate(things):
            assert thing.radius <= min(thing.x, thing.y, 1 - thing.x, 1 - thing.y)
            assert thing.color not in scene.ground.colors
            assert all(np.hypot(t.x - thing.x, t.y - thing.y) > t.radius + thing.radius for t in things[:i])
    assert min(sizes) < 0.09
    assert max(sizes) > 0.3


def test_targets_have_their_peaks_at_the_things():
    centres, rows, kinds, colors = targets([PAIR, CROWD])
    assert (centres == 1).sum((1, 2)).tolist() == [2, 9]
    assert centres[0, 4, 4] == centres[0, 12, 12] == 1  # a quarter and three quarters of 16 cells
    assert rows[:2].tolist() == [
        [0, 4, 4, world.SHAPE_NAMES.index("star"), list(world.COLORS).index("red")],
        [0, 12, 12, world.SHAPE_NAMES.index("ring"), list(world.COLORS).index("blue")],
    ]
    assert kinds.tolist() == [world.GROUNDS.index("plain"), world.GROUNDS.index("park")]
    assert colors.sum(1).tolist() == [1, 0]


def test_a_judge_comes_back_from_its_folder(tmp_path):
    torch.manual_seed(0)
    model, pictures = Judge(widths=(8, 8, 16, 16)).eval(), world.draw(world.sample_scenes(3, seed=1))
    save_judge(model, tmp_path)
    for loaded, saved in zip(load_judge(tmp_path)(pictures), model(pictures), strict=True):
        torch.testing.assert_close(loaded, saved, atol=0.02, rtol=0)
    (tmp_path / "config.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"config\.json"):
        load_judge(tmp_path)


def test_the_report_has_a_row_a_step_count_subset_and_verdict_and_tells_a_painter_from_none(monkeypatch):
    scenes = world.sample_scenes(40, seed=8)

    class Perfect:
        """Reads in a picture the scene that it was drawn from, whose index is in its first pixel."""

        def read(self, pictures):
            index = (pictures[:, 0, 0, 0] * 1000).round().long().tolist()
            return [seen(scenes[i % 40]) for i in index], torch.randn(
                (len(pictures), 4), generator=torch.Generator().manual_seed(0)
            )

    def marked(order):
        pictures = torch.zeros(len(order), 3, 8, 8)
        pictures[:, 0, 0, 0] = torch.tensor(order) / 1000
        return pictures

    monkeypatch.setattr(ruler.world, "draw", lambda group: marked([i % 40 for i in range(len(group))]))
    # at 5 steps the painter paints each caption's scene, at 9 the next one's
    monkeypatch.setattr(ruler, "paint", lambda pipe, captions, steps, guidance: marked(
        [(i + (steps == 9)) % 40 for i in range(len(captions))]))  # fmt: skip
    table = paint_report(None, Perfect(), scenes, (5, 9), name="x")
    right = table.filter(pl.col("verdict") != "frechet")
    assert right.filter(steps=5)["value"].unique().to_list() == [1.0]
    assert right.filter(steps=9, subset="all", verdict="kinds")["value"].item() < 0.3
    assert (right["drawn"] == 1).all()
    assert (right["low"] <= right["value"]).all() and (right["value"] <= right["high"]).all()
    assert table.filter(verdict="frechet")["steps"].to_list() == [5, 9]
    assert table.select("steps", "subset").equals(table.sort("steps", "subset").select("steps", "subset"))
    counts = right.filter(steps=5, verdict="number")
    assert counts.filter(subset="all")["count"].item() == 40 == counts.filter(pl.col("subset") != "all")["count"].sum()


def painted(*rows: tuple[str, int, str, float, float, float]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=["subset", "steps", "verdict", "value", "low", "high"], orient="row")


def test_the_title_is_what_the_last_step_count_says_as_far_as_it_can_be_told():
    rows = [("all", 5, "ground", 0.1, 0.0, 0.2), ("all", 33, "ground", 0.97, 0.95, 0.98),
            ("all", 33, "ground_colors", 0.6, 0.5, 0.7), ("single", 33, "ground", 0.2, 0.1, 0.3),
            ("all", 33, "frechet", 1.9, 1.9, 1.9)]  # fmt: skip
    assert ruler.ruler_title(painted(*rows)) == (
        "Of what is asked, ground is right in 97% (95% to 98%) of the pictures, ground colors in 60% (50% to 70%)"
    )
    alike = [rows[1], ("all", 33, "ground_colors", 0.94, 0.9, 0.96)]
    assert "all is right about as often" in ruler.ruler_title(painted(*alike))


def test_what_more_steps_mend_is_only_what_they_surely_mend():
    rows = [("all", 5, "ground", 0.9, 0.85, 0.93), ("all", 33, "ground", 0.92, 0.88, 0.95),
            ("all", 5, "shape", 0.2, 0.1, 0.3), ("all", 33, "shape", 0.6, 0.5, 0.7)]  # fmt: skip
    assert ruler.ruler_finding(painted(*rows)) == (
        "From 5 steps to 33, these become surely more often right: shape; these do not: ground"
    )
    worse = [("all", 5, "shape", 0.6, 0.5, 0.7), ("all", 33, "shape", 0.2, 0.1, 0.3)]
    assert "nothing becomes surely more often right" in ruler.ruler_finding(painted(*worse))
