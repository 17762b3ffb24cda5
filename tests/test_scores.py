"""The data set is complete, survives kills and damaged files, mixes with nothing else, and gives its curves."""

import json
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections import defaultdict
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from polars.testing import assert_frame_equal

from bfkit import paper
from bfkit.cost import tflops_per_evaluation
from bfkit.generate import generate
from bfkit.launch import build_dataset
from bfkit.mini.world import captioned_scenes
from bfkit.scores import (
    ORDER,
    SCHEMA,
    dense_curves,
    interpolate,
    long_curves,
    mean_curves,
    read_metadata,
    read_scores,
    split,
    write_table,
)

PROMPTS = list(captioned_scenes(9, seed=3))  # two shards: eight and one
BRIEF = {"seeds": (0,), "step_counts": (1, 2)}


class Killed(Exception):
    """Stands for whatever ends a process."""


@pytest.fixture(scope="module")
def finished(random_profile, tmp_path_factory) -> Path:
    """A finished data set of nine prompts; tests copy it before they change anything."""
    folder = tmp_path_factory.mktemp("dataset")
    build_dataset(random_profile, PROMPTS, folder)
    return folder


@pytest.fixture
def folder(finished, tmp_path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "dataset"))


@pytest.fixture
def brief(random_profile):
    """A profile of few pictures, for data sets made again and again."""
    return replace(random_profile, **BRIEF)


@pytest.fixture(scope="module")
def undisturbed(random_profile, tmp_path_factory) -> pl.DataFrame:
    """The table of the brief profile, made in one go."""
    folder = tmp_path_factory.mktemp("undisturbed")
    build_dataset(replace(random_profile, **BRIEF), PROMPTS, folder)
    return read_scores(folder)


@pytest.fixture
def kill_at_call(pipe, monkeypatch):
    """Let every pipeline fail at its n-th call from now on; 0 is the first."""
    whole = type(pipe).__call__

    def arm(number: int) -> None:
        calls = iter(range(number))

        def call(self, *args, **kwargs):
            if next(calls, None) is None:
                raise Killed
            return whole(self, *args, **kwargs)

        monkeypatch.setattr(type(pipe), "__call__", call)

    return arm


def shards(folder: Path) -> list[Path]:
    return sorted(folder.glob("shard-*.parquet"))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def assert_same_rows(first: pl.DataFrame, second: pl.DataFrame, tolerance: float = 0) -> None:
    """Equal but for the time it took."""
    assert_frame_equal(first.drop("seconds"), second.drop("seconds"), abs_tol=tolerance, rel_tol=0)


# --- making it ------------------------------------------------------------------------------------------------------


def test_every_prompt_seed_and_step_count_has_one_row(finished, random_profile):
    table = read_scores(finished)
    assert table.schema == SCHEMA
    assert table.rows_by_key(["prompt_id", "seed", "steps"], unique=True).keys() == {
        (number, seed, steps) for number in range(9) for seed in (0, 1) for steps in (1, 2, 4)
    }
    assert_frame_equal(table, table.sort(ORDER))
    assert table["prompt"].to_list() == [prompt for prompt in PROMPTS for _ in range(6)]
    assert len(shards(finished)) == 2


def test_every_value_is_a_number_in_its_range(finished):
    table = read_scores(finished)
    assert table.null_count().sum_horizontal().item() == 0
    for name in paper.METRICS:
        assert table[name].is_between(0, 1).all(), name
        assert table[name].n_unique() > 3, name
    assert (table["seconds"] > 0).all()


def test_the_denoiser_was_evaluated_once_a_step_and_its_cost_is_counted(finished, pipe, random_profile):
    table = read_scores(finished)
    assert table["evals"].to_list() == table["steps"].to_list()
    each = tflops_per_evaluation(pipe, random_profile)
    assert each > 0
    np.testing.assert_allclose(table["tflops"].to_numpy(), table["steps"].to_numpy() * each, rtol=1e-5)


def test_the_target_compared_with_itself_is_perfect(finished):
    target = read_scores(finished).filter(pl.col("steps") == 4)
    np.testing.assert_allclose(target["d_sim"], 0, atol=1e-5)
    np.testing.assert_allclose(target["i_clip"], 1, atol=1e-5)


