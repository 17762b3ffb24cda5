"""Long measurements in pieces, each kept as it is finished: a run that was killed goes on, and several can share."""

import hashlib
import io
import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from bfkit.files import write_file

Pieces = Mapping[str, Callable[[], pl.DataFrame]]  # each by its name: what makes its rows


def together(pieces: Pieces) -> pl.DataFrame:
    """The rows of all pieces, made now."""
    return pl.concat([make() for make in pieces.values()])


def in_pieces(pieces: Pieces, out: Path, decides: Any, part: tuple[int, int] = (1, 1)) -> pl.DataFrame | None:
    """Make the ``part``-th of so many parts of the pieces; the rows of all if they are complete, else None.

    Finished pieces lie beside ``out``, in a folder named after what ``decides`` them, anything that JSON can hold; what
    other settings left there is not mistaken for theirs. The folder goes with the last piece.
    """
    digest = hashlib.sha256(json.dumps([decides, list(pieces)], sort_keys=True, default=str).encode()).hexdigest()
    folder = out.with_name(f"{out.name}.pieces-{digest[:8]}")
    folder.mkdir(parents=True, exist_ok=True)
    number, parts = part
    files = {name: folder / f"{place:03d}.parquet" for place, name in enumerate(pieces)}
    mine = [name for name in list(pieces)[number - 1 :: parts] if not files[name].exists()]
    for name in mine:
        print(name, flush=True)
        pieces[name]().write_parquet(content := io.BytesIO())
        write_file(files[name], content.getvalue())
    if not all(file.exists() for file in files.values()):
        return None
    rows = pl.concat([pl.read_parquet(file) for file in files.values()])
    shutil.rmtree(folder)
    return rows
