"""A pipeline of the hub is pinned to a commit: of today at first, of the folder's first run ever after."""

import os
import subprocess
import sys
from pathlib import Path

import families
import pytest

from bfkit.dataset.table import read_metadata

MODEL = "someone/tiny"
FIRST, SECOND = "1" * 40, "2" * 40


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """A cache of the hub in which ``main`` has moved from one commit to another."""
    folder = tmp_path_factory.mktemp("home")
    held = folder / "hub" / "models--someone--tiny"
    for commit in (FIRST, SECOND):
        families.save_tiny("sd15", held / "snapshots" / commit)  # random weights: no two are alike
    (held / "refs").mkdir()
    (held / "refs" / "main").write_text(FIRST)
    return folder


def bfkit(home: Path, *arguments: object) -> subprocess.CompletedProcess:
    around = {**os.environ, "HF_HOME": str(home), "HF_HUB_OFFLINE": "1"}
    words = [sys.executable, "-m", "bfkit.cli", *(str(argument) for argument in arguments)]
    return subprocess.run(words, env=around, capture_output=True, text=True, check=False)


def revisions(folder: Path) -> set[str]:
    return {read_metadata(path)["configuration"]["revision"] for path in folder.glob("shard-*.parquet")}


@pytest.mark.slow
def test_a_data_set_stays_at_the_commit_that_it_began_with(home, tmp_path):
    asked = ("dataset", "--pipeline", MODEL, "--profile", "mini", "--steps", 1, 2, "--seeds", 1, "--prompts")
    main = home / "hub" / "models--someone--tiny" / "refs" / "main"
    done = bfkit(home, *asked, 2, "--out", tmp_path / "old")
    assert done.returncode == 0, done.stderr
    assert revisions(tmp_path / "old") == {FIRST}
    main.write_text(SECOND)
    more = bfkit(home, *asked, 2, "--keep-images", "--out", tmp_path / "old")  # which asks for pictures, drawn now
    assert more.returncode == 0 and revisions(tmp_path / "old") == {FIRST}, more.stderr
    again = bfkit(home, *asked, 2, "--out", tmp_path / "new")
    assert again.returncode == 0 and revisions(tmp_path / "new") == {SECOND}, again.stderr
    other = bfkit(home, *asked, 2, "--revision", SECOND, "--out", tmp_path / "old")
    assert other.returncode == 2
    assert f"revision: {FIRST} there, {SECOND} here" in other.stderr


@pytest.mark.slow
def test_a_model_that_is_nowhere_is_one_sentence(home, tmp_path):
    done = bfkit(home, "dataset", "--pipeline", "someone/else", "--prompts", 2, "--out", tmp_path)
    assert done.returncode == 2
    assert "someone/else is not on this machine and the hub cannot be reached" in done.stderr
    assert "Traceback" not in done.stderr
