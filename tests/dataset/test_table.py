"""The score table is read back as it was written, damage is named, and it gives its curves."""

from collections import defaultdict
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from dataset_helpers import contents, shard_files
from polars.testing import assert_frame_equal

from bfkit import paper
from bfkit.dataset.curves import dense_curves, interpolate, long_curves, mean_curves
from bfkit.dataset.table import (
    ORDER,
    SCHEMA,
    complete_prompts,
    encode_table,
    held_out_ids,
    noted_hardware,
    read_metadata,
    read_scores,
    split_by_prompt,
    write_table,
)


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
            "joules": 3.0,
        }
    )
    return frame.select(SCHEMA.names()).cast(SCHEMA).sample(fraction=1, shuffle=True, seed=1)


@pytest.fixture
def table() -> pl.DataFrame:
    return synthetic(5).sort(ORDER)


@pytest.fixture
def folder(table, tmp_path) -> Path:
    """A folder of two shards, which hold the table."""
    folder = tmp_path / "dataset"
    for number, part in enumerate((table[:12], table[12:])):
        write_table(part, folder / f"shard-{number:06d}-0123456789ab.parquet", {"configuration": {"profile": "x"}})
    return folder


# --- reading it -----------------------------------------------------------------------------------------------------


def test_a_folder_of_shards_is_one_table_in_order(folder, table):
    assert_frame_equal(read_scores(str(folder)), table)


def test_a_single_file_is_a_table_too(folder, table):
    assert_frame_equal(read_scores(shard_files(folder)[1]), table[12:])


def test_a_table_written_in_one_file_comes_back(table, tmp_path):
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
    path = shard_files(folder)[0] if inside else folder / "mine.parquet"
    pl.DataFrame({"steps": [1, 2], "price": [3.0, 4.0]}).write_parquet(path)
    with pytest.raises(ValueError, match=rf"{path.name}.*was not written by"):
        read_scores(folder if inside else path)


def test_a_table_from_before_energy_was_noted_is_read_as_if_nothing_had_measured_it(table, tmp_path):
    write_table(table.drop("joules"), tmp_path / "old.parquet", {"configuration": {}})
    rows = read_scores(tmp_path / "old.parquet")
    assert rows.schema == SCHEMA and rows["joules"].is_null().all()
    assert rows.drop("joules").equals(table.drop("joules"))


def test_a_table_without_some_columns_is_refused_naming_them(tmp_path):
    write_table(pl.DataFrame({"steps": [1, 2], "prompt": ["a", "b"]}), tmp_path / "x.parquet", {"configuration": {}})
    with pytest.raises(ValueError, match=r"x\.parquet lacks the columns prompt_id, seed, l_snr"):
        read_scores(tmp_path / "x.parquet")


def test_a_table_with_text_for_numbers_is_refused_by_name(table, tmp_path):
    write_table(table.with_columns(l_snr=pl.lit("high")), tmp_path / "x.parquet", {"configuration": {}})
    with pytest.raises(ValueError, match=r"x\.parquet"):
        read_scores(tmp_path / "x.parquet")


@pytest.mark.parametrize("keep", [0, 3, 200, -1, -20])
def test_a_file_cut_short_is_refused_by_name(folder, keep):
    path = shard_files(folder)[0]
    path.write_bytes(path.read_bytes()[:keep])
    for source in (folder, path):
        with pytest.raises(ValueError, match=rf"{path.name} is no complete parquet file") as error:
            read_scores(source)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("at", [0, 5, 200, 1000, -5, -300])
def test_a_file_with_one_wrong_byte_is_refused_by_name(folder, at):
    path = shard_files(folder)[0]
    whole = bytearray(path.read_bytes())
    whole[at] ^= 32
    path.write_bytes(whole)
    for source in (folder, path):
        with pytest.raises(ValueError, match=f"{path.name} is no complete parquet file .its checksum is wrong"):
            read_scores(source)


def test_a_table_without_a_checksum_is_read_as_it_is(table, tmp_path):
    table.write_parquet(tmp_path / "x.parquet", metadata={"bfkit": '{"configuration": {}}'})
    assert_frame_equal(read_scores(tmp_path / "x.parquet"), table)


