"""Exercises that check themselves, offline: a lesson's tasks stand in ``course/lessons``, in the file of its name."""

import importlib
from pathlib import Path

from .checking import Task
from .handed_in import hand_in as hand_in

LESSONS = tuple(sorted(path.stem for path in (Path(__file__).parent / "lessons").glob("[!_]*.py")))


def tasks(*lessons: str) -> dict[str, Task]:
    """The tasks of lessons, which are named without their numbers, by name and in their order."""
    homes = [importlib.import_module(f"{__name__}.lessons.{name}") for name in lessons if name in LESSONS]
    return {task.name: task for home in homes for task in home.TASKS}


def task(name: str) -> Task:
    """The task ``LESSON.TASK``; ValueError with the known names for another."""
    if found := tasks(name.partition(".")[0]).get(name):
        return found
    raise ValueError(f"no task {name!r}: choose from {', '.join(tasks(*LESSONS))}")
