"""The student's copy of a lesson: dots for solutions, nothing else changed, and it runs with nothing answered."""

import ast

import nbformat
import papermill
import pytest

from bfkit.course.notebook import stub, student_copy
from bfkit.report.reproduce import choose


@pytest.mark.parametrize(
    ("solution", "dots"),
    [
        ("def f(x, y=2):\n    return x", "def f(x, y=2):\n    ..."),
        ('def f(x):\n    """One.\n\n    Two."""\n    return x', 'def f(x):\n    """One.\n\n    Two."""\n    ...'),
        ("import numpy as np\n\ndef f(\n    x,\n):\n    return x", "import numpy as np\n\ndef f(\n    x,\n):\n    ..."),
        ("a = 1\nb = f(\n    a,\n    'é')  # steps", "a = 1\nb = ...  # steps"),
    ],
)  # fmt: skip
def test_a_stub_keeps_what_is_given(solution, dots):
    assert stub(solution) == dots
    ast.parse(dots)


@pytest.mark.parametrize("path", choose(), ids=lambda path: path.stem)
def test_a_copy_differs_in_the_solutions_alone_and_hands_in_at_the_end(path):
    lesson, copy = nbformat.read(path, as_version=4), student_copy(path)
    nbformat.validate(copy)
    assert [cell.id for cell in copy.cells[: len(lesson.cells)]] == [cell.id for cell in lesson.cells]
    for own, theirs in zip(lesson.cells, copy.cells, strict=False):
        solved = "solution" in own.metadata.get("tags", ())
        assert (own.source == theirs.source) != solved
        assert not solved or ("..." in theirs.source and "solution" not in theirs.metadata.tags)
    assert [cell.source for cell in copy.cells[len(lesson.cells) :]][-1] == "course.hand_in(...)"


@pytest.mark.slow
@pytest.mark.parametrize("path", choose(), ids=lambda path: path.stem)
def test_a_students_copy_runs_with_nothing_answered(path, tmp_path):
    copy = student_copy(path)
    few = {"pictures": 4} if "pictures" in papermill.inspect_notebook(path) else {}
    nbformat.write(copy, tmp_path / path.name)
    papermill.execute_notebook(tmp_path / path.name, tmp_path / "ran.ipynb", few, cwd=tmp_path, progress_bar=False,
                               kernel_name="python3")  # fmt: skip
    cells = nbformat.read(tmp_path / "ran.ipynb", as_version=4).cells
    said = [str(cell.outputs) for cell in cells if "check" in cell.metadata.get("tags", ()) or cell.id == "hand-in"]
    assert len(said) > 2 and all("not attempted" in text for text in said)
    assert not list(tmp_path.glob("*.json"))