@pytest.mark.parametrize(("number", "seed", "steps"), [(0, 0, 1), (5, 1, 2), (8, 1, 4)])
def test_a_row_is_the_score_of_that_prompts_picture(finished, pipe, judges, random_profile, number, seed, steps):
    picture, target = (
        generate(pipe, [PROMPTS[number]], count, profile=random_profile, seeds=[seed]) for count in (steps, 4)
    )
    expected = judges.measure(picture, judges.look(target))
    row = read_scores(finished).filter(prompt_id=number, seed=seed, steps=steps).row(0, named=True)
    for name, value in expected.items():
        assert row[name] == pytest.approx(value.item(), abs=1e-4), name


@pytest.mark.parametrize("batch", [1, 3, 64])
def test_rows_do_not_depend_on_the_batch(finished, random_profile, tmp_path, batch):
    build_dataset(replace(random_profile, batch=batch), PROMPTS[:2], tmp_path)
    assert_same_rows(read_scores(tmp_path), read_scores(finished).filter(pl.col("prompt_id") < 2), tolerance=1e-5)


def test_rows_depend_neither_on_other_prompts_nor_on_torchs_seed(finished, random_profile, tmp_path):
    torch.manual_seed(12345)
    build_dataset(random_profile, PROMPTS[8:], tmp_path)
    rows = read_scores(finished).filter(prompt_id=8).with_columns(prompt_id=pl.lit(0, pl.UInt32))
    assert_same_rows(read_scores(tmp_path), rows, tolerance=1e-5)


def test_every_shard_carries_its_configuration(finished, random_profile):
    for path in shards(finished):
        noted = read_metadata(path)["configuration"]
        assert noted["seeds"] == [0, 1]
        assert noted["step_counts"] == [1, 2, 4]
        assert noted["guidance"] == random_profile.guidance


# --- going on -------------------------------------------------------------------------------------------------------


def test_a_finished_data_set_run_again_draws_nothing_and_stays_as_it_is(folder, random_profile, kill_at_call):
    before = contents(folder)
    kill_at_call(0)
    made = build_dataset(random_profile, PROMPTS, folder)
    assert [shard.path for shard in made] == shards(folder)
    assert contents(folder) == before


def test_another_batch_size_goes_on_with_the_same_data_set(folder, random_profile, kill_at_call):
    kill_at_call(0)
    build_dataset(replace(random_profile, batch=7), PROMPTS, folder)


@pytest.mark.parametrize("keep", [None, 0, 3, 200, -1, -20], ids=lambda keep: f"keep={keep}")
def test_a_lost_or_damaged_shard_is_made_again(folder, random_profile, keep):
    expected = read_scores(folder)
    first, last = shards(folder)
    before = first.read_bytes()
    if keep is None:
        last.unlink()
    else:
        last.write_bytes(last.read_bytes()[:keep])
    build_dataset(random_profile, PROMPTS, folder)
    assert_same_rows(read_scores(folder), expected)
    assert first.read_bytes() == before


def test_a_shard_with_a_hole_in_its_middle_is_made_again(folder, random_profile):
    expected = read_scores(folder)
    last = shards(folder)[-1]
    whole = bytearray(last.read_bytes())
    whole[4:400] = bytes(396)
    last.write_bytes(whole)
    build_dataset(random_profile, PROMPTS, folder)
    assert_same_rows(read_scores(folder), expected)


@pytest.mark.parametrize("killed_at", [3, 5])
def test_a_killed_run_resumed_gives_the_table_of_an_undisturbed_one(
    tmp_path, brief, undisturbed, kill_at_call, killed_at
):
    """Four calls draw the first shard, two the second; what was finished before the kill stays as it was."""
    kill_at_call(killed_at)
    with pytest.raises(Killed):
        build_dataset(brief, PROMPTS, tmp_path)
    before = contents(tmp_path)
    assert len(before) == (killed_at >= 4)
    kill_at_call(6 if killed_at < 4 else 2)  # all that is left to do
    build_dataset(brief, PROMPTS, tmp_path)
    assert_same_rows(read_scores(tmp_path), undisturbed)
    after = contents(tmp_path)
    assert {name: after[name] for name in before} == before
    assert len(after) == 2


