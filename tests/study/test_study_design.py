"""Studies as they are dealt and written: balanced, matched, repeatable, and refused in a sentence."""

import io
from collections import Counter

import numpy as np
import polars as pl
import pytest
import torch
from PIL import Image, PngImagePlugin
from study_helpers import STEPS, pictures

from bfkit import study
from bfkit.study.design import Design, deal, settle, sides
from bfkit.study.folder import Page
from bfkit.study.pictures import FIELDS, decoy, matched, to_png
from bfkit.study.records import trial_table


def _deal(stimuli: int = 30, **options) -> tuple[Design, tuple]:
    design = settle(Design(**options), stimuli)
    return design, deal(design, stimuli)


def test_in_every_order_each_condition_is_on_the_left_half_of_the_time():
    _, orders = _deal(trials=20)
    for order in orders:
        assert Counter(trial.swapped for trial in order if trial.kind == "main") == {True: 10, False: 10}
        assert len({trial.stimulus for trial in order if trial.kind == "main"}) == 20


def test_every_second_order_mirrors_the_one_before_when_all_is_shown():
    _, orders = _deal(12, trials=12, checks=0, practice=0, repeats=0)
    for one, other in zip(orders[::2], orders[1::2], strict=True):
        assert {t.stimulus: t.swapped for t in one} == {t.stimulus: not t.swapped for t in other}


def test_over_the_orders_every_stimulus_comes_equally_often_and_on_both_sides():
    _, orders = _deal(31, trials=20, orders=62)
    main = [trial for order in orders for trial in order if trial.kind == "main"]
    shown = Counter(trial.stimulus for trial in main)
    swapped = Counter(trial.stimulus for trial in main if trial.swapped)
    assert set(shown.values()) == {40}
    assert all(abs(2 * swapped[stimulus] - 40) <= 4 for stimulus in shown)


def test_orders_differ_and_the_same_seed_deals_them_again():
    _, orders = _deal(trials=20)
    assert len(set(orders)) == len(orders) == 200
    assert _deal(trials=20)[1] == orders != _deal(trials=20, seed=1)[1]


def test_a_repeat_comes_back_much_later_with_the_sides_exchanged():
    _, orders = _deal(trials=24, repeats=8)
    for order in orders:
        main = [trial for trial in order if trial.kind == "main"]
        repeats = [(place, trial) for place, trial in enumerate(order) if trial.kind == "repeat"]
        assert len(repeats) == 8
        for place, trial in repeats:
            first = next(n for n, t in enumerate(order) if t.kind == "main" and t.stimulus == trial.stimulus)
            assert order[first].swapped != trial.swapped
            assert sum(t.kind == "main" for t in order[first + 1 : place]) >= len(main) // 3 - 1


def test_practice_is_first_checks_are_spread_and_both_have_prompts_of_their_own_where_there_are_enough():
    _, orders = _deal(26, trials=20, checks=4, practice=2)
    for order in orders:
        kinds = [trial.kind for trial in order]
        assert kinds[:2] == ["practice"] * 2 and kinds.count("check") == 4 and kinds.count("practice") == 2
        main = {trial.stimulus for trial in order if trial.kind in ("main", "repeat")}
        assert not main & {trial.stimulus for trial in order if trial.kind in ("check", "practice")}
        places = [n for n, kind in enumerate(kinds) if kind == "check"]
        assert places[1] <= len(order) / 2 + 3 and places[2] >= len(order) / 2 - 3
        assert Counter(t.swapped for t in order if t.kind == "check") == {True: 2, False: 2}


def test_sides_follow_the_protocol():
    _, orders = _deal()
    trial = next(t for t in orders[0] if t.kind == "main" and not t.swapped)
    check = next(t for t in orders[0] if t.kind == "check" and t.swapped)
    assert sides("similar", trial) == ("OURS", "UNIFORM") and sides("reference", trial) == ("OURS", "REFERENCE")
    assert sides("similar", check) == sides("reference", check) == ("DECOY", "REFERENCE")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"trials": 7}, "7 trials cannot be counterbalanced"),
        ({"trials": 0}, "0 trials cannot be counterbalanced"),
        ({"trials": 32}, "32 trials want as many prompts"),
        ({"trials": 12, "repeats": 5}, "at most a third"),
        ({"checks": -1}, "each from 0"),
        ({"orders": 3}, "3 orders cannot mirror"),
        ({"protocol": "better"}, "unknown protocol 'better': choose one of similar, reference"),
    ],
)
def test_an_odd_design_is_refused_with_a_sentence_and_nothing_is_written(tmp_path, options, sentence):
    with pytest.raises(ValueError, match=sentence):
        study.build(pictures(30, size=4), tmp_path / "page", **options)
    assert not (tmp_path / "page").exists()


