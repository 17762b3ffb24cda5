"""The command line as a user meets it: what it prints, and one sentence and exit code 2 for bad input."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import families
import polars as pl
import pytest
import torch
from PIL import Image

import bfkit
from bfkit import cli, study
from bfkit.dataset.looks import read_looks
from bfkit.dataset.table import noted_hardware, read_metadata, read_scores
from bfkit.devices import hardware
from bfkit.metrics.registry import METRICS
from bfkit.predictor.advisor import StepAdvisor
from bfkit.profiles import PROFILES
from bfkit.provenance import model_digest, table_digest


def run(*arguments: object) -> int:
    return cli.main([str(argument) for argument in arguments])


def test_steps_prints_each_metrics_plateau_and_t_star(capsys):
    assert run("steps", "a white and empty wall", "a crowd of many colorful shapes on a striped green background") == 0
    printed = capsys.readouterr().out
    for word in ("a white and empty wall", "L-SNR", "D-SIM", "I-CLIP", "t*"):
        assert word in printed


def test_steps_go_by_another_rule_or_share_out_a_total(tmp_path, capsys):
    file = tmp_path / "prompts.txt"
    file.write_text("a red circle\n\ntwo blue squares on a beach\n", encoding="utf-8")
    asked = ("steps", "a white and empty wall", "--file", file)
    assert run(*asked, "--rule", "threshold", "--tolerance", 1) == 0
    printed = capsys.readouterr().out
    assert "t*" not in printed and all(line.split("┆")[-1].strip(" │") == "1" for line in printed.splitlines()[3:-1])
    assert run(*asked, "--rule", "price", "--mean-steps", 9) == 0
    assert "two blue squares on a beach" in capsys.readouterr().out
    assert run(*asked, "--total", 50) == 0
    printed = capsys.readouterr().out
    assert sum(int(line.split("┆")[-1].strip(" │")) for line in printed.splitlines()[3:-1]) == 50


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--total", 50, "--rule", "price"], "--total shares out a budget by its own price: it goes with no rule"),
        (["--total", 50, "--tolerance", 0], "--total shares out a budget by its own price: it goes with no rule"),
        (["--unit", "seconds"], "--unit is that of a --total: give both"),
        (["--total", 50, "--unit", "joules"], "has measured no joules"),
        (["--tolerance", 0.1], "a tolerance is the loss that the threshold leaves"),
        (["--mean-steps", "nan"], "mean steps are a number from 1 to 129; got nan"),
        (["--file", "/no/such"], "/no/such cannot be used"),
    ],
)
def test_a_budget_that_cannot_be_is_one_sentence(options, words, capsys):
    assert run("steps", "a red circle", *options) == 2
    assert words in capsys.readouterr().err


def test_steps_notes_an_unknown_word_and_still_answers(capsys):
    assert run("steps", "a zebra on a white wall") == 0
    output = capsys.readouterr()
    assert "note:" in output.err and "'zebra'" in output.err and "a zebra on a white wall" in output.out


@pytest.mark.slow
def test_dataset_says_how_many_pictures_are_broken_and_notes_them_in_the_table(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("bfkit.metrics.scorer.l_snr", lambda images, _: torch.full((len(images),), torch.nan))
    out, table = tmp_path / "dataset", tmp_path / "scores.parquet"
    assert run("dataset", "--prompts", 1, "--steps", 1, 2, "--out", out, "--table", table) == 0
    said = capsys.readouterr().out
    assert "1 shards in" in said and ": 0 rows" in said
    assert f"8 broken pictures are left out: which and why stands in {out / 'failures.csv'}" in said
    assert len(pl.read_csv(out / "failures.csv")) == len(read_metadata(table)["failures"]) == 8


@pytest.mark.slow
def test_models_given_as_options_are_those_used_and_noted(tmp_path, capsys):
    families.save_tiny("sd15", tmp_path / "tiny")
    asked = ("--pipeline", tmp_path / "tiny", "--guidance", 2, "--dtype", "bfloat16", "--seeds", 1)
    assert run("dataset", *asked, "--prompts", 2, "--steps", 1, 2, "--out", tmp_path / "out") == 0
    (shard,) = (tmp_path / "out").glob("*.parquet")
    config = read_metadata(shard)["configuration"]
    assert config["profile"] == "tiny" and config["pipeline"] == model_digest(str(tmp_path / "tiny"))
    assert (config["guidance"], config["dtype"], config["seeds"]) == (2.0, "bfloat16", [0])
    assert run("train", "--clip", tmp_path / "tiny", "--out", tmp_path / "advisor") == 2
    assert "no score table is named" in capsys.readouterr().err, "the miniature's tells of another CLIP"


@pytest.mark.slow
def test_dataset_writes_shards_and_one_table_and_goes_on_where_it_was(tmp_path, capsys):
    out, table = tmp_path / "shards", tmp_path / "scores.parquet"
    assert run("dataset", "--prompts", 2, "--steps", 1, 2, "--out", out) == 0
    before = {path: path.read_bytes() for path in out.glob("*.parquet")}
    assert before
    assert run("dataset", "--prompts", 2, "--steps", 1, 2, "--out", out, "--table", table) == 0
    assert {path: path.read_bytes() for path in out.glob("*.parquet")} == before
    rows = read_scores(table)
    assert len(rows) == 2 * len(PROFILES["mini"].seeds) * 2
    assert rows.equals(read_scores(out))
    assert read_looks(table).equals(read_looks(out)) and len(read_looks(table)) == len(rows) // 2
    assert noted_hardware(table) == noted_hardware(out) == [hardware("cpu")]
    assert f"{len(rows):,} rows" in capsys.readouterr().out


def test_train_learns_for_so_many_epochs_on_a_device_that_it_notes_and_the_advisor_loads(tmp_path, capsys):
    assert run("train", "--epochs", 2, "--device", "cpu", "--out", tmp_path / "advisor") == 0
    assert "error on" in capsys.readouterr().out
    noted = json.loads((tmp_path / "advisor" / "config.json").read_text())
    assert noted["settings"]["epochs"] == dict.fromkeys(METRICS, 2)
    assert noted["hardware"] == hardware("cpu")
    assert run("steps", "a white and empty wall", "--advisor", tmp_path / "advisor", "--device", "cpu") == 0
    assert "a white and empty wall" in capsys.readouterr().out


def test_the_ceiling_of_a_table_is_a_table_and_a_sentence(capsys):
    assert run("ceiling", "--mean-steps", 9) == 0
    said = capsys.readouterr().out
    assert "hindsight" in said and "Of UNIFORM's D-SIM loss at 9 steps the prompt alone can save at most" in said
    assert run("ceiling", "--mean-steps", 500) == 2
    assert "a budget of 500 steps cannot be judged" in capsys.readouterr().err


@pytest.mark.slow
def test_calibrate_promises_for_each_rule_what_it_has_measured(capsys):
    assert run("calibrate", "--epsilon", 0.05) == 0
    said = capsys.readouterr().out
    for rule in ("constant", "plateau", "threshold", "price"):
        assert rule in said
    assert (
        said.count("at least 90% of prompts lose at most 0.05 of the mean quality, at 90% confidence (61 prompts)") == 4
    )
    assert run("calibrate", "--alpha", 0.01) == 2
    assert "61 prompts to calibrate on are too few" in capsys.readouterr().err


@pytest.mark.slow
def test_a_promise_is_kept_beside_an_advisor_of_ones_own(capsys, tmp_path):
    assert run("calibrate", "--keep", "threshold") == 2
    assert "name its folder with --advisor" in capsys.readouterr().err
    own = tmp_path / "weights" / "advisor"
    shutil.copytree(Path(PROFILES["mini"].advisor).parent, own.parent)
    assert run("calibrate", "--advisor", own, "--epsilon", 0.05, "--keep", "constant") == 0
    promised = StepAdvisor.from_pretrained(own).promise
    assert promised is not None and promised.rule == "constant" and str(promised) in capsys.readouterr().out
    assert run("steps", "a white and empty wall", "--advisor", own, "--rule", "promised") == 0
    assert f" {promised.knob:g} " in capsys.readouterr().out


COMPUTING = {
    "draw": ["a white and empty wall", "--out", "OUT"],
    "doctor": [],
    "calibrate": [],
    "grid": ["--prompts", "1", "--seeds", "1"],
    "quickstart": ["--out", "OUT"],
    "recipes": ["--out", "OUT"],
    "knowing": ["--out", "OUT"],
    "steps": ["a white and empty wall"],
    "dataset": ["--prompts", "1", "--out", "OUT"],
    "plan": ["--prompts", "1"],
    "train": ["--out", "OUT"],
    "compare": ["--out", "OUT"],
    "networks": ["--out", "OUT"],
    "learning-curve": ["--out", "OUT"],
    "bench": ["--out", "OUT"],
    "reproduce": ["--fresh", "--out", "OUT"],
}


def test_every_command_that_runs_a_network_does_so_on_a_device_of_ones_choice():
    assert {*COMPUTING, "study", "course", "ceiling"} == set(cli.build_parser()._subparsers._group_actions[0].choices)


@pytest.mark.parametrize("command", COMPUTING)
def test_a_gpu_that_is_not_there_is_refused_before_anything_begins(command, tmp_path, capsys):
    out = tmp_path / "out"
    assert (
        run(command, *[str(out) if word == "OUT" else word for word in COMPUTING[command]], "--device", "cuda:99") == 2
    )
    output = capsys.readouterr()
    assert output.err.startswith("bfkit: no device cuda:99: torch finds") and len(output.err.splitlines()) == 1
    assert output.out == "" and not out.exists()


@pytest.mark.slow
def test_a_fresh_reproduction_draws_trains_and_reports_and_does_none_of_it_twice(tmp_path, capfd):
    out = tmp_path / "reports"
    asked = ("reproduce", "--fresh", "--prompts", 6, "--only", "04", "--out", out)
    assert run(*asked) == 0
    made = {path: path.stat().st_mtime_ns for folder in ("scores", "advisor") for path in (out / folder).rglob("*.*")}
    assert len(read_scores(out / "scores")["prompt_id"].unique()) == 6
    noted = json.loads((out / "manifest.json").read_text())["runs"]["04_scores"]["inputs"]
    assert noted["scores"] not in ("", table_digest(PROFILES["mini"].scores))
    capfd.readouterr()
    assert run(*asked) == 0
    assert "04_scores: up to date" in capfd.readouterr().out
    assert made == {path: path.stat().st_mtime_ns for path in made}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["steps", ""], "prompt 0 is empty"),
        (["steps", "zebras galloping"], "no word of 'zebras galloping' is known"),
        (["steps", "--profile", "sd9", "a wall"], "unknown profile 'sd9': choose one of mini"),
        (["dataset", "--prompts", "0", "--out", "OUT"], "--prompts must be at least 1; got 0"),
        pytest.param(
            ["dataset", "--prompts", "99999", "--out", "OUT"], "captions are dissimilar", marks=pytest.mark.slow
        ),
        (["dataset", "--prompts", "1", "--steps", "0", "--out", "OUT"], "whole number from 1 to 1000; got 0"),
        (["dataset", "--prompts", "1", "--steps", "1001", "--out", "OUT"], "whole number from 1 to 1000; got 1001"),
        (["train", "--profile", "sd2", "--out", "OUT"], "no score table is named: make one with `bfkit dataset"),
        (["train", "--scores", "nowhere.parquet", "--out", "OUT"], "no score table at nowhere.parquet"),
        (["reproduce", "--prompts", "5", "--out", "OUT"], "--prompts is the number of prompts to draw anew"),
        (["reproduce", "--fresh", "--scores", "x", "--out", "OUT"], "give one of the two"),
        (["reproduce", "--profile", "sd2", "--out", "OUT"], "sd2 has no scores of its own: make them with"),
        (["reproduce", "--only", "77", "--out", "OUT"], "no notebook '77': choose from 00_tour"),
        (
            ["reproduce", "--only", "00", "-p", "color=red", "--out", "OUT"],
            "none of these notebooks has a parameter 'color': there are none",
        ),
        (
            ["reproduce", "-p", "device=cpu", "--out", "OUT"],
            "device is no --parameter but an option of its own: --device",
        ),
        (["steps", "--profile", "nowhere.toml", "a wall"], "no profile nowhere.toml: name a TOML file or one of mini"),
        (["train", "--epochs", "0", "--out", "OUT"], "--epochs must be at least 1; got 0"),
    ],
)
def test_bad_input_gets_one_sentence_and_exit_code_2(arguments, sentence, tmp_path, capsys):
    arguments = [str(tmp_path / "out") if argument == "OUT" else argument for argument in arguments]
    assert run(*arguments) == 2
    output = capsys.readouterr()
    assert sentence in output.err and output.err.startswith("bfkit: ") and "Traceback" not in output.err
    assert len(output.err.strip().splitlines()) == 1
    assert not list((tmp_path / "out").rglob("*.parquet"))


@pytest.mark.parametrize("damage", ["foreign", "truncated", "empty"])
def test_a_damaged_score_table_is_named_and_left_alone(damage, tmp_path, capsys):
    path = tmp_path / "scores.parquet"
    pl.DataFrame({"x": range(1000)}).write_parquet(path)
    if damage != "foreign":
        path.write_bytes(path.read_bytes()[: 100 if damage == "truncated" else 0])
    before = path.read_bytes()
    assert run("train", "--scores", path, "--out", tmp_path / "advisor") == 2
    assert str(path) in capsys.readouterr().err
    assert path.read_bytes() == before and not (tmp_path / "advisor").exists()


@pytest.mark.slow
def test_the_installed_command_answers_without_a_traceback():
    done = subprocess.run(
        [sys.executable, "-m", "bfkit.cli", "steps", " "], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 2 and done.stderr == "bfkit: prompt 0 is empty: describe a picture in words\n"


COMMANDS = (
    "",
    "steps",
    "dataset",
    "plan",
    "train",
    "compare",
    "bench",
    "reproduce",
    "study",
    "study pictures",
    "study build",
    "study analyse",
)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main([*command.split(), "--help"])
    assert ended.value.code == 0
    printed = capsys.readouterr().out
    assert "usage: bfkit" in printed and "%%" not in printed


def test_the_version_is_told(capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["--version"])
    assert ended.value.code == 0 and capsys.readouterr().out == f"bfkit {bfkit.__version__}\n"


def test_a_study_is_built_and_analysed_from_the_command_line(tmp_path, capsys):
    rows = []
    for prompt in ("a wall", "a park"):
        for condition, steps, gray in (("OURS", 5, 90), ("UNIFORM", 7, 120), ("REFERENCE", 65, 150)):
            path = tmp_path / f"{prompt[2:]}-{condition}.png"
            Image.new("RGB", (32, 32), (gray, gray, 40)).save(path)
            rows.append({"prompt": prompt, "seed": 0, "condition": condition, "steps": steps, "image": str(path)})
    pl.DataFrame(rows).write_csv(tmp_path / "pictures.csv")
    options = ["--trials", 2, "--repeats", 0, "--checks", 0, "--practice", 0, "--orders", 2]
    assert run("study", "build", tmp_path / "pictures.csv", "--out", tmp_path / "study", *options) == 0
    assert (tmp_path / "study" / "index.html").is_file()
    made = study.read_study(tmp_path / "study")
    answers = study.simulate(made, study.Observers(participants=6, d_prime=1.0), seed=1)
    answers.write_parquet(tmp_path / "answers.parquet")
    assert run("study", "analyse", tmp_path / "answers.parquet", "--out", tmp_path / "report") == 0
    assert "(simulated)" in capsys.readouterr().out
    assert (tmp_path / "report" / "report.md").is_file()


def test_pictures_that_are_not_there_are_one_sentence(tmp_path, capsys):
    assert run("study", "build", tmp_path / "none.csv", "--out", tmp_path / "study") == 2
    assert "none.csv" in capsys.readouterr().err
    assert not (tmp_path / "study").exists()
