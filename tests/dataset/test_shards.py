"""A shard holds what its name says; a folder of them is complete, goes on where it was, and mixes with nothing else."""

import json
import platform
import shutil
from dataclasses import replace
from itertools import chain
from pathlib import Path

import polars as pl
import pytest
import torch
from dataset_helpers import assert_same_rows, contents, shard_files
from polars.testing import assert_frame_equal

from bfkit import paper
from bfkit.dataset import shards
from bfkit.dataset.build import build_dataset
from bfkit.dataset.measure import picture_path
from bfkit.dataset.shards import Shard, configuration, list_shards, write_shard
from bfkit.dataset.table import ORDER, SCHEMA, read_metadata, read_scores, read_table, write_table
from bfkit.devices import hardware
from bfkit.mini.world import captioned_scenes
from bfkit.profiles import PROFILES, Family, PredictorSettings
from bfkit.sampling.generate import generate

IMAGES_A_SHARD = 12  # two prompts of the random profile, by conftest.small_shards
PROMPTS = list(captioned_scenes(5, seed=3))  # three shards: two, two and one


@pytest.fixture(scope="module")
def finished(random_profile, tmp_path_factory) -> Path:
    """A finished data set of five prompts with its pictures; tests copy it before they change anything."""
    folder = tmp_path_factory.mktemp("dataset")
    build_dataset(random_profile, PROMPTS, folder, keep_images=True)
    return folder


@pytest.fixture
def folder(finished, tmp_path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "dataset"))


@pytest.fixture
def nothing_may_be_drawn(pipe, monkeypatch):
    def fail(*_, **__):
        raise AssertionError("a picture was drawn")

    monkeypatch.setattr(type(pipe), "__call__", fail)


# --- making them ----------------------------------------------------------------------------------------------------


def test_every_prompt_seed_and_step_count_has_one_row(finished):
    table = read_scores(finished)
    assert table.schema == SCHEMA
    assert table.rows_by_key(["prompt_id", "seed", "steps"], unique=True).keys() == {
        (number, seed, steps) for number in range(5) for seed in (0, 1) for steps in (1, 2, 4)
    }
    assert_frame_equal(table, table.sort(ORDER))
    assert table["prompt"].to_list() == [prompt for prompt in PROMPTS for _ in range(6)]
    assert len(shard_files(finished)) == 3


def test_every_value_is_a_number_in_its_range(finished):
    table = read_scores(finished)
    assert table.drop("joules").null_count().sum_horizontal().item() == 0
    for name in paper.METRICS:
        assert table[name].is_between(0, 1).all(), name
        assert table[name].n_unique() > 3, name
    assert (table["seconds"] > 0).all()


@pytest.mark.parametrize(("number", "seed", "steps"), [(0, 0, 1), (3, 1, 2), (4, 1, 4)])
def test_a_row_is_the_score_of_that_prompts_picture(finished, pipe, scorer, random_profile, number, seed, steps):
    picture, target = (
        generate(pipe, [PROMPTS[number]], count, profile=random_profile, seeds=[seed]) for count in (steps, 4)
    )
    expected = scorer.score(picture, scorer.features(target))
    row = read_scores(finished).filter(prompt_id=number, seed=seed, steps=steps).row(0, named=True)
    for name, value in expected.items():
        assert row[name] == pytest.approx(value.item(), abs=2e-4), name


def test_rows_depend_neither_on_other_prompts_nor_on_torchs_seed(finished, random_profile, tmp_path):
    torch.manual_seed(12345)
    build_dataset(random_profile, PROMPTS[4:], tmp_path)
    rows = read_scores(finished).filter(prompt_id=4).with_columns(prompt_id=pl.lit(0, pl.UInt32))
    assert_same_rows(read_scores(tmp_path), rows, tolerance=2e-4)


