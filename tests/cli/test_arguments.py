"""Arguments are checked before anything long begins: one sentence, exit code 2, nothing written."""

import json
import shutil
import time
from pathlib import Path

import polars as pl
import pytest

from bfkit import cli
from bfkit.dataset.table import read_scores, write_table
from bfkit.profiles import PROFILES

SCORES = PROFILES["mini"].scores
NO_PLACE = r"loop cannot be written (Too many levels of symbolic links): name another place"


@pytest.fixture(scope="module", autouse=True)
def loaded():
    """What the commands import takes seconds, once."""
    import bfkit.benchmarks.suite
    import bfkit.report.reproduce  # noqa: F401


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        ("dataset --prompts 1 --out LOOP", NO_PLACE),
        ("dataset --prompts 1 --out FILE", "file cannot be a folder"),
        ("dataset --prompts 1 --out OUT --table LOOP", NO_PLACE),
        ("dataset --prompts 1 --out OUT --table HERE", "is a folder: name a file to write"),
        ("dataset --prompts 1 --out OUT --workers 0", "--workers must be at least 1; got 0"),
        ("dataset --prompts 1 --out OUT --batch -3", "--batch must be at least 1; got -3"),
        ("dataset --prompts 1 --out OUT --address 10.0.0.1:6379", "it goes with --executor ray"),
        ("dataset --prompts 1 --out OUT --captions LOOP", "no captions at"),
        ("dataset --prompts 1 --out OUT --seeds 4611686018427387904", "--seeds must be at most 10000"),
        ("plan --prompts 0", "--prompts must be at least 1; got 0"),
        ("plan --gpus 0", "--gpus must be at least 1; got 0"),
        ("plan --tflops nan", "tflops must be a number above 0; got nan"),
        ("plan --watts inf", "watts must be a number above 0; got inf"),
        ("train --out FILE", "file cannot be a folder"),
        ("train --out LOOP", NO_PLACE),
        ("train --out OUT --seed -1", "--seed must be at least 0; got -1"),
        ("train --out OUT --seed 18446744073709551616", "--seed must be at most 9223372036854765807"),
        ("train --out OUT --scores LOOP", "no score table at"),
        ("compare --out LOOP", NO_PLACE),
        ("compare --out OUT --table HERE", "is a folder: name a file to write"),
        ("compare --out OUT --advisor LOOP", "no advisor"),
        ("networks --out HERE", "is a folder: name a file to write"),
        ("learning-curve --out LOOP", NO_PLACE),
        ("bench --out FILE", "file cannot be a folder"),
        ("bench --out LOOP", NO_PLACE),
        ("reproduce --out LOOP", NO_PLACE),
        ("reproduce --out OUT --only 00 --advisor nofile", "no advisor 'nofile'"),
        ("reproduce --out OUT --only 00 --advisor LOOP", "no advisor"),
        ("reproduce --out OUT --only 00 --systems nofile", "no comparison at nofile: make one with"),
        ("reproduce --out OUT --only 00 --systems LOOP", "no comparison at"),
        ("reproduce --out OUT --only 00 --scores LOOP --advisor mini", "no score table at"),
        ("reproduce --out OUT --only 00,", "no notebook ''"),
        ("reproduce --out OUT --only 00 --fresh -p colour=red", "has a parameter 'colour'"),
        ("study pictures --out LOOP", NO_PLACE),
        ("study pictures --out OUT --prompts 1", "--prompts must be at least 2; got 1"),
        ("study pictures --out OUT --prompts 5000", "5000 prompts asked for, 61 are held out: ask for fewer"),
        ("study build PICTURES --out LOOP", NO_PLACE),
        ("study build PICTURES --out OUT --seed -1", "--seed must be at least 0; got -1"),
        ("study build PICTURES --out OUT --trials 1", "--trials must be at least 2; got 1"),
        ("study build PICTURES --out OUT --orders 65538", "--orders must be at most 65536; got 65538"),
        ("study serve HERE --out OUT --port 65536", "--port must be from 0 to 65535; got 65536"),
        ("study serve HERE --out LOOP", NO_PLACE),
        ("study analyse PICTURES --out FILE", "file cannot be a folder"),
    ],
)
def test_what_cannot_be_is_told_at_once_and_nothing_is_written(command, sentence, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "pictures.csv").write_text("prompt,seed,condition,steps,image\n", encoding="utf-8")
    places = {"LOOP": "loop", "FILE": "file", "OUT": "out", "HERE": ".", "PICTURES": "pictures.csv"}
    before, began = sorted(tmp_path.rglob("*")), time.process_time()
    assert cli.main([places.get(word, word) for word in command.split()]) == 2
    assert time.process_time() - began < 3, "something long had begun"
    errors = capsys.readouterr().err
    assert sentence in errors and errors.startswith("bfkit: ") and "Errno" not in errors
    assert len(errors.splitlines()) == 1
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("part", ["0/4", "5/4", "1/0", "3", "-1/2"])
def test_a_part_that_there_cannot_be_is_refused_by_the_parser(part, tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["dataset", "--out", str(tmp_path), f"--part={part}"])
    assert ended.value.code == 2 and f"'{part}' is no part such as 3/16" in capsys.readouterr().err


