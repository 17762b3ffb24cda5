"""Every file that the miniature ships has the command that makes it, in docs/miniature.md, and that command exists."""

import re
import shlex
from importlib.util import find_spec
from pathlib import Path

import pytest

from bfkit.cli import build_parser
from bfkit.profiles import PROFILES, TABLES, WEIGHTS

PAGE = Path(__file__).parents[2] / "docs" / "miniature.md"


def commands() -> list[list[str]]:
    section = PAGE.read_text(encoding="utf-8").split("## Make it again")[1].split("```")[1]
    lines = re.sub(r"\\\n", " ", section).splitlines()[1:]
    return [shlex.split(line, comments=True) for line in lines]


@pytest.mark.parametrize("path", sorted(TABLES.iterdir()), ids=lambda path: path.name)
def test_the_docs_have_the_command_that_makes_each_shipped_table(path):
    made = [words for words in commands() if any(word.endswith(f"bfkit/mini/tables/{path.name}") for word in words)]
    assert len(made) == 1
    if made[0][0] == "bfkit":
        assert build_parser().parse_args(made[0][1:]).profile == "mini"
    else:
        assert made[0][:3] == ["python", "-m", "bfkit.mini.ruler"] and find_spec(made[0][2])


def test_the_docs_have_the_command_that_trains_the_shipped_advisor():
    assert Path(PROFILES["mini"].advisor) == WEIGHTS / "advisor"
    made = [words for words in commands() if "bfkit/mini/weights/advisor" in words]
    assert [words[:2] for words in made] == [["bfkit", "train"]]
    assert build_parser().parse_args(made[0][1:]).command == "train"