def test_every_shard_carries_its_configuration_and_hardware_but_no_host(finished, random_profile):
    for path in shard_files(finished):
        noted = read_metadata(path)
        assert noted["configuration"] == configuration(random_profile)
        assert noted["hardware"] == hardware("cpu")
        assert noted["hardware"]["torch"] == torch.__version__
        assert platform.node() not in json.dumps(noted)


# --- how large they are ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seeds", "counts"), [(4, 12), (1, 1), (2, 3), (1, 129), (4, 65), (3, 129), (8, 129), (1, 1000), (2, 400), (9, 300)]
)
def test_a_shard_has_256_to_1024_images_whatever_the_profile(seeds, counts, tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "IMAGES_A_SHARD", 384)
    profile = replace(PROFILES["mini"], seeds=tuple(range(seeds)), step_counts=tuple(range(1, counts + 1)))
    planned = list_shards(profile, [f"prompt {number}" for number in range(800)], tmp_path)
    keys = list(chain.from_iterable(shard.keys() for shard in planned))
    assert len(keys) == len(set(keys)) == 800 * seeds * counts, "every row is in one shard"
    last = max(shard.first_id for shard in planned)
    assert all(256 <= len(shard.keys()) <= 1024 for shard in planned if shard.first_id < last)
    assert all(len(shard.keys()) <= 1024 for shard in planned)


def test_seeds_split_over_shards_give_the_same_rows(finished, random_profile, tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "MOST_IMAGES", 3)
    made = build_dataset(random_profile, PROMPTS[:2], tmp_path)
    assert [shard.seeds for shard in made] == [(0,), (1,)]
    assert_same_rows(read_scores(tmp_path), read_scores(finished).filter(pl.col("prompt_id") < 2), tolerance=2e-4)


# --- what is complete -----------------------------------------------------------------------------------------------


def plan(random_profile, folder: Path) -> list[Shard]:
    return list_shards(random_profile, PROMPTS, folder)


def test_a_finished_data_set_run_again_draws_nothing_and_stays_as_it_is(folder, random_profile, nothing_may_be_drawn):
    before = contents(folder)
    made = build_dataset(random_profile, PROMPTS, folder, keep_images=True)
    assert [shard.path for shard in made] == shard_files(folder)
    assert contents(folder) == before


def test_another_batch_size_goes_on_with_the_same_data_set(folder, random_profile, nothing_may_be_drawn):
    build_dataset(replace(random_profile, batch=7), PROMPTS, folder)


def test_no_flipped_bit_goes_unseen_wherever_it_is(folder, random_profile):
    shard = plan(random_profile, folder)[0]
    whole = shard.path.read_bytes()
    assert shard.is_complete()
    for at in range(0, len(whole), 7):
        damaged = bytearray(whole)
        damaged[at] ^= 1 << at % 8
        shard.path.write_bytes(damaged)
        assert not shard.is_complete(), f"byte {at} of {len(whole)}"


@pytest.mark.parametrize("keep", [0, 3, 200, -1, -20, -1000])
def test_a_shard_cut_short_is_not_complete(folder, random_profile, keep):
    shard = plan(random_profile, folder)[0]
    shard.path.write_bytes(shard.path.read_bytes()[:keep])
    assert not shard.is_complete()


