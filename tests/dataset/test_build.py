"""The same rows, whoever makes the shards: this process, several, a part of them each, or a Ray cluster."""

import os
import subprocess
import sys
import types
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
import torch
from dataset_helpers import assert_same_rows, contents, shard_files

from bfkit.dataset import build
from bfkit.dataset.build import build_dataset, settle_prompts
from bfkit.dataset.executors import local
from bfkit.dataset.table import complete_prompts, held_out_ids, read_scores, split_by_prompt
from bfkit.mini.world import captioned_scenes

IMAGES_A_SHARD = 4  # two prompts of the brief profile, by conftest.small_shards
PROMPTS = list(captioned_scenes(12, seed=3))  # six shards of two
ON_RAY = """
import contextlib, os, threading, time
from pathlib import Path
import psutil
from bfkit import build_dataset
from bfkit.dataset import shards
from bfkit.profiles import *

folder, killed = Path({folder!r}), []
shards.IMAGES_A_SHARD = 4

def kill_one():
    while not killed:
        time.sleep(0.01)
        with contextlib.suppress(psutil.NoSuchProcess):
            for process in psutil.Process().children(recursive=True) if list(folder.glob("shard-*")) else ():
                if process.name().startswith("ray::_Actor.work"):
                    process.kill()
                    killed.append(process.pid)
                    break

os.chdir({elsewhere!r})
threading.Thread(target=kill_one, daemon=True).start()
build_dataset({profile!r}, {prompts!r}, folder, executor="ray", workers=2)
assert killed
"""


@pytest.fixture(scope="module")
def brief(random_profile):
    return replace(random_profile, seeds=(0,), step_counts=(1, 2), batch=2)


@pytest.fixture(scope="module")
def finished(brief, tmp_path_factory) -> Path:
    """A data set made in this process."""
    folder = tmp_path_factory.mktemp("here")
    build_dataset(brief, PROMPTS, folder)
    return folder


# --- its prompts ----------------------------------------------------------------------------------------------------


def test_prompts_are_chosen_once_and_a_resumed_or_shorter_run_reads_them(tmp_path, brief):
    captions = [f"caption {number}" for number in range(9)]
    assert settle_prompts(tmp_path, brief, captions, 3, lambda: ["a", "b", "c"]) == ["a", "b", "c"]
    assert settle_prompts(tmp_path, brief, captions, 3, pytest.fail) == ["a", "b", "c"]
    assert settle_prompts(tmp_path, brief, captions, 2, pytest.fail) == ["a", "b"]


@pytest.mark.parametrize(
    ("captions", "change", "count"),
    [(["x", "z"], {}, 2), (["x", "y"], {"clip": "hf-hub:another/clip"}, 2), (["x", "y"], {}, 3)],
    ids=["other captions", "another CLIP", "more of them"],
)
def test_prompts_are_chosen_anew_from_another_source_or_if_there_are_too_few(tmp_path, brief, captions, change, count):
    settle_prompts(tmp_path, brief, ["x", "y"], 2, lambda: ["a", "b"])
    again = list("abc")[:count]
    assert settle_prompts(tmp_path, replace(brief, **change), captions, count, lambda: again) == again
    assert settle_prompts(tmp_path, replace(brief, **change), captions, count, pytest.fail) == again


def test_of_two_runs_that_choose_at_once_the_first_decides(tmp_path, brief):
    def slowly() -> list[str]:
        settle_prompts(tmp_path, brief, ["x"], 1, lambda: ["the faster"])
        return ["the slower"]

    assert settle_prompts(tmp_path, brief, ["x"], 1, slowly) == ["the faster"]
    assert list(contents(tmp_path)) == ["prompts.json"]


def test_a_damaged_list_of_prompts_is_made_again(tmp_path, brief):
    settle_prompts(tmp_path, brief, ["x"], 1, lambda: ["a"])
    (tmp_path / "prompts.json").write_bytes((tmp_path / "prompts.json").read_bytes()[:-9])
    assert settle_prompts(tmp_path, brief, ["x"], 1, lambda: ["a"]) == ["a"]


# --- its shards -----------------------------------------------------------------------------------------------------


def test_shards_come_back_in_order_and_a_progress_bar_counts_them(tmp_path, brief, capsys):
    made = build_dataset(brief, PROMPTS[:5], tmp_path)
    assert [shard.path for shard in made] == shard_files(tmp_path)
    assert [shard.prompts for shard in made] == [tuple(PROMPTS[:2]), tuple(PROMPTS[2:4]), (PROMPTS[4],)]
    assert "3.0/3" in capsys.readouterr().err