@pytest.mark.slow
def test_a_part_without_a_shard_writes_the_table_of_the_others_or_says_that_there_are_none(tmp_path, capsys):
    """Four jobs, a single shard: three of them have nothing to draw."""
    (tmp_path / "one.txt").write_text("a red circle on a white wall\n", encoding="utf-8")
    asked = ["dataset", "--captions", str(tmp_path / "one.txt"), "--prompts", "1", "--steps", "1"]
    asked += ["--out", str(tmp_path / "out")]
    table = ["--table", str(tmp_path / "table.parquet")]
    assert cli.main([*asked, "--part", "3/4", *table]) == 2
    assert "no score table at" in capsys.readouterr().err
    assert cli.main([*asked, "--part", "1/4"]) == cli.main([*asked, "--part", "3/4", *table]) == 0
    assert read_scores(tmp_path / "table.parquet").equals(read_scores(tmp_path / "out"))


@pytest.mark.parametrize("missing", ["clip", "examples"])
def test_an_advisor_whose_notes_are_not_whole_is_one_sentence(missing, tmp_path, capsys):
    folder = shutil.copytree(PROFILES["mini"].advisor, tmp_path / "advisor")
    noted = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    del noted[missing]
    (folder / "config.json").write_text(json.dumps(noted), encoding="utf-8")
    assert cli.main(["reproduce", "--only", "00", "--advisor", str(folder), "--out", str(tmp_path / "out")]) == 2
    assert f"config.json lacks {missing}: train the predictor again" in capsys.readouterr().err


# --- tables that are none -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"l_snr": pl.lit(1e30, pl.Float32)}, "row 7, column l_snr: 1.0000000150474662e+30 is no number from 0 to 1"),
        ({"d_sim": pl.lit(float("nan"), pl.Float32)}, "row 7, column d_sim: nan is no number from 0 to 1"),
        ({"i_clip": pl.lit(-0.5, pl.Float32)}, "row 7, column i_clip: -0.5 is no number from 0 to 1"),
        ({"steps": pl.lit(0, pl.UInt16)}, "row 7, column steps: 0 is no number from 1 to 1000"),
        ({"steps": pl.lit(65535, pl.UInt16)}, "row 7, column steps: 65535 is no number from 1 to 1000"),
        ({"prompt": pl.lit("  ")}, "row 7, column prompt: '  ' is empty"),
        ({"prompt": pl.lit(None, pl.String)}, "row 7, column prompt: None is nothing"),
        ({"prompt_id": pl.lit(99, pl.UInt32)}, "row 7, column prompt_id: 99 has the text of another prompt"),
    ],
)
def test_a_value_that_no_measurement_gives_is_named_with_its_row_and_column(change, sentence, tmp_path, capsys):
    rows, noted = read_scores(SCORES), {"configuration": {}}
    wrong = rows.with_row_index("row")
    wrong = wrong.with_columns(pl.when(pl.col("row") == 7).then(new).otherwise(pl.col(name)).alias(name)
                               for name, new in change.items()).drop("row")  # fmt: skip
    write_table(wrong, tmp_path / "shards" / "shard-000001.parquet", noted)
    write_table(rows.head(0), tmp_path / "shards" / "shard-000000.parquet", noted)
    assert cli.main(["train", "--scores", str(tmp_path / "shards"), "--out", str(tmp_path / "advisor")]) == 2
    errors = capsys.readouterr().err
    assert f"shard-000001.parquet, {sentence}" in errors and len(errors.splitlines()) == 1
    assert not (tmp_path / "advisor").exists()


def test_the_same_text_for_every_prompt_is_no_table(tmp_path, capsys):
    path: Path = tmp_path / "same.parquet"
    write_table(read_scores(SCORES).with_columns(prompt=pl.lit("a wall")), path, {})
    assert cli.main(["train", "--scores", str(path), "--out", str(tmp_path / "advisor")]) == 2
    assert "has the text of another prompt: each text is one prompt" in capsys.readouterr().err


@pytest.mark.parametrize("last", [65, 1000])
def test_a_table_of_other_step_counts_than_the_predictors_is_refused_before_it_trains(last, tmp_path, capsys):
    path = tmp_path / "longer.parquet"
    rows = (
        read_scores(SCORES)
        .filter(pl.col("prompt_id") < 12)
        .with_columns(pl.col("steps").replace(129, last))
        .unique(["prompt_id", "seed", "steps"])
    )
    write_table(rows, path, {})
    assert cli.main(["train", "--scores", str(path), "--out", str(tmp_path / "advisor")]) == 2
    assert f"the curves go to step {last}, the predictor's grid to 129" in capsys.readouterr().err
    assert not (tmp_path / "advisor").exists()