def rows_of_another_prompt(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(prompt=pl.col("prompt").str.reverse())


@pytest.mark.parametrize(
    "change",
    [
        lambda frame: frame[1:],
        lambda frame: pl.concat([frame, frame[:1]]),
        lambda frame: frame.with_columns(seed=pl.col("seed") + 1),
        lambda frame: frame.with_columns(steps=pl.lit(1, pl.UInt16)),
        lambda frame: frame.drop("d_sim"),
        rows_of_another_prompt,
    ],
    ids=["a row less", "a row twice", "other seeds", "other steps", "no D-SIM", "other prompts"],
)
def test_an_intact_file_with_other_rows_than_its_name_says_is_not_complete(folder, random_profile, change):
    shard = plan(random_profile, folder)[0]
    frame, noted = read_table(shard.path)
    write_table(frame, shard.path, noted)
    assert shard.is_complete(), "written again as it was, it is"
    write_table(change(frame), shard.path, noted)
    assert not shard.is_complete()


def test_a_shard_under_another_ones_name_is_not_complete(folder, random_profile):
    first, second, _ = plan(random_profile, folder)
    shutil.copy(second.path, first.path)
    assert not first.is_complete()


def test_a_file_of_another_kind_under_a_shards_name_is_not_complete(folder, random_profile):
    shard = plan(random_profile, folder)[0]
    pl.DataFrame({"price": [1.0]}).write_parquet(shard.path)
    assert not shard.is_complete()


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(b"")], ids=["lost", "empty"])
def test_a_shard_whose_pictures_are_kept_is_complete_only_with_all_of_them(folder, random_profile, damage):
    shard, pictures = plan(random_profile, folder)[1], folder / "pictures"
    assert shard.is_complete(pictures)
    damage(picture_path(pictures, 2, 1, 4))
    assert not shard.is_complete(pictures)
    assert shard.is_complete(), "its rows are all there"


def test_pictures_asked_for_later_are_drawn_then(tmp_path, random_profile):
    rows = build_dataset(random_profile, PROMPTS[:1], tmp_path) and read_scores(tmp_path)
    assert not (tmp_path / "pictures").exists()
    build_dataset(random_profile, PROMPTS[:1], tmp_path, keep_images=True)
    assert len(list((tmp_path / "pictures").rglob("*.webp"))) == 6
    assert_same_rows(read_scores(tmp_path), rows)


# --- what is refused ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"guidance": 2.0}, "guidance: 3.0 there, 2.0 here"),
        ({"seeds": (0, 2)}, r"seeds: \[0, 1\] there, \[0, 2\] here"),
        ({"step_counts": (1, 2, 5)}, r"step_counts: \[1, 2, 4\] there, \[1, 2, 5\] here"),
        ({"spacing": "trailing"}, "scheduler: .*linspace there, .*trailing here"),
        ({"dtype": "bfloat16"}, "dtype: float32 there, bfloat16 here"),
        ({"i_clip": "image"}, "i_clip: caption there, image here"),
        ({"l_snr": "residual"}, "l_snr: laplacian_snr there, residual here"),
        ({"clip": "hf-hub:some/clip"}, "clip: [0-9a-f]{16} there, hf-hub:some/clip here"),
        ({"family": Family(embeddings=("prompt_embeds",), denoiser="transformer")}, "family: .* here"),
        ({"seeds": (0,), "guidance": 2.0}, r"guidance: 3.0 there, 2.0 here; seeds: \[0, 1\] there, \[0\] here"),
    ],
)
def test_another_configuration_is_refused_naming_what_differs(
    folder, random_profile, nothing_may_be_drawn, change, words
):
    before = contents(folder)
    with pytest.raises(ValueError, match=rf"another configuration \({words}\)"):
        build_dataset(replace(random_profile, **change), PROMPTS, folder)
    assert contents(folder) == before


def test_another_configuration_is_found_in_whichever_shard_it_is(folder, random_profile):
    path = shard_files(folder)[-1]
    frame, noted = read_table(path)
    write_table(frame, path, {**noted, "configuration": {**noted["configuration"], "guidance": 9.0}})
    with pytest.raises(ValueError, match=r"guidance: 9.0 there, 3.0 here"):
        plan(random_profile, folder)


@pytest.mark.parametrize(
    "change", [{"captions": "val2017"}, {"predictor": PredictorSettings(layers=1)}, {"prompts": 3}]
)
def test_what_does_not_touch_the_rows_is_no_other_configuration(random_profile, change):
    assert configuration(replace(random_profile, **change)) == configuration(random_profile)


