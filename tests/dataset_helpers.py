"""What the tests of data sets share."""

from pathlib import Path

import polars as pl
from polars.testing import assert_frame_equal


def shard_files(folder: Path) -> list[Path]:
    return sorted(folder.glob("shard-*.parquet"))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def assert_same_rows(first: pl.DataFrame, second: pl.DataFrame, tolerance: float = 0) -> None:
    """Equal but for the time it took."""
    assert_frame_equal(first.drop("seconds"), second.drop("seconds"), abs_tol=tolerance, rel_tol=0)