def test_shards_of_two_lists_of_prompts_are_refused(folder, table):
    write_table(table[:2].with_columns(prompt=pl.lit("another")), folder / "shard-000000-x.parquet", {})
    with pytest.raises(ValueError, match="mixes two lists of prompts"):
        read_scores(folder)


def test_a_row_in_two_shards_is_read_once(folder, table):
    write_table(table[10:14], folder / "shard-000010-x.parquet", {})
    assert_frame_equal(read_scores(folder), table)


def test_a_file_says_nothing_of_when_and_where_it_was_written(table, tmp_path):
    write_table(table, tmp_path / "x.parquet", {"configuration": {}})
    assert (tmp_path / "x.parquet").read_bytes() == encode_table(table, {"configuration": {}})
    assert list(contents(tmp_path)) == ["x.parquet"], "no temporary file is left"


# --- splitting it ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("prompts", "held_out"), [(200, 20), (18, 2), (9, 1), (3, 1)])
def test_a_tenth_of_the_prompts_is_held_out_with_all_their_rows(prompts, held_out):
    table = synthetic(prompts)
    train, test = split_by_prompt(table)
    trained, tested = (set(part["prompt_id"]) for part in (train, test))
    assert not trained & tested
    assert trained | tested == set(range(prompts))
    assert len(tested) == held_out
    assert len(test) == held_out * 6
    assert_frame_equal(pl.concat([train, test]), table, check_row_order=False)


def test_the_split_is_the_same_for_the_same_seed_and_does_not_depend_on_the_order_of_rows():
    table = synthetic(100)
    first, again = split_by_prompt(table)[1], split_by_prompt(table.reverse())[1]
    assert set(first["prompt_id"]) == set(again["prompt_id"])
    assert set(first["prompt_id"]) != set(split_by_prompt(table, seed=1)[1]["prompt_id"])
    assert len(split_by_prompt(table, share=0.25)[1]) == 25 * 6


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


def test_a_prompt_without_one_of_the_step_counts_is_left_out_of_both_parts_with_a_warning():
    table = synthetic(12)
    training, held_out = split_by_prompt(table)
    gone = held_out["prompt_id"][0]
    gap = table.filter(~((pl.col("prompt_id") == training["prompt_id"][0]) & (pl.col("steps") == 2)))
    with pytest.warns(UserWarning, match="1 of 10 prompts lack some of the pictures and are left out, 'prompt "):
        others, same = split_by_prompt(gap)
    assert same.equals(held_out), "which prompts are held out does not change"
    assert set(others["prompt_id"]) == set(training["prompt_id"]) - {training["prompt_id"][0]}
    assert gone in held_out_ids(gap)


def test_one_broken_picture_leaves_its_prompt_out_and_every_other_has_all_its_seeds():
    table = synthetic(12)
    gap = table.filter(~((pl.col("prompt_id") == 3) & (pl.col("steps") == 2) & (pl.col("seed") == 1)))
    with pytest.warns(UserWarning, match="1 of 12 prompts lack some of the pictures"):
        whole = complete_prompts(gap)
    assert whole.equals(table.filter(pl.col("prompt_id") != 3))
    assert complete_prompts(table).equals(table)


def test_too_few_prompts_to_hold_some_out_are_told_so():
    with pytest.raises(ValueError, match="1 prompts are too few to learn from some and hold others out"):
        split_by_prompt(synthetic(1))


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


def test_a_table_of_shards_from_several_machines_names_each_once(tmp_path):
    frame = synthetic(1).cast(dict(SCHEMA))
    for number, name in enumerate(("one GPU", "a CPU", "one GPU")):
        write_table(frame, tmp_path / f"shard-{number}.parquet", {"hardware": {"device": name}})
    found = noted_hardware(tmp_path)
    assert [each["device"] for each in found] == ["one GPU", "a CPU"]
    write_table(frame, tmp_path / "whole.parquet", {"hardware": found})
    assert noted_hardware(tmp_path / "whole.parquet") == found
    write_table(frame, tmp_path / "silent.parquet", {})
    assert noted_hardware(tmp_path / "silent.parquet") == []