@pytest.mark.parametrize(
    ("part", "file"),
    [("perceptual", "model.safetensors"), ("pipeline", "scheduler/scheduler_config.json"), ("clip", "tokenizer.json")],
)
def test_other_weights_or_settings_of_a_model_are_another_configuration(
    folder, random_profile, random_folder, tmp_path, part, file
):
    other = shutil.copytree(random_folder / part, tmp_path / part)
    changed = bytearray((other / file).read_bytes())
    changed[-2] ^= 1
    (other / file).write_bytes(changed)
    with pytest.raises(ValueError, match=rf"another configuration \({part}: \w+ there, \w+ here\)"):
        list_shards(replace(random_profile, **{part: str(other)}), PROMPTS, folder)


def test_weights_trained_anew_in_place_are_seen_in_the_same_process(random_profile, random_folder, tmp_path):
    own = replace(random_profile, perceptual=str(shutil.copytree(random_folder / "perceptual", tmp_path / "own")))
    before = configuration(own)["perceptual"]
    path = tmp_path / "own" / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert configuration(own)["perceptual"] != before


def test_weights_are_read_once_however_often_the_configuration_is_asked_for(random_profile, monkeypatch):
    configuration(random_profile)
    monkeypatch.setattr(shards.hashlib, "file_digest", lambda *_: pytest.fail("weights were read again"))
    configuration(random_profile)


def test_the_same_weights_elsewhere_are_the_same_configuration(
    folder, random_profile, random_folder, tmp_path, nothing_may_be_drawn
):
    moved = shutil.copytree(random_folder, tmp_path / "moved")
    (moved / "clip" / "README.md").write_text("Notes decide nothing.")
    paths = {part: str(moved / part) for part in ("pipeline", "clip", "perceptual")}
    build_dataset(replace(random_profile, **paths), PROMPTS, folder)


def test_other_prompts_in_one_folder_are_refused_naming_the_first(folder, random_profile, nothing_may_be_drawn):
    before = contents(folder)
    with pytest.raises(ValueError, match=f"other prompts .number 2: {PROMPTS[2]!r} there, {PROMPTS[3]!r} here"):
        build_dataset(random_profile, [*PROMPTS[:2], *PROMPTS[3:]], folder)
    assert contents(folder) == before


def test_a_longer_list_of_prompts_goes_on_where_the_shorter_ended(tmp_path, random_profile, finished):
    build_dataset(random_profile, PROMPTS[:3], tmp_path)
    first = shard_files(tmp_path)[0]
    before = first.stat().st_mtime_ns
    build_dataset(random_profile, PROMPTS, tmp_path)
    assert_same_rows(read_scores(tmp_path), read_scores(finished), tolerance=2e-4)
    assert first.stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("change", "prompts", "words"),
    [
        ({}, [], "no prompts"),
        ({}, ["a wall", " "], "prompt 1 is empty"),
        ({"step_counts": (1, 1001)}, PROMPTS, "whole number from 1 to 1000; got 1001"),
        ({"step_counts": ()}, PROMPTS, r"step_counts are \(\): give at least one"),
        ({"seeds": (3, 3)}, PROMPTS, r"seeds are \(3, 3\): .* each once"),
    ],
)
def test_bad_input_is_refused_before_anything_is_made(random_profile, tmp_path, change, prompts, words):
    with pytest.raises(ValueError, match=words):
        build_dataset(replace(random_profile, **change), prompts, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_shard_planned_with_other_weights_is_not_written(tmp_path, random_profile, pipe, scorer):
    shard = list_shards(replace(random_profile, clip="hf-hub:some/clip"), PROMPTS, tmp_path)[0]
    with pytest.raises(ValueError, match=r"the models of mini are not those that shard-000000-.* was planned with"):
        write_shard(pipe, scorer, random_profile, shard, 1.0)
    assert not contents(tmp_path)


def test_a_folder_that_this_machine_does_not_see_is_named(tmp_path, random_profile, pipe, scorer):
    shard = list_shards(random_profile, PROMPTS, tmp_path / "elsewhere")[0]
    with pytest.raises(FileNotFoundError, match=r"elsewhere is not there on .*a file system that all of them share"):
        write_shard(pipe, scorer, random_profile, shard, 1.0)
