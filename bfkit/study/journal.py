"""Answers on disk: a journal that only grows, and the table made of it."""

import hashlib
import io
import json
import os
import threading
from pathlib import Path
from typing import Any

from bfkit.files import write_file

from .design import Study
from .records import JOURNAL, KEY, SCHEMA, read_answers, read_journal

TABLE = "answers.parquet"
MAX_SESSIONS = 2_000  # beyond a classroom: somebody makes them up


class Journal:
    """Answers on disk: a line each, on the disk before it is acknowledged, and never written twice."""

    def __init__(self, folder: Path, study: Study) -> None:
        self.path = folder / JOURNAL
        self._lock = threading.Lock()
        stored = read_journal(self.path) if self.path.exists() else SCHEMA.to_frame()
        if others := set(stored["study"]) - {study.id}:
            raise ValueError(f"{folder} holds answers to study {others.pop()}: choose another with --out")
        self._known = {_key(row): _digest(row) for row in stored.iter_rows(named=True)}
        self._sessions = {session for session, _ in self._known}
        self._dirty = bool(self._known)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("ab", buffering=0)
        except OSError as error:
            raise ValueError(f"{folder} takes no answers ({error.strerror}): choose another with --out") from None
        if self.path.stat().st_size and not self.path.read_bytes().endswith(b"\n"):
            self._file.write(b"\n")  # the last line was cut off by a power failure: begin a new one

    def add(self, rows: list[dict[str, Any]]) -> int:
        """Store the rows that are new, all or none; how many were.

        Raises ValueError if one of them was answered otherwise before, OSError if the disk does not take them.
        """
        with self._lock:
            new: dict[tuple, dict] = {}
            for row in rows:
                before = self._known.get(_key(row)) or _digest(new.setdefault(_key(row), row))
                if before != _digest(row):
                    raise ValueError(f"position {row['position']} of this session was answered before, and otherwise")
            if len(self._sessions | {session for session, _ in new}) > MAX_SESSIONS:
                raise OSError(f"{MAX_SESSIONS} sessions are stored: this server takes no more")
            if new:
                self._append(b"".join(json.dumps(row).encode() + b"\n" for row in new.values()))
                self._known |= {key: _digest(row) for key, row in new.items()}
                self._sessions |= {session for session, _ in new}
                self._dirty = True
            return len(new)

    def _append(self, content: bytes) -> None:
        start, left = os.fstat(self._file.fileno()).st_size, memoryview(content)
        try:
            while left:
                left = left[self._file.write(left) :]
            os.fsync(self._file.fileno())
        except OSError:
            os.ftruncate(self._file.fileno(), start)  # half an answer is none: the page will send it again
            raise

    def write_table(self) -> None:
        """Write all answers as one parquet file, if any came since the last time."""
        with self._lock:
            dirty, self._dirty = self._dirty, False
        if not dirty:
            return
        try:
            content = io.BytesIO()
            read_answers(self.path.parent).write_parquet(content)
            write_file(self.path.with_name(TABLE), content.getvalue())
        except OSError:
            self._dirty = True
            raise

    def close(self) -> None:
        """Take no more answers."""
        with self._lock:
            self._file.close()


def _key(row: dict[str, Any]) -> tuple:
    return tuple(row[name] for name in KEY)


def _digest(row: dict[str, Any]) -> bytes:
    return hashlib.sha256(json.dumps(row, sort_keys=True).encode()).digest()[:12]
