"""Code that a lesson prints can be run after its cells: its names, attributes and arguments are there."""

import ast
import re
from collections.abc import Collection

import pytest
from lessons import LESSONS, CannotRun, Names, read_lesson

SPAN = re.compile(r"(?<!`)`([^`\n]+(?:\n[^`\n]+)?)`(?!`)")


def python_of(prose: str, written: Collection[str] = ()) -> list[ast.Module]:
    """The code spans of prose that are Python and call or assign something, in their order.

    ``look=True``, without blanks, names an argument and is no statement; ``name(...)`` leaves its arguments open; a
    call of what is ``written`` by the student says how it is to be called.
    """
    found = []
    for span in SPAN.findall(prose):
        try:
            tree = ast.parse(" ".join(span.split()))
        except SyntaxError:
            continue
        argument = re.fullmatch(r"\w+=\S+", span) or span.split("(")[0] in written
        if not argument and any(isinstance(node, ast.Call | ast.Assign) for node in ast.walk(tree)):
            found.append(tree)
    return found


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_printed_code_names_what_is_there(path):
    lesson, names = read_lesson(path), Names()
    for tree in lesson.code.values():
        names.learn(tree)
    wrong = []
    nodes = (node for tree in lesson.code.values() for node in tree.body)
    written = {node.name for node in nodes if isinstance(node, ast.FunctionDef)}
    for number, prose in lesson.prose.items():
        for tree in python_of(prose, written):
            try:
                names.run(tree)
            except CannotRun as error:
                wrong.append(f"{lesson.name}, cell {number}: `{ast.unparse(tree)}`: {error}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("cells", "prose", "said"),
    [
        ("import numpy as np", "Try `pl.read_csv('x')`.", "nothing is called pl"),
        ("advisor = None", "Ask `advisor.steps(['a wall'])`.", "None has no steps"),
        ("from bfkit import paper", "See `list(paper.STEPS)`.", "bfkit.paper has no STEPS"),
        ("from bfkit.stats import interval", "`interval(abs, [1], depth=3)`", "unexpected keyword argument 'depth'"),
        ("from bfkit.stats import mean", "`mean()`", "missing a required argument"),
        (
            "from bfkit import StepAdvisor\na = StepAdvisor.from_pretrained('mini')",
            "`a.steps(['a wall'], rules='price')`",
            "unexpected keyword argument 'rules'",
        ),
        ("from bfkit import StepAdvisor\na = StepAdvisor.from_pretrained('mini')", "`a.stepps([])`", "has no stepps"),
        ("from random import Random", "`x = Random(0)`, then `[y.random() for z in range(3)]`", "nothing is called y"),
    ],
)
def test_code_that_a_reader_could_not_run_is_refused(cells, prose, said):
    names = Names()
    names.learn(ast.parse(cells))
    with pytest.raises(CannotRun, match=said):
        for tree in python_of(prose):
            names.run(tree)


def test_what_earlier_code_of_the_prose_binds_and_what_a_comprehension_does_is_known():
    names = Names()
    names.learn(ast.parse("import numpy as np\nrows = np.ones(3)"))
    for tree in python_of('`few = rows[:2]`, `[one + 1 for one in few]`; `bfkit steps "a wall"`, `look=True`, `f(` no'):
        names.run(tree)
    assert "few" in names.names
