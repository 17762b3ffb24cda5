"""What a check says of answers of all kinds, as text and as HTML."""

import numpy as np
import polars as pl
import pytest
import torch

from bfkit import course
from bfkit.course.checking import NOT_ATTEMPTED, NOT_YET, RIGHT, Task

NUMBER = Task("t.number", "a number", "", lambda: 12, ("h",), {}, code="answer = 12")
SHARE = Task("t.share", "a share", "", lambda: 0.25, ("h",), {}, code="answer = 0.25", tolerance=1e-3)
ROW = Task("t.row", "a row", "", lambda: np.array([1.0, 2.0, 3.0]), ("h",), {}, code="answer = [1, 2, 3]")
NAMES = Task("t.names", "names", "", lambda: {"d_sim", "i_clip"}, ("h",), {}, code="answer = []")


def double(values, factor):
    return factor * values


DOUBLE = Task("t.double", "twice", "", double, ("first", "second"), {}, cases=lambda: [(np.arange(3.0), 2)])


@pytest.mark.parametrize(
    ("task", "answer", "said"),
    [
        (NUMBER, 13, "off by one, too large"),
        (NUMBER, 11, "off by one, too small"),
        (NUMBER, 400, "too large"),
        (NUMBER, "12", "numbers are wanted, this is of type str"),
        (NUMBER, None, "it is None: is there a return?"),
        (NUMBER, [12], "wrong shape: it is (1,), wanted is one number"),
        (NUMBER, float("nan"), "no number (NaN)"),
        (SHARE, 25, "a share is wanted, not a percentage"),
        (SHARE, 0.2, "too small"),
        (ROW, [1, 2], "it has too few entries"),
        (ROW, [1, 2, 3, 4], "it has too many entries"),
        (ROW, [[1, 2, 3]], "wrong shape: it is (1, 3), wanted is (3,)"),
        (ROW, [1, 2.5, 9], "2 of 3 values are off, the first at index 1: too large"),
        (ROW, [[1], [2, 3]], "numbers are wanted, this is of type list"),
        (NAMES, ["d_sim"], "something is missing"),
        (NAMES, ["d_sim", "i_clip", "l_snr"], "something is in it that is not right"),
        (NAMES, 3, "a list of names is wanted, this is of type int"),
        (DOUBLE, 3, "a function is wanted, this is of type int"),
        (DOUBLE, lambda values, factor: None, "it is None: is there a return?"),
        (DOUBLE, lambda values, factor: values / 0, "no number (NaN)"),
        (DOUBLE, lambda values, factor: values[7], "IndexError: index 7 is out of bounds for axis 0 with size 3"),
        (DOUBLE, lambda values: values, "TypeError: "),
    ],
)
@pytest.mark.filterwarnings("ignore:(divide|invalid)")
def test_not_yet_says_what_is_off(task, answer, said):
    result = task.check(answer)
    assert result.verdict == NOT_YET and said in result.said
    assert repr(result).startswith("✗ not yet") and "\n" not in result.said


def test_an_exception_names_the_input_that_caused_it():
    assert DOUBLE.check(lambda values, factor: 1 / 0).said.endswith("(for values = array([0., 1., 2.]), factor = 2)")


@pytest.mark.parametrize(
    ("task", "answer"),
    [
        (NUMBER, np.int64(12)),
        (NUMBER, 12.0),
        (SHARE, torch.tensor(0.25)),
        (SHARE, 0.2501),
        (ROW, torch.tensor([1.0, 2.0, 3.0], requires_grad=True)),
        (ROW, pl.Series([1, 2, 3])),
        (ROW, (1, 2, 3)),
        (NAMES, ("i_clip", "d_sim")),
        (DOUBLE, lambda values, factor: [factor * value for value in values]),
        (DOUBLE, np.multiply),
    ],
)
def test_whatever_kind_of_object_an_answer_is_it_may_be_right(task, answer):
    assert task.check(answer).verdict == RIGHT


def half_done(values, factor):
    twice = ...
    return twice


def empty(values, factor):
    """Says what it will do."""
    ...


def one_line(values, factor): ...


def called(values, factor):
    return np.multiply(...)


def sliced(values, factor):
    return factor * values[..., :]


@pytest.mark.parametrize("answer", [..., [1, ...], {"a": [...]}, (..., 2), {1, ...}], ids=repr)
def test_dots_anywhere_in_a_value_are_not_attempted(answer):
    assert ROW.check(answer).verdict == NOT_ATTEMPTED


@pytest.mark.parametrize("answer", [..., half_done, empty, one_line, called, lambda values, factor: [...]])
def test_dots_anywhere_in_a_function_are_not_attempted(answer):
    assert DOUBLE.check(answer).verdict == NOT_ATTEMPTED


def test_dots_between_brackets_are_numpys():
    assert DOUBLE.check(sliced).verdict == RIGHT


def test_a_function_that_writes_into_its_input_spoils_no_later_case():
    def doubled(values, factor):
        values *= factor
        return values

    cases = [(np.arange(3.0), 2)] * 2
    task = Task("t.twice", "", "", double, ("h",), {}, cases=lambda: cases)
    assert task.check(doubled).verdict == RIGHT and cases[0][0].tolist() == [0, 1, 2]


def test_the_students_function_is_shown_once_it_is_right_and_the_tasks_until_then():
    right = sliced
    assert DOUBLE.own(right) is right
    assert DOUBLE.own(empty) is double and DOUBLE.own(...) is double and DOUBLE.own(max) is double


def test_in_a_notebook_a_result_is_a_status_told_in_words_and_harmless():
    shown = ROW.check([1, 2, 3])._repr_html_()
    assert 'role="status"' in shown and "✓ right" in shown
    shown = DOUBLE.check(lambda values, factor: [][factor])._repr_html_()
    assert "✗ not yet" in shown and "<pre>" not in shown
    raised = Task("t.raised", "", "", double, ("h",), {}, cases=lambda: [(1, 1)]).check(lambda *_: int("<b>&</b>"))
    assert "&lt;b&gt;&amp;" in raised._repr_html_()


def test_hints_come_one_by_one_and_the_solution_is_code():
    assert [DOUBLE.hint(number).said for number in (1, 2, 3)] == ["first", "second", "second"]
    assert DOUBLE.hint(2).verdict == "hint 2 of 2"
    assert "def double(values, factor):" in DOUBLE.solution().said
    assert "<pre>" in DOUBLE.solution()._repr_html_() and NUMBER.solution().said == "answer = 12\n"


def test_an_unknown_task_is_told_with_the_known_ones():
    with pytest.raises(ValueError, match=r"no task 'plateau.nothing': choose from .*plateau.plateau"):
        course.task("plateau.nothing")
    with pytest.raises(ValueError, match="no task 'plateaux'"):
        course.task("plateaux")
    assert repr(course.task("plateau.plateau")) == "plateau.plateau: Equation 7 yourself"
