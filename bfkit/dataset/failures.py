"""The pictures that a data set lacks, because they came out broken: noted in each shard, listed in one file."""

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import polars as pl

from bfkit.files import write_file

from .table import read_metadata

SCHEMA = pl.Schema(
    {"prompt_id": pl.UInt32, "prompt": pl.String, "seed": pl.Int64, "steps": pl.UInt16, "reason": pl.String}
)
FILE = "failures.csv"


def failures_of(shards: Iterable[Path]) -> pl.DataFrame:
    """The pictures that shards note as broken, one a row of ``SCHEMA``; shards that are not finished note none."""
    rows = []
    for path in shards:
        with suppress(ValueError):  # not there, or damaged: it will be made again
            rows += read_metadata(path).get("failures", [])
    return pl.DataFrame(rows, SCHEMA).sort("prompt_id", "seed", "steps")


def failures_in(folder: Path) -> pl.DataFrame:
    """``failures_of`` all shards in a folder."""
    return failures_of(sorted(folder.glob("shard-*.parquet")))


def count_noted(source: str | Path) -> int:
    """How many broken pictures a folder of shards, a score table or a comparison says that it leaves out."""
    if Path(source).is_dir():
        return len(failures_in(Path(source)))
    noted = read_metadata(Path(source))
    return len(noted.get("failures", [])) + len(noted.get("broken", []))


def list_failures(folder: Path) -> None:
    """Write ``failures.csv`` for a folder of shards, or remove it where nothing is broken."""
    found, path = failures_in(folder), folder / FILE
    if len(found):
        write_file(path, found.write_csv().encode())
    else:
        path.unlink(missing_ok=True)
