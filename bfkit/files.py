"""Files that are whole or not there: written in one move, sealed with a checksum of themselves.

A run may be killed at any moment, fill the disk, or share its folder with other runs, on this machine or another.
"""

import hashlib
import os
import platform
import re
import secrets
import stat
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Literal

DAY = 24 * 3600  # seconds
SEAL = b"bfkit-sha256:"
OPEN_SEAL = SEAL + b"0" * 64  # what a file holds before it is sealed: a place for the checksum's hex digits
# .NAME.MACHINE-PROCESS-START-TOKEN.tmp; version 0.1 did not note when the process began
TEMPORARY = re.compile(r"\..+\.(?P<machine>\w{8})-(?P<process>[0-9]+)(-(?P<start>[0-9]+))?-[0-9a-f]{8}\.tmp")


# --- the seal -------------------------------------------------------------------------------------------------------


def seal(content: bytes) -> bytes:
    """Fill in the last open seal of a file: the SHA-256 of the whole file with its seal open.

    No damage then goes unseen, whichever byte it hits; formats that check no sums of their own can carry it.
    """
    at = content.rindex(OPEN_SEAL) + len(SEAL)
    return content[:at] + hashlib.sha256(content).hexdigest().encode() + content[at + 64 :]


def is_sealed(content: bytes) -> bool:
    """True if a file has a seal and it is right."""
    at = content.rfind(SEAL) + len(SEAL)
    opened = content[:at] + OPEN_SEAL[len(SEAL) :] + content[at + 64 :]
    return at >= len(SEAL) and hashlib.sha256(opened).hexdigest().encode() == content[at : at + 64]


# --- one move -------------------------------------------------------------------------------------------------------


def check_target(path: Path, kind: Literal["file", "folder"]) -> Path:
    """The path, if that can be written there; makes nothing. ValueError with one sentence otherwise.

    Hours of work end in a file: whether there can be one is asked before they begin.
    """
    try:
        place = _nearest(path.absolute())
        mode = place.stat().st_mode
        if kind == "file":
            _nearest(_temporary(path.absolute()))  # its name is the longer one
        if place == path.absolute() and kind == "file":
            if not stat.S_ISREG(mode):
                raise ValueError(f"{path} is {'a folder' if stat.S_ISDIR(mode) else 'no file'}: name a file to write")
            place = place.parent
        elif not stat.S_ISDIR(mode):
            raise ValueError(f"{path} cannot be a {kind} ({place} is a file): name another place")
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as error:
        raise ValueError(f"{path} cannot be written ({error.strerror}): name another place") from None
    return path


def _nearest(path: Path) -> Path:
    """The path itself, or the nearest folder above it that is there."""
    while True:
        try:
            path.lstat()
            return path
        except FileNotFoundError:
            path = path.parent


def _temporary(path: Path) -> Path:
    """A name of its own beside a file, which says who writes there."""
    owner = f"{_machine()}-{os.getpid()}-{_start(os.getpid())}-{secrets.token_hex(4)}"
    return path.with_name(f".{path.name}.{owner}.tmp")


def write_file(path: Path, content: bytes, keep_old: bool = False) -> None:
    """Write a file in one move: a kill, a power cut or a full disk leaves the old file, or none, but no half of one.

    With ``keep_old``, a file that is already there stays: of many writers the first decides. Raises OSError with one
    sentence if the disk does not take it.
    """
    temporary = _temporary(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers_once(path.parent)
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        (os.link if keep_old else os.replace)(temporary, path)
    except OSError as error:
        if isinstance(error, FileExistsError) and keep_old and path.exists():
            return
        raise OSError(
            f"{path} cannot be written ({error.strerror}): see to the disk and run again; what is finished is kept"
        ) from None
    finally:
        with suppress(OSError):  # it has been moved, or was never made
            temporary.unlink()


# --- what others left -----------------------------------------------------------------------------------------------


@cache
def _machine() -> str:
    """A short hash of all that makes a process id unique: the host, since when it runs, and the container."""
    parts = [platform.node()]
    with suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii"))
    with suppress(OSError):
        parts.append(str(Path("/proc/self/ns/pid").readlink()))
    return hashlib.sha256(" ".join(parts).encode("utf-8", "surrogateescape")).hexdigest()[:8]


def _start(process: int) -> int:
    """When a process began, in ticks since the machine did, which no change of its clock moves; 0 if nothing tells."""
    try:
        return int(Path(f"/proc/{process}/stat").read_bytes().rpartition(b")")[2].split()[19])
    except (OSError, IndexError, ValueError):
        return 0


@cache
def _remove_leftovers_once(folder: Path) -> None:
    remove_leftovers(folder)


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files of writers that are surely gone, and of no other.

    On this machine that is told by the process: its number, and when it began, since numbers come again. Of another
    machine nothing is known; its file is nobody's when it is a day away from now, on the folder's own clock, in either
    direction: clocks are put back, too.
    """
    for path in folder.glob(".*.tmp"):
        if (owner := TEMPORARY.fullmatch(path.name)) is None:
            continue
        with suppress(OSError):  # its writer, or another run, was faster
            if owner["machine"] == _machine():
                gone = not _is_alive(int(owner["process"]), int(owner["start"] or 0))
            else:
                gone = abs(_now(folder) - path.stat().st_mtime) > DAY
            if gone:
                path.unlink()


def _now(folder: Path) -> float:
    """The time by the clock that dates the folder's files, which may be another machine's."""
    with tempfile.TemporaryFile(dir=folder) as file:
        return os.fstat(file.fileno()).st_mtime


def _is_alive(process: int, start: int) -> bool:
    """True unless no process has that number, or one that began at another time."""
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # somebody else's
        pass
    return 0 in (start, now := _start(process)) or start == now
