"""What is checked before hours of work, and what killed writers leave behind."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bfkit import files

HERE, START = files._machine(), files._start(os.getpid())


@pytest.mark.parametrize(
    ("name", "kind", "sentence"),
    [
        ("file", "folder", r"cannot be a folder \(.*file is a file\): name another place"),
        ("file/below", "folder", r"below cannot be written \(Not a directory\): name another place"),
        ("folder", "file", "folder is a folder: name a file"),
        ("loop", "folder", r"loop cannot be written \(Too many levels of symbolic links\)"),
        ("loop/below", "file", r"below cannot be written \(Too many levels of symbolic links\)"),
        ("x" * 300, "file", r"cannot be written \(File name too long\)"),
        ("x" * 250, "file", r"cannot be written \(File name too long\)"),  # while it is written it has a longer one
        ("pipe", "file", "pipe is no file: name a file"),
        ("/proc/nowhere/x", "folder", r"cannot be written \("),
    ],
)
def test_a_place_where_nothing_can_be_written_is_told_before(tmp_path, name, kind, sentence):
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "folder").mkdir()
    (tmp_path / "loop").symlink_to("loop")
    os.mkfifo(tmp_path / "pipe")
    before = sorted(tmp_path.iterdir())
    with pytest.raises(ValueError, match=sentence):
        files.check_target(tmp_path / name, kind)
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(("name", "kind"), [("new/folder", "folder"), ("new/table", "file"), ("file", "file")])
def test_a_place_where_something_can_be_written_is_left_as_it_is(tmp_path, name, kind):
    (tmp_path / "file").write_bytes(b"old")
    assert files.check_target(tmp_path / name, kind) == tmp_path / name
    assert [path.name for path in tmp_path.iterdir()] == ["file"] and (tmp_path / "file").read_bytes() == b"old"


def leave(folder: Path, owner: str, days_ago: float = 0, name: str = "prompts.json") -> Path:
    path = folder / f".{name}.{owner}-0a0a0a0a.tmp"
    path.write_bytes(b"half")
    os.utime(path, (then := time.time() - days_ago * files.DAY, then))
    return path


def test_leftovers_of_the_dead_go_whatever_they_were_to_become_and_whatever_the_clock_said(tmp_path):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    left = [
        leave(tmp_path, f"{HERE}-{gone.pid}-{START}"),
        leave(tmp_path, f"{HERE}-{gone.pid}-1", days_ago=-300, name="a.b.html"),  # a clock that has gone back since
        leave(tmp_path, f"{HERE}-{os.getpid()}-{START + 1}", name="x.png"),  # its number has come again
        leave(tmp_path, f"{HERE}-{10**12}-1", name="table.parquet"),
        leave(tmp_path, f"{HERE}-{gone.pid}", name="of-version-0.1.parquet"),
        leave(tmp_path, "another0-1-1", days_ago=1.1),
        leave(tmp_path, "another0-1-2", days_ago=-1.1),
    ]
    files.write_file(tmp_path / "new.csv", b"x")
    assert [path.name for path in left if path.exists()] == []
    assert (tmp_path / "new.csv").read_bytes() == b"x"


def test_what_may_be_a_live_writers_or_nobodys_of_ours_stays(tmp_path):
    stays = [
        leave(tmp_path, f"{HERE}-{os.getpid()}-{START}"),
        leave(tmp_path, f"{HERE}-{os.getpid()}-{START}", days_ago=400, name="slow"),  # the clock was put forward
        leave(tmp_path, f"{HERE}-{os.getpid()}", days_ago=2, name="of-version-0.1"),
        leave(tmp_path, "another0-1-1"),
        leave(tmp_path, "another0-1-2", days_ago=-0.9),
    ]
    foreign = tmp_path / ".mine.tmp"
    foreign.write_text("not ours", encoding="utf-8")
    os.utime(foreign, (0, 0))
    files.remove_leftovers(tmp_path)
    assert all(path.exists() for path in (*stays, foreign))


def test_a_writer_that_is_killed_is_cleaned_up_after_by_the_next_in_that_folder(tmp_path):
    code = (
        "import os, signal, sys, pathlib; from bfkit import files\n"
        "os.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "files.write_file(pathlib.Path(sys.argv[1]), b'x')"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "page.html")], check=False)
    assert done.returncode == -9 and len(list(tmp_path.iterdir())) == 1
    files.write_file(tmp_path / "other.html", b"y")
    assert [path.name for path in tmp_path.iterdir()] == ["other.html"]


def test_a_parent_that_is_a_file_is_one_sentence(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OSError, match=r"below cannot be written \(.*\): see to the disk") as caught:
        files.write_file(tmp_path / "file" / "below", b"x")
    assert caught.value.errno is None
