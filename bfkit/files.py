"""Files that are whole or not there: written in one move, sealed with a checksum of themselves.

A run may be killed at any moment, fill the disk, or share its folder with other runs, on this machine or another.
"""

import hashlib
import os
import platform
import secrets
import time
from contextlib import suppress
from functools import cache
from pathlib import Path

DAY = 24 * 3600  # seconds
SEAL = b"bfkit-sha256:"
OPEN_SEAL = SEAL + b"0" * 64  # what a file holds before it is sealed: a place for the checksum's hex digits


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


def write_file(path: Path, content: bytes, keep_old: bool = False) -> None:
    """Write a file in one move: a kill, a power cut or a full disk leaves the old file, or none, but no half of one.

    With ``keep_old``, a file that is already there stays: of many writers the first decides. Raises OSError with one
    sentence if the disk does not take it.
    """
    temporary = path.with_name(f".{path.name}.{_machine()}-{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        (os.link if keep_old else os.replace)(temporary, path)
    except FileExistsError:
        if not keep_old:
            raise
    except OSError as error:
        raise OSError(
            f"{path} cannot be written ({error.strerror}): see to the disk and run again; what is finished is kept"
        ) from None
    finally:
        with suppress(OSError):  # it has been moved, or was never made
            temporary.unlink()


@cache
def _machine() -> str:
    """A short hash of all that makes a process id unique: the host, since when it runs, and the container."""
    parts = [platform.node()]
    for path, read in (("/proc/sys/kernel/random/boot_id", Path.read_text), ("/proc/self/ns/pid", Path.readlink)):
        with suppress(OSError):
            parts.append(str(read(Path(path))))
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()[:8]


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files of writers that are surely dead: gone from this machine, or silent for a day."""
    for path in folder.glob(".*.parquet.*.tmp"):
        *_, owner, _ = path.name.split(".")
        machine, _, process = owner.rpartition("-")[0].partition("-")
        with suppress(OSError):  # its writer, or another run, was faster
            silent = time.time() - path.stat().st_mtime > DAY
            if silent or (machine == _machine() and process.isdecimal() and not _is_alive(int(process))):
                path.unlink()


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's
        pass
    return True
