"""A comparison is one table, whoever makes its parts: one process or two, one run or several, killed or not."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import families
import polars as pl
import pytest
from dataset_helpers import contents
from polars.testing import assert_frame_equal

from bfkit.evaluation import compare as entries
from bfkit.evaluation import compare_plan, compare_run
from bfkit.evaluation.compare_run import compare
from bfkit.metrics.registry import METRICS
from bfkit.profiles import PROFILES, Profile

PROMPTS = {3: "a white and empty wall", 8: "two red circles on a beach", 9: "a crowd in a park"}
ADVISOR = PROFILES["mini"].advisor
RUN = """
from pathlib import Path
from bfkit.evaluation import compare, compare_plan, compare_run
from bfkit.profiles import *

if __name__ == "__main__":
    compare.COMBINED, compare.SHARES, compare.paper.REFERENCE_STEPS, compare_plan.PICTURES = (), (0.5,), 5, 4
    compare.paper.WEIGHTS = dict.fromkeys(compare.paper.WEIGHTS, 3.0)
    compare_run.compare({profile!r}, {prompts!r}, {advisor!r}, Path({folder!r}), systems=["UniPC"], workers={workers})
"""


@pytest.fixture(scope="module")
def profile(random_profile, tmp_path_factory) -> Profile:
    tiny = families.save_tiny("sd15", tmp_path_factory.mktemp("sd15"))
    return replace(
        tiny, perceptual=random_profile.perceptual, i_clip="image", step_counts=(1, 2, 6), seeds=(0, 1), batch=3
    )


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Six entries, in two blocks, and two or three steps of OURS."""
    monkeypatch.setattr(entries, "COMBINED", ())
    monkeypatch.setattr(entries, "SHARES", (0.5,))
    monkeypatch.setattr(entries.paper, "REFERENCE_STEPS", 5)
    monkeypatch.setattr(compare_plan, "PICTURES", 4)
    monkeypatch.setattr(entries.paper, "WEIGHTS", dict.fromkeys(METRICS, 3.0))


@pytest.fixture(scope="module")
def finished(profile, tmp_path_factory) -> tuple[Path, pl.DataFrame]:
    """An undisturbed run in one process, and its table."""
    folder = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch:
        small.__wrapped__(patch)
        return folder, made(profile, folder).rows


def made(profile: Profile, folder: Path, **options: object) -> compare_run.Comparison:
    return compare(profile, PROMPTS, ADVISOR, folder, **{"systems": ["UniPC"], **options})


def assert_same(one: pl.DataFrame, other: pl.DataFrame) -> None:
    """Equal but for the time it took."""
    assert_frame_equal(one.drop("seconds", "joules"), other.drop("seconds", "joules"))


def test_the_table_has_every_pair_of_every_system_in_the_tables_order(finished):
    _, rows = finished
    pairs = [(number, seed) for number in PROMPTS for seed in (0, 1)]
    order = [("OURS", None), ("UNIFORM", None), ("REFERENCE", None), ("UniPC", None),
             ("OURS + plain", 0.5), ("UNIFORM + plain", 0.5)]  # fmt: skip
    assert rows.select("system", "share").unique(maintain_order=True).rows() == order
    for (_, _), own in rows.group_by("system", "share"):
        assert own.select("prompt_id", "seed").rows() == pairs


def test_what_is_finished_is_not_done_again_and_its_plain_pictures_are_kept(profile, finished, tmp_path, monkeypatch):
    folder, rows = finished
    for name, content in contents(folder).items():
        (tmp_path / name).write_bytes(content)
    done = []
    whole = compare_run.Job.make
    monkeypatch.setattr(compare_run.Job, "make", lambda job, lab: done.append(job.path.name) or whole(job, lab))
    assert_same(made(profile, tmp_path).rows, rows)
    assert done == []
    (tmp_path / "UniPC-0001.parquet").unlink()  # as if it had been killed there
    damaged = tmp_path / "UNIFORM-0000.parquet"
    damaged.write_bytes(damaged.read_bytes()[:-100])
    assert_same(made(profile, tmp_path).rows, rows)
    assert sorted(done) == ["UNIFORM-0000.parquet", "UniPC-0001.parquet"], "no target among them"


