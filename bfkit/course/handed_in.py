"""What a student hands in, and a teacher's table of it: small JSON files, no network, signed against nothing."""

import json
import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl

from bfkit import __version__
from bfkit.files import write_file

from .checking import NOT_ATTEMPTED, RECORD, RIGHT, Result

HONESTY = "against nothing: anybody can write this file"


def hand_in(name: Any, folder: str | Path = ".") -> Result:
    """Write what this kernel's checks said to ``FOLDER/name.json``, beside what earlier lessons wrote there.

    ValueError for a name without a letter, or a file there that is another's or none of ours.
    """
    if name is Ellipsis:
        return Result("hand in", NOT_ATTEMPTED, "put your name in the place of the dots")
    if not (short := re.sub(r"\W+", "-", str(name).lower()).strip("-")):
        raise ValueError(f"{name!r} is no name: give one with a letter in it")
    path = Path(folder) / f"{short}.json"
    student, before = _read(path) if path.exists() else (name, {})
    if student != name:
        raise ValueError(f"{path} is what {student} hands in: write your name in another way")
    found = {"student": name, "bfkit": __version__, "signed": HONESTY, "tasks": before | RECORD}
    write_file(path, f"{json.dumps(found, indent=2, ensure_ascii=False)}\n".encode())
    right = sum(noted["verdict"] == RIGHT for noted in found["tasks"].values())
    return Result("hand in", "written", f"{right} of {len(found['tasks'])} tasks right: {path}, signed {HONESTY}")


def collect(places: Sequence[Path]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """What was handed in, in files or folders of them: a row a file and task; and a row a file, a column a lesson.

    A file that is none of ours is left out with a warning; ValueError if there is no other.
    """
    rows = []
    for file in [file for place in places for file in (sorted(place.rglob("*.json")) if place.is_dir() else [place])]:
        try:
            student, tasks = _read(file)
        except ValueError as error:
            warnings.warn(f"{error}: it is left out", stacklevel=2)
        else:
            rows += [{"student": student, "file": str(file), "task": name, **told} for name, told in tasks.items()]
    if not rows:
        raise ValueError(f"nothing was handed in at {', '.join(map(str, places))}: name what course.hand_in wrote")
    each = pl.DataFrame(rows).sort("student", "file", "task")
    told = pl.format("{} of {}", (pl.col("verdict") == RIGHT).sum(), pl.len())
    lessons = each.group_by("student", "file", pl.col("task").str.split(".").list[0]).agg(told=told).sort("task")
    return each, lessons.pivot("task", index=["student", "file"], values="told").sort("student", "file")


def _read(path: Path) -> tuple[str, dict[str, dict[str, Any]]]:
    """Who handed a file in, and what was said of each task; ValueError for a file that ``hand_in`` did not write."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        told = {task: {"verdict": str(t["verdict"]), "checks": int(t["checks"])} for task, t in found["tasks"].items()}
        return str(found["student"]), told
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise ValueError(f"{path} is nothing that course.hand_in wrote") from None
