"""Ctrl-C and SIGTERM at any moment: one sentence, exit code 130, and no process left behind.

An interrupt first ends a command as Python does, by an exception: files are closed, workers and kernels ended. Native
code may swallow that exception, turn it into another or take its time, and whatever unwinds may print; so that standard
error is shut first, and after a second this process ends as it is. Whatever is written is whole or not there
(``bfkit.files``).
"""

import os
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

STOPPED = "bfkit: stopped; what was finished is kept, and the same command goes on from there"
EXIT_CODE = 130
GRACE = 1.0  # seconds


def guarded(command: Callable[[], int]) -> int:
    """The exit code of a command that has this process to itself; where it is interrupted, the process ends here."""
    said: list[int] = []  # where the sentence goes, once an interrupt came

    def interrupt(*_: object) -> None:
        if said:  # once more: at once, then
            _end(said[0])
        said.append(_shut_stderr())
        backstop = threading.Timer(GRACE, _end, said)
        backstop.daemon = True
        backstop.start()
        raise KeyboardInterrupt

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, interrupt)
    try:
        code = command()
    except BaseException:  # a native library's panic is no Exception
        if not said:
            raise
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # it is done, and Python is about to end
    if said:
        _end(said[0])
    return code


def _shut_stderr() -> int:
    """Let nothing more be said on standard error; returns the descriptor of what it was."""
    with suppress(Exception):
        sys.stderr.flush()
    kept = os.dup(2)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    return kept


def _end(stderr: int) -> None:
    for process in _below(os.getpid()):
        with suppress(OSError):
            os.kill(process, signal.SIGKILL)
    with suppress(Exception):
        sys.stdout.flush()
    with suppress(OSError):
        os.write(stderr, f"{chr(10) * os.isatty(stderr)}{STOPPED}\n".encode())  # a progress bar may be in its line
    os._exit(EXIT_CODE)


def _below(process: int) -> list[int]:
    """The processes that a process started, and theirs; where /proc does not tell, none: ours watch their parent."""
    parents: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            parents.setdefault(int(path.read_bytes().rpartition(b")")[2].split()[1]), []).append(int(path.parent.name))
    found = [process]
    for one in found:
        found.extend(parents.get(one, ()))
    return found[1:]