def test_a_written_study_is_read_back_and_the_same_call_writes_the_same_bytes(tmp_path):
    made = study.build(pictures(8), tmp_path / "a", trials=4, seed=3)
    study.build(pictures(8), tmp_path / "b", trials=4, seed=3)
    assert study.read_study(tmp_path / "a") == made
    for path in (tmp_path / "a").rglob("*"):
        assert path.is_dir() or path.read_bytes() == (tmp_path / "b" / path.relative_to(tmp_path / "a")).read_bytes()


def test_each_condition_keeps_its_own_pixels_and_steps(tmp_path):
    given = {(row[0], row[2]): row for row in pictures(6)}
    made = study.build(given.values(), tmp_path / "page", trials=2)
    for stimulus in made.stimuli:
        for name, steps in STEPS.items():
            pixels = np.asarray(Image.open(tmp_path / "page" / stimulus.pictures[name].file)) / 255
            assert stimulus.pictures[name].steps == steps
            assert np.abs(pixels.transpose(2, 0, 1) - given[stimulus.prompt, name][4]).max() <= 0.5 / 255 + 1e-9


def test_frames_rows_paths_images_and_tensors_make_the_same_study(tmp_path):
    rows = pictures(4)
    as_rows = study.build(rows, tmp_path / "rows", trials=2)
    images = [Image.fromarray((row[4] * 255).round().astype(np.uint8).transpose(1, 2, 0)) for row in rows]
    for number, image in enumerate(images):
        image.save(tmp_path / f"{number}.png")
    paths = [str(tmp_path / f"{number}.png") for number in range(len(rows))]
    frame = pl.DataFrame([(*row[:4], path) for row, path in zip(rows, paths, strict=True)], FIELDS, orient="row")
    assert study.build(frame, tmp_path / "frame", trials=2) == as_rows
    tensors = [(*row[:4], torch.from_numpy(row[4])) for row in rows]
    assert study.build(tensors, tmp_path / "tensors", trials=2) == as_rows
    dicts = [dict(zip(FIELDS, (*row[:4], image), strict=True)) for row, image in zip(rows, images, strict=True)]
    assert study.build(dicts, tmp_path / "dicts", trials=2) == as_rows


def test_a_table_names_pictures_relative_to_itself(tmp_path):
    rows = pictures(2)
    for number, row in enumerate(rows):
        (tmp_path / f"{number}.png").write_bytes(to_png(Image.fromarray((row[4][0] * 255).astype(np.uint8))))
    frame = pl.DataFrame([(*row[:4], f"{n}.png") for n, row in enumerate(rows)], FIELDS, orient="row")
    frame.write_csv(tmp_path / "pictures.csv")
    frame.write_parquet(tmp_path / "pictures.parquet")
    made = [
        study.build(study.read_pictures(tmp_path / f"pictures.{kind}"), tmp_path / kind, trials=2, checks=0, practice=0)
        for kind in ("csv", "parquet")
    ]
    assert made[0] == made[1] and len(made[0].stimuli) == 2
    frame.drop("seed").write_csv(tmp_path / "pictures.csv")
    with pytest.raises(ValueError, match="its columns are prompt, seed"):
        study.read_pictures(tmp_path / "pictures.csv")
    with pytest.raises(FileNotFoundError, match="there is no table of pictures"):
        study.read_pictures(tmp_path / "nowhere.csv")


def test_pictures_lose_the_metadata_that_tells_their_prompt():
    note = PngImagePlugin.PngInfo()
    note.add_text("parameters", "a secret prompt")
    buffer = io.BytesIO()
    Image.new("RGB", (4, 4), "red").save(buffer, "PNG", pnginfo=note)
    assert b"secret" in buffer.getvalue()
    assert b"secret" not in to_png(Image.open(buffer).convert("RGB"))


def test_a_decoy_is_plainly_another_picture_even_of_a_plain_wall():
    wall = Image.new("RGB", (48, 48), (200, 200, 200))
    spoiled = np.asarray(Image.open(io.BytesIO(decoy(to_png(wall), 1))), float)
    assert np.abs(spoiled - 200).mean() > 30 and spoiled.std() > 30


