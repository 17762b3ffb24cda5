"""Command lines drawn from the parser itself: each is taken, or refused with one sentence and exit code 2.

Options are drawn with values that fit their type and with values that nobody would type. Where the long work of a
command would begin, it ends: what is looked for are arguments that nobody checked. hypothesis prints the smallest
command line that fails, and how to run it again.
"""

import argparse
import io
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bfkit import cli
from bfkit.profiles import PROFILES

LONG_WORK = (  # where a command begins to load models, draw, train or wait
    "bfkit.models.clip.load_clip",
    "bfkit.models.pipelines.load_pipeline",
    "bfkit.dataset.build.load_clip",
    "bfkit.dataset.estimate.load_pipeline",
    "bfkit.dataset.download.fetch",
    "bfkit.dataset.captions.fetch",
    "bfkit.predictor.advisor.load_clip",
    "bfkit.evaluation.table1.load_clip",
    "bfkit.evaluation.learning_curve.load_clip",
    "bfkit.evaluation.learning_curve.expect",
    "bfkit.evaluation.recipes.load_clip",
    "bfkit.evaluation.ceiling.ceilings",
    "bfkit.evaluation.promise.promises",
    "bfkit.evaluation.quickstart.dataset_prompts",
    "bfkit.models.hub.hf_hub_download",
    "bfkit.doctor.load_pipeline",
    "bfkit.benchmarks.suite.run",
    "bfkit.report.reproduce.run",
    "bfkit.report.reproduce.make_scores",
    "bfkit.report.reproduce.make_advisor",
    "bfkit.study.StudyServer.serve_forever",
)
WORDS = st.one_of(
    st.sampled_from(["", " ", "-", "--", "0", "-1", "nan", "inf", "1e999", "mini", "sd2", "00,", ",", "=", "x=", "3/16",
                     "1/1", "0/0", "cuda:99", "world", "val2017", "a wall", "naïve 日本 🦊", "\udcff", "a\x00b", "[",
                     "x" * 300, "é" * 200, "http://x", "ftp://x", "10.0.0.1:6379", "127.0.0.1", "999.9.9.9", "::1"]),
    st.text(max_size=12).filter(lambda word: not word.startswith("/")),  # no folder of this machine
)  # fmt: skip
NUMBERS = st.one_of(
    st.sampled_from(["0", "1", "2", "-1", "12", "65535", "65536", str(2**63), str(10**30), "1.5", "nan", "x", ""]),
    st.integers(-3, 300).map(str),
)
PLACES = st.sampled_from(
    ["FILE", "FOLDER", "LOOP", "DANGLING", "PIPE", "NEW", "NEW/below", "FILE/below", "LOOP/below", "FOLDER/x.parquet",
     "TABLE", "CSV", "STUDY", "ANSWERS", "ADVISOR", "", ".", "/dev/null", "/proc/x", "x" * 300]
)  # fmt: skip


def leaves(parser: argparse.ArgumentParser, name: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], list]]:
    """Every command and part of one, and the options it has."""
    parts = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if not parts:
        yield name, [action for action in parser._actions if "--help" not in action.option_strings]
    for action in parts:
        for part, below in action.choices.items():
            yield from leaves(below, (*name, part))


def values(action: argparse.Action) -> st.SearchStrategy[list[str]]:
    """What may follow an option, or stand for a positional."""
    if action.nargs == 0:
        return st.just([])
    if action.choices:
        one = st.one_of(st.sampled_from(sorted(action.choices)), WORDS)
    elif action.type in (int, float):
        one = NUMBERS
    else:
        one = st.one_of(PLACES, PLACES, WORDS)
    return st.lists(one, min_size=1, max_size=3) if action.nargs == "+" else one.map(lambda value: [value])


@st.composite
def command_lines(draw: st.DrawFn) -> list[str]:
    name, actions = draw(st.sampled_from(list(leaves(cli.build_parser()))))
    words = list(name)
    for action in actions:
        if not action.option_strings:
            words += draw(values(action))
        elif action.required or draw(st.integers(0, 3)) == 0:
            words += [draw(st.sampled_from(action.option_strings)), *draw(values(action))]
    return words


class Begun(Exception):
    """A command took its arguments."""


@pytest.fixture(scope="module")
def places(tmp_path_factory) -> dict[str, str]:
    from study_helpers import pictures

    from bfkit.study import Observers, build, read_study, simulate

    folder = tmp_path_factory.mktemp("places")
    (folder / "file").write_bytes(b"\x93NUMPY")
    (folder / "folder").mkdir()
    (folder / "loop").symlink_to("loop")
    (folder / "dangling").symlink_to("nowhere")
    os.mkfifo(folder / "pipe")
    (folder / "table.csv").write_text("prompt,seed,condition,steps,image\na,0,OURS,1,x.png\n", encoding="utf-8")
    build(pictures(6), folder / "study", trials=4, checks=1, practice=1, orders=2)
    simulate(read_study(folder / "study"), Observers(0.5, participants=4), 1).write_parquet(folder / "answers.parquet")
    names = ("file", "folder", "loop", "dangling", "pipe", "new", "study")
    known = {name.upper(): str(folder / name) for name in names} | {
        "TABLE": PROFILES["mini"].scores, "CSV": str(folder / "table.csv"), "ADVISOR": PROFILES["mini"].advisor,
        "ANSWERS": str(folder / "answers.parquet"),
    }  # fmt: skip
    return known | {"FOLDER": str(folder / "folder"), "FILE": str(folder / "file")}


def written(folder: Path) -> dict[str, int]:
    return {str(path): path.lstat().st_mtime_ns for path in folder.rglob("*")}


@pytest.mark.slow
@settings(max_examples=int(os.environ.get("HOSTILE_DRAWS", 100)), deadline=None, database=None, print_blob=True,
          suppress_health_check=list(HealthCheck))  # fmt: skip
@given(line=command_lines())
def test_a_command_line_is_taken_or_refused_with_one_sentence(line, places, tmp_path_factory):
    def begin(*_: object, **__: object) -> None:
        raise Begun

    place = tmp_path_factory.mktemp("work")
    for known, path in sorted(places.items(), key=lambda pair: -len(pair[0])):
        start = path if known != "NEW" else str(place / "new")
        line = [start + word.removeprefix(known) if word.split("/")[0] == known else word for word in line]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        for target in LONG_WORK:
            patch.setattr(target, begin)
        err = captured(patch)
        before = written(Path(places["FOLDER"]).parent)
        try:
            code = cli.main(line)
        except Begun:
            code = 0
        except SystemExit as ended:
            assert ended.code == 2, line
            assert "error: " in err.getvalue()
            return
    assert code in (0, 1, 2), line
    said = err.getvalue().strip().splitlines()
    if code == 2:
        refusals = [text for text in said if text.startswith("bfkit: ") and not text.startswith("bfkit: note: ")]
        assert refusals and "Errno" not in err.getvalue() and "os error" not in err.getvalue(), (line, said)
        if line[0] != "steps":
            assert len(refusals) == 1 and said[-1] == refusals[0], (line, said)
        if "study" not in line:
            assert written(Path(places["FOLDER"]).parent) == before, line


def captured(patch: pytest.MonkeyPatch) -> io.StringIO:
    """What is said on standard error from now on."""
    patch.setattr(sys, "stdout", io.StringIO())
    patch.setattr(sys, "stderr", io.StringIO())
    return sys.stderr
