"""What students hand in and a teacher reads: nothing is lost, nothing is claimed, and bad files are told."""

import json

import pytest

from bfkit import cli, course
from bfkit.course.checking import RECORD


@pytest.fixture(autouse=True)
def record() -> dict:
    """No check of another test."""
    RECORD.clear()
    return RECORD


def run(*arguments: object) -> int:
    return cli.main([str(argument) for argument in arguments])


CURVES = {"l_snr": 5, "lstm": 30, "mlp": 10}


def test_what_is_handed_in_grows_lesson_by_lesson_and_says_that_it_is_signed_against_nothing(tmp_path, record):
    course.task("predictor.share").check(1.0, CURVES)
    course.task("predictor.share").check(0.75, CURVES)
    written = course.hand_in("Ada Lovelace", tmp_path)
    assert "1 of 1 tasks right" in written.said and "signed against nothing" in written.said
    record.clear()  # another lesson's kernel
    course.task("plateau.plateau").check(...)
    course.hand_in("Ada Lovelace", tmp_path)
    found = json.loads((tmp_path / "ada-lovelace.json").read_text())
    assert found["student"] == "Ada Lovelace" and "anybody can write" in found["signed"]
    assert found["tasks"] == {
        "predictor.share": {"verdict": "right", "checks": 2},
        "plateau.plateau": {"verdict": "not attempted", "checks": 1},
    }


def test_a_name_in_any_alphabet_and_no_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert course.hand_in(...).verdict == "not attempted" and not list(tmp_path.iterdir())
    course.hand_in("李 雷")
    assert (tmp_path / "李-雷.json").is_file()
    with pytest.raises(ValueError, match=r"'\.\./\.\.' is no name: give one with a letter"):
        course.hand_in("../..")


def test_nobody_overwrites_anybodys_file(tmp_path):
    course.hand_in("Ada B", tmp_path)
    with pytest.raises(ValueError, match="is what Ada B hands in: write your name in another way"):
        course.hand_in("ada-b", tmp_path)
    (tmp_path / "bob.json").write_text("[1, 2")
    with pytest.raises(ValueError, match=r"bob.json is nothing that course.hand_in wrote"):
        course.hand_in("Bob", tmp_path)
    assert (tmp_path / "bob.json").read_text() == "[1, 2"


def test_a_teacher_gets_a_table_and_is_told_what_is_left_out(tmp_path, capsys):
    course.task("predictor.share").check(0.75, CURVES)
    course.task("predictor.forward").check(...)
    course.hand_in("Ada", tmp_path / "a")
    course.task("plateau.plateau").check(...)
    course.hand_in("Bob", tmp_path / "b")
    (tmp_path / "b" / "broken.json").write_text('{"tasks": {"x": 3}, "student": "Eve"}')
    assert run("course", "collect", tmp_path / "a", tmp_path / "b", "--table", tmp_path / "all.csv") == 0
    output = capsys.readouterr()
    assert "broken.json is nothing that course.hand_in wrote: it is left out" in output.err
    ada, bob = (next(line for line in output.out.splitlines() if name in line) for name in ("Ada", "Bob"))
    assert "1 of 2" in ada and "0 of 1" in bob and "signed against nothing" in output.out
    lines = (tmp_path / "all.csv").read_text().splitlines()
    assert lines[0] == "student,file,task,verdict,checks" and len(lines) == 6
    assert lines[1].startswith("Ada,") and lines[1].endswith(",predictor.forward,not attempted,1")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("collect OUT", "nothing was handed in at"),
        ("collect OUT --table OUT", "is a folder: name a file to write"),
        ("student --out FILE", "file cannot be a folder"),
        ("student --out OUT --only 77", "no notebook '77': choose from 00_tour"),
    ],
)
def test_bad_input_is_one_sentence(arguments, sentence, tmp_path, capsys):
    (tmp_path / "file").touch()
    places = {"OUT": tmp_path, "FILE": tmp_path / "file"}
    assert run("course", *[places.get(word, word) for word in arguments.split()]) == 2
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1 and sentence in said[0]
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_copies_are_never_written_over_a_students_answers(tmp_path, capsys):
    assert run("course", "student", "--out", tmp_path / "copies", "--only", "01,03") == 0
    assert "2 lessons in" in capsys.readouterr().out
    own = tmp_path / "copies" / "03_metrics.ipynb"
    own.write_text("answers")
    (tmp_path / "copies" / "01_prompts.ipynb").unlink()
    assert run("course", "student", "--out", tmp_path / "copies") == 2
    assert "03_metrics.ipynb is there and may hold answers: name another folder" in capsys.readouterr().err
    assert own.read_text() == "answers" and len(list((tmp_path / "copies").iterdir())) == 1
