"""The student's copy of a lesson, whose notebook holds the solutions in cells tagged ``solution``."""

import ast
from collections.abc import Sequence
from pathlib import Path

from bfkit.extras import extra
from bfkit.files import write_file

with extra("notebooks"):
    import nbformat
    from nbformat.v4 import new_code_cell, new_markdown_cell


def stub(solution: str) -> str:
    """A solution with dots for its function's body, or for its last assignment's value; what stands above is given.

    >>> print(stub('steps = [1, 2]\\nmean = sum(steps) / 2  # of two'))
    steps = [1, 2]
    mean = ...  # of two
    """
    lines, last = solution.splitlines(), ast.parse(solution).body[-1]
    if isinstance(last, ast.FunctionDef):
        kept = last.body[0].end_lineno if ast.get_docstring(last) else last.body[0].lineno - 1
        return "\n".join([*lines[:kept], "    ..."])
    assert isinstance(last, ast.Assign), "a solution ends in what it answers"
    comment = lines[-1].encode()[last.value.end_col_offset :].decode()
    return "\n".join([*lines[: last.lineno - 1], f"{ast.unparse(last.targets[0])} = ...{comment}"])


def student_copy(path: Path) -> nbformat.NotebookNode:
    """A lesson with dots for its solutions, and a last cell to hand in what was answered."""
    lesson = nbformat.read(path, as_version=4)
    for cell in lesson.cells:
        if "solution" in cell.metadata.get("tags", ()):
            cell.source, cell.metadata["tags"] = stub(cell.source), ["answer"]
    said = "**To hand in** what you have answered, put your name, in quotes, in the place of the dots."
    lesson.cells += [new_markdown_cell(said, id="name"), new_code_cell("course.hand_in(...)", id="hand-in")]
    return lesson


def write_copies(lessons: Sequence[Path], out: Path) -> None:
    """Write the students' copies of lessons; ValueError if one is there already, which may hold answers."""
    copies = {out / path.name: nbformat.writes(student_copy(path)) for path in lessons}
    if there := [path for path in copies if path.exists()]:
        raise ValueError(f"{there[0]} is there and may hold answers: name another folder with --out")
    for path, text in copies.items():
        write_file(path, f"{text}\n".encode())
