"""The house: what is light stays light, what is offered is there, and the rooms are few and small."""

import runpy
import subprocess
import sys
from pathlib import Path

import pytest

import bfkit
from bfkit.metrics.scorer import load_scorer

PACKAGE = Path(bfkit.__file__).parent
LIGHT = "bfkit.predictor.plateau, bfkit.predictor.rules, bfkit.evaluation.efficiency, bfkit.charts, bfkit.course"


def run(code: str, *options: str) -> None:
    done = subprocess.run([sys.executable, *options, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("imported", ["bfkit", LIGHT, "bfkit.cli"])
def test_what_reads_arrays_or_options_loads_no_torch(imported):
    run(f"import {imported}, sys; assert not {{'torch', 'diffusers', 'open_clip'}} & set(sys.modules)")


def test_the_command_runs_where_python_drops_docstrings():
    run("import sys, bfkit.cli\nassert not bfkit.cli.main.__doc__\nsys.exit(bfkit.cli.main(['--help']))", "-OO")


@pytest.mark.slow
def test_torchvision_imports_after_bfkit_whatever_torch_is_installed():
    run("import bfkit, torchvision; from transformers import BloomPreTrainedModel")


def test_every_public_name_is_there_and_a_name_of_before_is_the_same_thing():
    assert {name for name in bfkit.__all__ if getattr(bfkit, name, None) is None} == set()
    assert bfkit.load_judges is load_scorer
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        bfkit.nothing  # noqa: B018


def test_the_rooms_are_few_and_their_files_short():
    rooms = [path for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()]
    assert len(rooms) - 1 <= 25, "the package's own __init__ is none"
    lengths = {path: len(path.read_text().splitlines()) for path in PACKAGE.rglob("*.py")}
    assert {str(path) for path, lines in lengths.items() if lines > 250} == set()


def test_the_architecture_page_is_that_of_todays_imports(tmp_path):
    docs = PACKAGE.parent / "docs"
    runpy.run_path(str(docs / "architecture.py"))["main"](tmp_path)
    for name in ("architecture.md", "architecture.svg"):
        assert (tmp_path / name).read_text() == (docs / name).read_text(), "run `make architecture`"
