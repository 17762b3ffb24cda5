"""Whatever the terminal's locale: files are UTF-8, and what cannot be shown is replaced."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from PIL import Image

import bfkit
from bfkit import cli
from bfkit.dataset.table import read_scores
from bfkit.study import read_study

ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": ""}
TYPED = {"LC_ALL": "C.UTF-8", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"}
TEXT = "a red circle, naïve café, 日本, 🦊"


def run(environment: dict[str, str], *arguments: object) -> subprocess.CompletedProcess:
    words = [sys.executable, "-m", "bfkit.cli", *map(str, arguments)]
    return subprocess.run(
        words, env={**os.environ, **environment}, capture_output=True, encoding="utf-8", check=False, timeout=300
    )


def test_every_file_of_the_library_is_opened_as_utf8():
    """Bytes are bytes, and a text without an encoding is whatever the reader's machine takes it for."""
    found = []
    for path in Path(bfkit.__file__).parent.rglob("*.py"):
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(call, ast.Call) or any(keyword.arg == "encoding" for keyword in call.keywords):
                continue
            name = getattr(call.func, "attr", getattr(call.func, "id", ""))
            binary = any(isinstance(word, ast.Constant) and "b" in str(word.value) for word in call.args)
            other = ast.unparse(call.func) in ("Image.open", "os.open")
            if name in ("read_text", "write_text") or (name == "open" and not binary and not other):
                found.append(f"{path}:{call.lineno}")
    assert found == []


@pytest.mark.slow
@pytest.mark.parametrize("environment", [ASCII, TYPED], ids=["ascii locale", "ascii terminal"])
def test_steps_answers_in_a_terminal_that_knows_ascii_only(environment):
    done = run(environment, "steps", TEXT)
    assert done.returncode == 0, done.stderr
    assert "a red circle, na?ve caf?, ??, ?" in done.stdout and done.stdout.isascii() and done.stderr.isascii()
    assert "'na?ve'" in done.stderr, "unknown words are told as they were typed, as far as they can be shown"
    assert "t*" in done.stdout and "+--" in done.stdout


def test_a_table_is_framed_with_lines_where_they_can_be_shown(capsys):
    assert cli.main(["steps", TEXT]) == 0
    shown = capsys.readouterr().out
    assert TEXT in shown and "│" in shown


@pytest.mark.slow
@pytest.mark.parametrize("environment", [ASCII, TYPED], ids=["ascii locale", "ascii terminal"])
def test_a_data_set_of_captions_beyond_ascii_is_the_same_everywhere(environment, tmp_path):
    (tmp_path / "captions.txt").write_text(f"{TEXT}\n", encoding="utf-8")
    out = tmp_path / "größe"
    done = run(environment, "dataset", "--captions", tmp_path / "captions.txt", "--prompts", 1, "--steps", 1,
               "--out", out, "--table", tmp_path / "tâble.parquet")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert read_scores(tmp_path / "tâble.parquet")["prompt"].unique().to_list() == [TEXT]


def pictures(folder: Path) -> Path:
    rows = []
    for prompt in (TEXT, "a párk"):
        for condition, steps, gray in (("OURS", 5, 90), ("UNIFORM", 7, 120), ("REFERENCE", 65, 150)):
            name = f"{prompt[2:]}-{condition}.png"
            Image.new("RGB", (8, 8), (gray, gray, 40)).save(folder / name)
            rows.append({"prompt": prompt, "seed": 0, "condition": condition, "steps": steps, "image": name})
    pl.DataFrame(rows).write_csv(folder / "pictures.csv")
    return folder / "pictures.csv"


@pytest.mark.slow
@pytest.mark.parametrize("environment", [ASCII, TYPED], ids=["ascii locale", "ascii terminal"])
def test_a_study_beyond_ascii_is_built_everywhere(environment, tmp_path):
    design = ("--trials", 2, "--repeats", 0, "--checks", 0, "--practice", 0, "--orders", 2, "--title", "Welches? 🦊")
    done = run(environment, "study", "build", pictures(tmp_path), "--out", tmp_path / "Umfrage für alle", *design)
    assert done.returncode == 0, done.stderr
    study = read_study(tmp_path / "Umfrage für alle")
    assert [stimulus.prompt for stimulus in study.stimuli] == [TEXT, "a párk"]
    assert "Welches? \\ud83e\\udd8a" in (tmp_path / "Umfrage für alle" / "study.js").read_text(encoding="utf-8")


# --- a prompt among many --------------------------------------------------------------------------------------------


def cells(printed: str) -> list[list[str]]:
    """The rows of a table: the prompt, and what stands behind it."""
    lines = [line.split("│") if "│" in line else line.split("┆") for line in printed.splitlines() if "┆" in line]
    return [[cell.strip() for cell in "┆".join(line).split("┆") if cell.strip()] for line in lines]


def test_a_prompt_that_the_model_does_not_know_refuses_only_itself(capsys):
    assert cli.main(["steps", "a red circle", "a white and empty wall"]) == 0
    header, circle, wall = cells(capsys.readouterr().out)
    assert header == ["prompt", "L-SNR", "D-SIM", "I-CLIP", "t*"] and circle[0] == "a red circle"
    assert cli.main(["steps", "a red circle", "zebras galloping", " ", "a white and empty wall"]) == 2
    output = capsys.readouterr()
    unknown, empty = ["zebras galloping", "-", "-", "-", "-"], ["-", "-", "-", "-"]
    assert cells(output.out) == [header, circle, unknown, empty, wall]
    first, second = output.err.splitlines()
    assert first.startswith("bfkit: no word of 'zebras galloping' is known to this model; it knows prompts such as ")
    assert second == "bfkit: prompt 2 is empty: describe a picture in words"