def test_parts_share_the_blocks_and_the_last_to_finish_has_the_table(profile, finished, tmp_path):
    (tmp_path / "plan.json").write_bytes((finished[0] / "plan.json").read_bytes())
    first = made(profile, tmp_path, part=(1, 2))
    assert first.rows is None and first.missing == 6
    assert {path.stem[-4:] for path in tmp_path.glob("*.parquet")} == {"0000"}
    assert_same(made(profile, tmp_path, part=(2, 2)).rows, finished[1])


def test_all_parts_take_the_steps_that_were_settled_first(profile, finished, tmp_path, monkeypatch):
    for name, content in contents(finished[0]).items():
        (tmp_path / name).write_bytes(content)

    def other(*asked: object) -> pl.DataFrame:
        raise AssertionError("asked again")

    monkeypatch.setattr(compare_plan.StepAdvisor, "steps", other)
    monkeypatch.setattr(compare_plan, "count_costs", other)
    assert made(profile, tmp_path, part=(1, 2)).missing == 0


def test_other_prompts_settle_anew(profile, finished, tmp_path):
    (tmp_path / "plan.json").write_bytes((finished[0] / "plan.json").read_bytes())
    fewer = compare(profile, {3: PROMPTS[3]}, ADVISOR, tmp_path, systems=[])
    assert fewer.rows["prompt_id"].unique().to_list() == [3]
    assert fewer.absent["UniPC"] == "not asked for"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"systems": ["DPM"]}, "unknown system 'DPM': choose from DDIM, "),
        ({"part": (3, 2)}, "part 3/2 does not exist"),
        ({"device": "cuda:9"}, "no device cuda:9"),
    ],
)
def test_bad_input_is_refused_before_anything_is_made(profile, tmp_path, options, words):
    with pytest.raises(ValueError, match=words):
        made(profile, tmp_path / "none", **options)
    assert not (tmp_path / "none").exists()


def test_a_broken_picture_blocks_nothing(profile, finished, tmp_path, monkeypatch):
    whole = compare_run.measure

    def spoil(lab, entry, pairs, targets):
        rows = whole(lab, entry, pairs, targets)
        bad = (pl.col("prompt_id") == 8) & (pl.col("seed") == 1)
        return rows.with_columns(d_sim=pl.when(bad).then(float("nan")).otherwise("d_sim"))

    for name, content in contents(finished[0]).items():
        if "UniPC" not in name:
            (tmp_path / name).write_bytes(content)
    monkeypatch.setattr(compare_run, "measure", spoil)
    found = made(profile, tmp_path)
    assert len(found.broken) == 1 and "seed 1" in found.broken[0] and "UniPC" in found.broken[0]
    assert_same(found.rows, finished[1].filter(~((pl.col("prompt_id") == 8) & (pl.col("seed") == 1))))


def test_plain_pictures_that_are_all_broken_are_told(profile, finished, tmp_path, monkeypatch):
    (tmp_path / "plan.json").write_bytes((finished[0] / "plan.json").read_bytes())
    whole = compare_run.plain_targets

    def spoil(lab, pairs):
        seen = whole(lab, pairs)
        return replace(seen, perceptual=seen.perceptual * float("nan"))

    monkeypatch.setattr(compare_run, "plain_targets", spoil)
    with pytest.raises(ValueError, match="no pair of prompt and seed is left: the picture of 'a white and empty wall'"):
        made(profile, tmp_path)


@pytest.mark.slow
def test_two_processes_make_the_same_table(profile, finished, tmp_path):
    code = RUN.format(profile=profile, prompts=PROMPTS, advisor=ADVISOR, folder=str(tmp_path), workers=2)
    (tmp_path / "run.py").write_text(code)
    subprocess.run([sys.executable, tmp_path / "run.py"], check=True, timeout=600)
    assert_same(made(profile, tmp_path).rows, finished[1])


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_a_killed_run_goes_on_and_ends_in_the_same_table(profile, finished, tmp_path, workers):
    code = RUN.format(profile=profile, prompts=PROMPTS, advisor=ADVISOR, folder=str(tmp_path), workers=workers)
    (tmp_path / "run.py").write_text(code)
    running = subprocess.Popen([sys.executable, tmp_path / "run.py"], start_new_session=True)
    deadline = time.monotonic() + 600
    while not list(tmp_path.glob("UN*.parquet")) + list(tmp_path.glob("OURS*.parquet")):
        assert running.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    left = contents(tmp_path)
    assert_same(made(profile, tmp_path).rows, finished[1])
    kept = {name: content for name, content in left.items() if name.endswith(".parquet")}
    assert kept.items() <= contents(tmp_path).items(), "nothing that was finished is made again"