def test_the_bar_moves_within_a_shard_too(tmp_path, brief, monkeypatch):
    """One shard is all there is to many a first try, and takes a minute."""
    moves = []

    class Bar(build.tqdm):
        def update(self, n: float = 1) -> bool | None:
            moves.append(n)
            return super().update(n)

    monkeypatch.setattr(build, "tqdm", Bar)
    (shard,) = build_dataset(brief, PROMPTS[:2], tmp_path)
    assert len(moves) > sum(shard.step_counts), "at every evaluation, and at the end"
    assert all(0 <= move < 0.5 for move in moves) and sum(moves) == pytest.approx(1)
    assert sum(moves[: len(moves) // 2]) > 0.3, "evenly"


def test_a_relative_folder_is_that_of_the_working_directory(tmp_path, brief, monkeypatch):
    monkeypatch.chdir(tmp_path)
    build_dataset(brief, PROMPTS[:1], Path("out"))
    assert len(shard_files(tmp_path / "out")) == 1


def test_parts_make_disjoint_shards_and_together_all(tmp_path, brief, finished):
    parts = [build_dataset(brief, PROMPTS, tmp_path, part=(number, 3)) for number in (1, 2, 3)]
    assert sorted(shard.first_id for part in parts for shard in part) == [0, 2, 4, 6, 8, 10]
    assert [len(part) for part in parts] == [2, 2, 2]
    assert_same_rows(read_scores(tmp_path), read_scores(finished))


def test_held_out_prompts_get_more_seeds_and_what_compares_all_prompts_leaves_them_out(tmp_path, brief, finished):
    shards = build_dataset(replace(brief, more_seeds=(1, 2)), PROMPTS, tmp_path)
    table, plain = read_scores(tmp_path), read_scores(finished)
    held_out = set(held_out_ids(plain))
    assert len(shards) == 6 + len(held_out) == 8
    assert_same_rows(table.filter(seed=0), plain)
    assert set(table.filter(pl.col("seed") > 0)["prompt_id"]) == held_out
    assert_same_rows(complete_prompts(table), plain)
    training, test = split_by_prompt(table)
    assert set(test["prompt_id"]) == held_out and test["seed"].unique().sort().to_list() == [0, 1, 2]
    assert set(training["seed"]) == {0} and training["prompt_id"].n_unique() == 10
    assert build_dataset(brief, PROMPTS, tmp_path), "a run with as many seeds for all goes on from there"


def test_more_parts_than_shards_leave_some_without_work(tmp_path, brief):
    assert build_dataset(brief, PROMPTS[:2], tmp_path, part=(16, 16)) == []
    assert not contents(tmp_path)


@pytest.mark.parametrize("part", [(0, 4), (5, 4), (1, 0), (-1, 4)])
def test_a_part_that_does_not_exist_is_refused(tmp_path, brief, part):
    with pytest.raises(ValueError, match=rf"part {part[0]}/{part[1]} does not exist"):
        build_dataset(brief, PROMPTS, tmp_path / "new", part=part)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"executor": "slurm"}, "unknown executor 'slurm': choose here or ray"),
        ({"device": "cuda:99"}, "no device cuda:99"),
        ({"device": "abacus"}, "unknown device 'abacus'"),
    ],
)
def test_an_executor_or_device_that_does_not_exist_is_refused_before_a_folder_is_made(tmp_path, brief, options, words):
    with pytest.raises(ValueError, match=words):
        build_dataset(brief, PROMPTS, tmp_path / "new", **options)
    assert not (tmp_path / "new").exists()


def test_a_folder_that_is_a_file_is_named(tmp_path, brief):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OSError, match="file"):
        build_dataset(brief, PROMPTS, tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.slow
def test_several_processes_make_the_same_rows(tmp_path, brief, finished):
    before = torch.get_num_threads()
    torch.set_num_threads(2)  # one each
    build_dataset(brief, PROMPTS, tmp_path, workers=2)
    torch.set_num_threads(before)
    assert_same_rows(read_scores(tmp_path), read_scores(finished), tolerance=2e-4)


def test_each_worker_has_a_gpu_of_its_own_and_there_are_no_more_workers_than_that(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert local.most_workers("cuda") == (2, "cuda is 2 GPUs, and each serves one worker")
    assert local.most_workers("cuda:1") == (1, "cuda:1 is 1 GPU, and each serves one worker")
    assert [local._nth_device("cuda", place) for place in range(2)] == ["cuda:0", "cuda:1"]
    assert local._nth_device("cuda:1", 0) == "cuda:1"
    assert local._nth_device("cpu", 5) == "cpu"


def test_more_workers_than_cores_are_not_started_and_that_is_said(tmp_path, brief, finished, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0}, raising=False)
    with pytest.warns(UserWarning, match="^1 instead of 6 workers: there is 1 CPU core$"):
        build_dataset(brief, PROMPTS, tmp_path, workers=8)
    assert_same_rows(read_scores(tmp_path), read_scores(finished))


@pytest.mark.slow
def test_ray_makes_the_same_rows_in_silence_though_one_of_its_workers_is_killed(tmp_path, brief, finished):
    pytest.importorskip("ray")
    folder, elsewhere = tmp_path / "dataset", tmp_path / "elsewhere"
    elsewhere.mkdir()
    code = ON_RAY.format(folder=str(folder), elsewhere=str(elsewhere), profile=brief, prompts=PROMPTS)
    environment = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    for _ in range(3):  # a loaded machine starts Ray too slowly for Ray
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
        )
        if "Ray does not start here" not in done.stderr:
            break
    assert done.returncode == 0, done.stderr
    said = [line for line in done.stderr.splitlines() if line and "images a shard" not in line]
    assert (done.stdout, said) == ("", []), "the progress bar is all there is to see"
    assert len(contents(folder)) == len(shard_files(folder)) == 6
    assert_same_rows(read_scores(folder), read_scores(finished))


def test_without_ray_the_extra_is_named(tmp_path, brief, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ImportError, match=r"needs ray, which is not installed: run `pip install 'bfkit\[ray\]'`"):
        build_dataset(brief, PROMPTS, tmp_path, executor="ray")


@pytest.mark.parametrize("address", ["127.0.0.1:9", "nowhere.invalid:6379", "ray://127.0.0.1:9", "host:port"])
def test_a_cluster_that_is_not_there_is_named(tmp_path, brief, monkeypatch, address):
    monkeypatch.setitem(sys.modules, "ray", types.SimpleNamespace(is_initialized=lambda: False))  # not reached
    with pytest.raises(ValueError, match=rf"no Ray cluster at {address} \(.+\): start one with `ray start --head`"):
        build_dataset(brief, PROMPTS, tmp_path, executor="ray", address=address)
    assert not contents(tmp_path)