@pytest.mark.slow
def test_a_process_killed_without_warning_loses_no_finished_shard(tmp_path, brief):
    run = textwrap.dedent("""
        import json, sys
        from pathlib import Path
        from bfkit.launch import build_dataset
        from bfkit.profiles import PredictorSettings, Profile
        fields = json.loads(sys.argv[1])
        fields.update(predictor=PredictorSettings(), seeds=(0,), step_counts=(1, 2))
        build_dataset(Profile(**fields), json.loads(sys.argv[2]), Path(sys.argv[3]))
    """)
    folder, prompts = tmp_path / "killed", list(captioned_scenes(40, seed=3))
    arguments = [json.dumps(asdict(brief)), json.dumps(prompts), str(folder)]
    process = subprocess.Popen([sys.executable, "-c", run, *arguments], stderr=subprocess.DEVNULL)
    try:
        while process.poll() is None and not shards(folder):
            time.sleep(0.01)
        assert process.poll() is None, "it ended before it could be killed"
        process.send_signal(signal.SIGKILL)
    finally:
        process.kill()
        process.wait()
    before = contents(folder)
    finished = shards(folder)
    assert 1 <= len(finished) < 5
    build_dataset(brief, prompts, folder)
    build_dataset(brief, prompts, tmp_path / "undisturbed")
    assert_same_rows(read_scores(folder), read_scores(tmp_path / "undisturbed"))
    assert all(path.read_bytes() == before[path.name] for path in finished)


def test_a_longer_list_of_prompts_goes_on_where_the_shorter_ended(tmp_path, brief, undisturbed, kill_at_call):
    build_dataset(brief, PROMPTS[:8], tmp_path)
    kill_at_call(2)  # all that the ninth prompt needs
    build_dataset(brief, PROMPTS, tmp_path)
    assert_same_rows(read_scores(tmp_path), undisturbed)


@pytest.mark.slow
def test_several_processes_make_the_same_table(tmp_path, brief, undisturbed):
    build_dataset(brief, PROMPTS, tmp_path, workers=2)
    assert_same_rows(read_scores(tmp_path), undisturbed, tolerance=1e-5)


# --- what is refused ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"guidance": 2.0}, "guidance"),
        ({"seeds": (0, 2)}, "seeds"),
        ({"step_counts": (1, 2, 5)}, "step_counts"),
        ({"spacing": "trailing"}, "scheduler"),
        ({"i_clip": "image"}, "i_clip"),
        ({"l_snr": "laplacian"}, "l_snr"),
        ({"seeds": (0,), "guidance": 2.0}, "guidance, seeds"),
    ],
)
def test_another_configuration_is_refused_naming_what_differs(folder, random_profile, kill_at_call, change, key):
    before = contents(folder)
    kill_at_call(0)
    with pytest.raises(ValueError, match=rf"another configuration \(different: {key}\)"):
        build_dataset(replace(random_profile, **change), PROMPTS, folder)
    assert contents(folder) == before


