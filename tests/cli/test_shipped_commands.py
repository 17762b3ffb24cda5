"""Every file that the miniature ships has the command that makes it, in README, and that command exists."""

import re
import shlex
from pathlib import Path

import pytest

from bfkit.cli import build_parser
from bfkit.profiles import PROFILES, TABLES, WEIGHTS

README = Path(__file__).parents[2] / "README.md"


def commands() -> list[list[str]]:
    section = README.read_text(encoding="utf-8").split("## Make it again")[1].split("```")[1]
    lines = re.sub(r"\\\n", " ", section).splitlines()[1:]
    return [shlex.split(line, comments=True) for line in lines]


@pytest.mark.parametrize("path", sorted(TABLES.iterdir()), ids=lambda path: path.name)
def test_readme_has_the_command_that_makes_each_shipped_table(path):
    made = [words for words in commands() if any(word.endswith(f"bfkit/mini/tables/{path.name}") for word in words)]
    assert len(made) == 1
    arguments = build_parser().parse_args(made[0][1:])
    assert arguments.profile == "mini"


def test_readme_has_the_command_that_trains_the_shipped_advisor():
    assert Path(PROFILES["mini"].advisor) == WEIGHTS / "advisor"
    made = [words for words in commands() if "bfkit/mini/weights/advisor" in words]
    assert [words[:2] for words in made] == [["bfkit", "train"]]
    assert build_parser().parse_args(made[0][1:]).command == "train"
