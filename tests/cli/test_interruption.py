"""Ctrl-C at any moment: one sentence, exit code 130, and no process left after two seconds."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bfkit.cli.interruption import STOPPED

CODE = """
import os, signal, subprocess, sys, threading, time
from bfkit.cli.interruption import guarded

def interrupt():
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(60)

def command():
    {body}
    return 0

sys.exit(guarded(command))
"""
SWALLOWS = """
    while True:
        try:
            interrupt()
        except KeyboardInterrupt:
            print("Traceback", file=sys.stderr)"""
PANICS = """
    class PanicException(BaseException):
        pass
    try:
        interrupt()
    except KeyboardInterrupt:
        os.write(2, b"thread '<unnamed>' panicked")
        raise PanicException("Python") from None"""
GOES_ON = """
    try:
        interrupt()
    except KeyboardInterrupt:
        pass"""
CHILDREN = """
    subprocess.Popen([sys.executable, "-c", "import signal, time; signal.signal(2, signal.SIG_IGN);"
                      "print('there', flush=True); time.sleep(60)"])
    time.sleep(1)
    interrupt()"""
TERMINATED = """
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(60)"""


def session(leader: int) -> list[int]:
    """The processes of a session that have not ended."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, of = path.read_bytes().rpartition(b")")[2].split()[:4]
        except OSError:
            continue
        if int(of) == leader and state != b"Z":
            found.append(int(path.parent.name))
    return found


def ended(run: subprocess.Popen, seconds: float = 2) -> None:
    """Wait for the end of all that a run started, for so long."""
    end = time.monotonic() + seconds
    while left := session(run.pid):
        assert time.monotonic() < end, f"left behind: {left}"
        time.sleep(0.02)


def started(command: list[str], **options) -> subprocess.Popen:
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8",
                            start_new_session=True, **options)  # fmt: skip


HOW = {
    "swallowed": SWALLOWS,
    "turned into a panic": PANICS,
    "overheard": GOES_ON,
    "with a process": CHILDREN,
    "SIGTERM": TERMINATED,
    "plain": "interrupt()",
}


@pytest.mark.parametrize("body", HOW.values(), ids=HOW)
def test_an_interrupt_is_one_sentence_whatever_becomes_of_its_exception(body):
    run = started([sys.executable, "-c", CODE.format(body=body)])
    _, errors = run.communicate(timeout=30)
    assert (run.returncode, errors) == (130, f"{STOPPED}\n")
    ended(run)


def test_what_is_no_interrupt_is_as_it_was():
    run = started([sys.executable, "-c", CODE.format(body="raise RuntimeError('a mistake of ours')")])
    assert "RuntimeError: a mistake of ours" in run.communicate(timeout=30)[1] and run.returncode == 1
    run = started([sys.executable, "-c", CODE.format(body="print('done')")])
    assert run.communicate(timeout=30) == ("done\n", "") and run.returncode == 0


COMMANDS = {
    "dataset": "dataset --prompts 6 --steps 1 2 4 --out OUT",
    "dataset in processes": "dataset --prompts 6 --steps 1 2 4 --workers 2 --out OUT",
    "train": "train --out OUT",
    "compare": "compare --prompts 2 --seeds 1 --out OUT",
    "reproduce": "reproduce --only 00 --out OUT",
    "bench": "bench --out OUT",
}


@pytest.mark.slow
@pytest.mark.parametrize("busy", [0.5, 4, 12], ids=lambda seconds: f"after {seconds} s of work")
@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_ends_with_one_sentence_wherever_it_is(name, busy, tmp_path):
    """At start-up, while importing and loading, and at work: told by processor time, not by the clock."""
    words = COMMANDS[name].replace("OUT", str(tmp_path / "out")).split()
    run = started([sys.executable, "-m", "bfkit.cli", *words])
    while run.poll() is None and used(run.pid) < busy:
        time.sleep(0.02)
    os.killpg(run.pid, signal.SIGINT)  # as a terminal does
    _, errors = run.communicate(timeout=30)
    assert run.returncode == 130, errors
    assert errors.endswith(f"{STOPPED}\n") and "Traceback" not in errors and "panicked" not in errors
    ended(run)


def used(process: int) -> float:
    """Seconds of processor time of a process, and of those that it started."""
    ticks = 0
    for member in session(process):
        try:
            ticks += sum(map(int, Path(f"/proc/{member}/stat").read_bytes().rpartition(b")")[2].split()[11:13]))
        except OSError:
            continue
    return ticks / os.sysconf("SC_CLK_TCK")
