"""Puts the exercises of ``bfkit/course/lessons`` into the lessons' notebooks: python docs/exercises.py [NN ...]

A task is a cell that asks, the solution, the check, and perhaps a figure of the student's own. Where a lesson has a
task's cells they are renewed in their place, each by its id, so that they may be moved; new ones come before the last.
"""

import ast
import sys
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell

from bfkit import course
from bfkit.course.checking import Task

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
HELP = "`task.hint()` and `task.solution()`, in a cell of your own, help."


def task_cells(task: Task) -> list[nbformat.NotebookNode]:
    """What a task is in a lesson; the book folds the solution away, as the tag ``hide-input`` asks it to."""
    source, ident = task.source(), task.name.replace(".", "-").replace("_", "-")
    last = ast.parse(source).body[-1]
    answer = last.name if isinstance(last, ast.FunctionDef) else ast.unparse(last.targets[0])  # type: ignore[attr-defined]
    given = f", {task.given}" if task.given else ""
    check = f'task = course.task("{task.name}")\ntask.check({answer}{given})'
    cells = [
        new_markdown_cell(
            f"**Exercise: {task.title}{'' if task.title.endswith('?') else '.'}** {task.text}\n\n{HELP}",
            id=f"{ident}-task",
        ),
        new_code_cell(source, id=f"{ident}-solution", metadata={"tags": ["solution", "hide-input"]}),
        new_code_cell(check, id=f"{ident}-check", metadata={"tags": ["check"]}),
    ]
    if task.figure:
        cells.append(new_code_cell(task.figure, id=f"{ident}-figure", metadata={"tags": ["check"]}))
    return cells


def refreshed(path: Path) -> nbformat.NotebookNode:
    """A lesson with its tasks' cells as they are written today."""
    lesson = nbformat.read(path, as_version=4)
    for task in course.tasks(path.stem.partition("_")[2]).values():
        new = {cell.id: cell for cell in task_cells(task)}
        known = [cell.id for cell in lesson.cells]
        at = known.index(next(iter(new))) if next(iter(new)) in known else len(known) - 1
        missing = [cell for ident, cell in new.items() if ident not in known]
        lesson.cells = [new.get(cell.id, cell) for cell in lesson.cells]
        lesson.cells[at:at] = missing
    return lesson


def main(names: list[str]) -> None:
    """Renew the lessons whose names begin so; all of them without any."""
    for path in sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb")):
        if not names or path.stem.startswith(tuple(names)):
            nbformat.write(refreshed(path), path)


if __name__ == "__main__":
    main(sys.argv[1:])