def test_other_weights_are_another_configuration(folder, random_profile, random_folder, tmp_path, kill_at_call):
    other = tmp_path / "perceptual"
    shutil.copytree(random_folder / "perceptual", other)
    weights = bytearray((other / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (other / "model.safetensors").write_bytes(weights)
    kill_at_call(0)
    with pytest.raises(ValueError, match=r"another configuration \(different: perceptual\)"):
        build_dataset(replace(random_profile, perceptual=str(other)), PROMPTS, folder)


def test_the_same_weights_elsewhere_are_the_same_configuration(
    folder, random_profile, random_folder, tmp_path, kill_at_call
):
    moved = shutil.copytree(random_folder, tmp_path / "moved")
    paths = {part: str(moved / part) for part in ("pipeline", "clip", "perceptual")}
    kill_at_call(0)
    build_dataset(replace(random_profile, **paths), PROMPTS, folder)


def test_other_prompts_in_one_folder_are_not_mixed_in_silence(tmp_path, brief):
    build_dataset(brief, PROMPTS[:1], tmp_path)
    with pytest.raises(ValueError, match="prompts"):
        build_dataset(brief, PROMPTS[1:3], tmp_path)
        read_scores(tmp_path)


@pytest.mark.parametrize(("prompts", "words"), [([], "no prompts"), (["a wall", " "], "prompt 1 is empty")])
def test_bad_prompts_are_refused_before_anything_is_made(random_profile, tmp_path, prompts, words):
    with pytest.raises(ValueError, match=words):
        build_dataset(random_profile, prompts, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_bad_step_counts_are_refused_before_anything_is_made(random_profile, tmp_path):
    with pytest.raises(ValueError, match="whole number from 1 to 1000"):
        build_dataset(replace(random_profile, step_counts=(1, 1001)), PROMPTS, tmp_path / "new")
    assert not (tmp_path / "new").exists()


# --- reading it -----------------------------------------------------------------------------------------------------


def test_a_single_file_is_a_table_too(finished):
    first, last = (read_scores(path) for path in shards(finished))
    assert_frame_equal(pl.concat([first, last]), read_scores(str(finished)))


def test_a_table_written_in_one_file_comes_back(finished, tmp_path):
    table = read_scores(finished)
    write_table(table.reverse(), tmp_path / "new" / "scores.parquet", {"configuration": {"profile": "x"}})
    assert_frame_equal(read_scores(tmp_path / "new" / "scores.parquet"), table)
    assert read_metadata(tmp_path / "new" / "scores.parquet") == {"configuration": {"profile": "x"}}
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["scores.parquet"]


@pytest.mark.parametrize("name", ["nowhere", "nowhere.parquet", ""])
def test_nothing_there_is_said_with_a_way_out(tmp_path, name):
    with pytest.raises(FileNotFoundError, match=r"no score table at .*bfkit dataset"):
        read_scores(tmp_path / name)


@pytest.mark.parametrize("inside", [True, False])
def test_a_foreign_parquet_file_is_refused_by_name(folder, inside):
    path = shards(folder)[0] if inside else folder / "mine.parquet"
    pl.DataFrame({"steps": [1, 2], "price": [3.0, 4.0]}).write_parquet(path)
    with pytest.raises(ValueError, match=rf"{path.name}.*was not written by"):
        read_scores(folder if inside else path)


def test_a_table_without_some_columns_is_refused_naming_them(tmp_path):
    write_table(pl.DataFrame({"steps": [1, 2], "prompt": ["a", "b"]}), tmp_path / "x.parquet", {"configuration": {}})
    with pytest.raises(ValueError, match=r"x\.parquet lacks the columns prompt_id, seed, l_snr"):
        read_scores(tmp_path / "x.parquet")


def test_a_table_with_text_for_numbers_is_refused_by_name(finished, tmp_path):
    table = read_scores(finished).with_columns(l_snr=pl.lit("high"))
    write_table(table, tmp_path / "x.parquet", {"configuration": {}})
    with pytest.raises(ValueError, match=r"x\.parquet"):
        read_scores(tmp_path / "x.parquet")


@pytest.mark.parametrize("keep", [0, 3, 200, -1, -20])
def test_a_file_cut_short_is_refused_by_name(folder, keep):
    path = shards(folder)[0]
    path.write_bytes(path.read_bytes()[:keep])
    for source in (folder, path):
        with pytest.raises(ValueError, match=rf"{path.name} is no complete parquet file") as error:
            read_scores(source)
        assert "\n" not in str(error.value)


def test_a_file_with_a_hole_in_its_middle_is_refused_by_name(folder):
    path = shards(folder)[0]
    whole = bytearray(path.read_bytes())
    whole[4:400] = bytes(396)
    path.write_bytes(whole)
    with pytest.raises(ValueError, match=path.name):
        read_scores(folder)


# --- splitting it ---------------------------------------------------------------------------------------------------


def synthetic(prompts: int, seeds: int = 2, steps: tuple[int, ...] = (1, 2, 5)) -> pl.DataFrame:
    """A table of random scores, rows in no order."""
    keys = [(number, seed, count) for number in range(prompts) for seed in range(seeds) for count in steps]
    rng = np.random.default_rng(0)
    columns = {name: rng.random(len(keys)) for name in paper.METRICS}
    frame = pl.DataFrame(
        {
            "prompt_id": [key[0] for key in keys],
            "prompt": [f"prompt {key[0] * 7919 % 1000}" for key in keys],
            "seed": [key[1] for key in keys],
            "steps": [key[2] for key in keys],
            **columns,
            "evals": [key[2] for key in keys],
            "seconds": 0.1,
            "tflops": 0.1,
        }
    )
    return frame.select(SCHEMA.names()).cast(SCHEMA).sample(fraction=1, shuffle=True, seed=1)


@pytest.mark.parametrize(("prompts", "held_out"), [(200, 20), (18, 2), (9, 1), (3, 1)])
def test_a_tenth_of_the_prompts_is_held_out_with_all_their_rows(prompts, held_out):
    table = synthetic(prompts)
    train, test = split(table)
    trained, tested = (set(part["prompt_id"]) for part in (train, test))
    assert not trained & tested
    assert trained | tested == set(range(prompts))
    assert len(tested) == held_out
    assert len(test) == held_out * 6
    assert_frame_equal(pl.concat([train, test]), table, check_row_order=False)


def test_the_split_is_the_same_for_the_same_seed_and_does_not_depend_on_the_order_of_rows():
    table = synthetic(100)
    first, again = split(table)[1], split(table.reverse())[1]
    assert set(first["prompt_id"]) == set(again["prompt_id"])
    assert set(first["prompt_id"]) != set(split(table, seed=1)[1]["prompt_id"])
    assert len(split(table, share=0.25)[1]) == 25 * 6


# --- its curves -----------------------------------------------------------------------------------------------------


def test_mean_curves_average_the_seeds():
    table = synthetic(12)
    sums: dict[tuple, list[float]] = defaultdict(list)
    for row in table.iter_rows(named=True):
        for name in paper.METRICS:
            sums[name, row["prompt_id"], row["steps"]].append(row[name])
    prompts, curves, steps = mean_curves(table)
    assert prompts == [f"prompt {number * 7919 % 1000}" for number in range(12)]
    assert steps == (1, 2, 5)
    assert tuple(curves) == paper.METRICS
    for name, values in curves.items():
        expected = [[sum(sums[name, number, count]) / 2 for count in steps] for number in range(12)]
        np.testing.assert_allclose(values, expected, rtol=1e-6)


def test_a_prompt_without_one_of_the_step_counts_is_named():
    table = synthetic(12)
    gap = table.filter(~((pl.col("prompt_id") == 3) & (pl.col("steps") == 2)))
    with pytest.raises(ValueError, match=r"'prompt 757' lacks some of the step counts \(1, 2, 5\)"):
        mean_curves(gap)
    with pytest.raises(ValueError, match="lacks some"):
        dense_curves(gap)


def test_a_prompt_given_twice_has_two_curves(tmp_path):
    table = synthetic(3).with_columns(prompt=pl.lit("the same"))
    prompts, curves, _ = mean_curves(table)
    assert prompts == ["the same"] * 3
    assert curves["d_sim"].shape == (3, 3)


def test_dense_curves_are_mean_curves_at_every_step():
    table = synthetic(4, steps=(1, 3, 4, 8))
    prompts, sparse, _ = mean_curves(table)
    again, dense = dense_curves(table)
    assert again == prompts
    for name, values in dense.items():
        assert values.shape == (4, 8)
        np.testing.assert_allclose(values[:, [0, 2, 3, 7]], sparse[name])
        np.testing.assert_allclose(values[:, 1], sparse[name][:, :2].mean(axis=1))


def test_long_curves_have_a_row_a_value():
    curves = {"l_snr": np.array([[0.5, 0.25], [0.75, 0.0]]), "d_sim": np.array([[1.0, 0.5], [0.125, 0.0]])}
    rows = long_curves(["a", "b"], curves).rows()
    assert sorted(rows) == sorted(
        (prompt, name, step + 1, curves[name][i, step])
        for i, prompt in enumerate("ab")
        for name in curves
        for step in range(2)
    )


def test_interpolation_by_hand():
    assert interpolate([1.0, 0.0, 0.5], [1, 3, 5]).tolist() == [1.0, 0.5, 0.0, 0.25, 0.5]
    assert interpolate([[1.0, 0.0], [0.0, 4.0]], [1, 5]).tolist() == [[1, 0.75, 0.5, 0.25, 0], [0, 1, 2, 3, 4]]
    assert interpolate([1.0, 0.0], [2, 4]).tolist() == [1.0, 1.0, 0.5, 0.0], "flat before the first step count"
    assert interpolate([0.3], [1]).tolist() == [0.3]


@pytest.mark.parametrize("shape", [(12,), (5, 12), (2, 3, 12)])
@pytest.mark.parametrize("dense", [None, (1, 4, 17, 100)])
def test_interpolation_is_numpys_row_by_row(shape, dense):
    values = np.random.default_rng(0).random(shape)
    result = interpolate(values, paper.STEP_COUNTS, dense)
    at = range(1, 130) if dense is None else dense
    assert result.shape == (*shape[:-1], len(at))
    for index in np.ndindex(shape[:-1]):
        np.testing.assert_allclose(result[index], np.interp(at, paper.STEP_COUNTS, values[index]))


@pytest.mark.parametrize(
    ("values", "steps", "words"),
    [
        ([1.0, 0.5], [1, 2, 3], "2 values for 3 step counts"),
        ([[1.0, 0.5, 0.2]], [1, 2], "3 values for 2 step counts"),
        ([1.0, 0.5, 0.2], [1, 3, 2], r"\[1, 3, 2\] do not rise"),
        ([1.0, 0.5], [2, 2], "do not rise"),
    ],
)
def test_values_that_do_not_fit_their_steps_are_refused(values, steps, words):
    with pytest.raises(ValueError, match=words):
        interpolate(values, steps)