def _without(rows: list[tuple], number: int) -> list[tuple]:
    return rows[:number] + rows[number + 1 :]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda rows: _without(rows, 1), "seed 7 has no UNIFORM picture"),
        (lambda rows: [*rows, rows[0]], "is there twice"),
        (lambda rows: [*rows[1:], (*rows[0][:4], np.zeros((3, 8, 9)))], "is 9 x 8, others are 24 x 24"),
        (lambda rows: [*rows[1:], (*rows[0][:4], rows[0][4] * 2)], r"leaves \[0, 1\]"),
        (lambda rows: [*rows[1:], (*rows[0][:4], rows[0][4] * np.nan)], r"leaves \[0, 1\]"),
        (lambda rows: [*rows[1:], (*rows[0][:3], 0, rows[0][4])], "took 0 steps"),
        (lambda rows: [*rows[1:], (*rows[0][:3], None, rows[0][4])], "seed and steps are whole numbers"),
        (lambda rows: [*rows[1:], rows[0][:4]], "a picture is given as"),
        (lambda rows: [], "there are no pictures"),
        (lambda rows: [*rows[1:], (*rows[0][:4], "nowhere.png")], "there is no file nowhere.png"),
        (lambda rows: pl.DataFrame({"prompt": ["a"]}), "have no column seed, condition, steps, image"),
    ],
)
def test_pictures_that_do_not_match_are_refused_with_a_sentence(tmp_path, change, sentence):
    with pytest.raises((ValueError, FileNotFoundError), match=sentence):
        study.build(change(pictures(6)), tmp_path / "page", trials=2)
    assert not (tmp_path / "page").exists()


def test_a_damaged_picture_is_named(tmp_path):
    rows = pictures(1)
    whole = to_png(Image.fromarray((rows[0][4] * 255).astype(np.uint8).transpose(1, 2, 0)))
    (tmp_path / "half.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"half\.png is no picture, or damaged"):
        matched([*rows[1:], (*rows[0][:4], tmp_path / "half.png")], "similar")


def test_the_reference_protocol_does_without_uniform(tmp_path):
    rows = [row for row in pictures(6) if row[2] != "UNIFORM"]
    made = study.build(rows, tmp_path / "page", "reference", trials=4)
    main = trial_table(made).filter(kind="main")
    assert set(main["left_condition"]) | set(main["right_condition"]) == {"OURS", "REFERENCE"}
    assert main["reference_steps"].is_null().all()


def test_a_folder_of_something_else_or_of_another_study_is_left_alone(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "index.html").write_text("my page")
    with pytest.raises(ValueError, match="is not empty and holds no study"):
        study.build(pictures(4), tmp_path / "mine", trials=2)
    assert (tmp_path / "mine" / "index.html").read_text() == "my page"
    study.build(pictures(4), tmp_path / "one", trials=2)
    before = (tmp_path / "one" / "study.js").read_bytes()
    with pytest.raises(ValueError, match="holds another study"):
        study.build(pictures(4), tmp_path / "one", trials=4)
    assert (tmp_path / "one" / "study.js").read_bytes() == before


@pytest.mark.parametrize("address", ["javascript:alert(1)", "ftp://host/x", "file:///etc/passwd"])
def test_only_web_addresses_are_taken(tmp_path, address):
    with pytest.raises(ValueError, match="is no web address"):
        study.build(pictures(4), tmp_path / "page", trials=2, page=Page(redirect=address))


def test_a_study_changed_by_hand_or_damaged_is_not_read(tmp_path):
    study.build(pictures(4), tmp_path, trials=2)
    text = (tmp_path / "study.js").read_text()
    (tmp_path / "study.js").write_text(text.replace('"steps":17', '"steps":18', 1))
    with pytest.raises(ValueError, match="was changed by hand"):
        study.read_study(tmp_path)
    (tmp_path / "study.js").write_text(text.replace('"pictures/', '"../pictures/', 1))
    with pytest.raises(ValueError, match="is damaged"):
        study.read_study(tmp_path)
    (tmp_path / "study.js").write_text(text[:-100])
    with pytest.raises(ValueError, match="is damaged"):
        study.read_study(tmp_path)
    with pytest.raises(FileNotFoundError, match="holds no study"):
        study.read_study(tmp_path / "pictures")


def test_the_widget_carries_only_its_own_order_and_refuses_what_it_cannot_show(tmp_path):
    made = study.build(pictures(12), tmp_path, trials=2, checks=0, practice=0)
    widget = study.StudyWidget(tmp_path, order=1)
    assert widget.html.count("data:image/png") == 2 * 3
    assert "src=" not in widget.html.split("<main", 1)[1].split("<script>", 1)[0]
    assert widget.rows.is_empty() and len(made.orders) == 200
    with pytest.raises(ValueError, match="order 200: the study has 0 to 199"):
        study.StudyWidget(tmp_path, order=200)
    with pytest.raises(ValueError, match="take 1 to 64 letters"):
        study.StudyWidget(tmp_path, participant="</script>")
