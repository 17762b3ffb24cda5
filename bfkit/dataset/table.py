"""The score table: one row an image, as sealed parquet, and its split by prompt."""

import io
import json
import math
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from bfkit import files, paper

SCHEMA = pl.Schema(
    {
        "prompt_id": pl.UInt32,
        "prompt": pl.String,
        "seed": pl.Int64,
        "steps": pl.UInt16,
        "l_snr": pl.Float32,
        "d_sim": pl.Float32,
        "i_clip": pl.Float32,
        "evals": pl.UInt16,  # really made; one short of the steps where the first was shared, as tflops and seconds are
        "seconds": pl.Float32,
        "tflops": pl.Float32,
        "joules": pl.Float32,  # the GPU's while it drew, by NVML; null where nothing measured them
    }
)
LATER = ("joules",)  # columns that tables of before do not have
ORDER = ("prompt_id", "seed", "steps")
METADATA = "bfkit"
MOST_STEPS = 1000  # sampling.generate's, which this room of light imports does not load


# --- the file ----------------------------------------------------------------------------------------------------


def encode_table(frame: pl.DataFrame, metadata: dict) -> bytes:
    """A score table as the bytes of a sealed parquet file, with its configuration in the metadata."""
    buffer = io.BytesIO()
    noted = {METADATA: json.dumps(metadata), f"{METADATA}.seal": files.OPEN_SEAL.decode()}  # the seal comes last
    frame.write_parquet(buffer, compression="zstd", compression_level=19, metadata=noted)
    return files.seal(buffer.getvalue())


def write_table(frame: pl.DataFrame, path: Path, metadata: dict) -> None:
    """Write a score table with its configuration in one move (``files.write_file``)."""
    files.write_file(path, encode_table(frame, metadata))


def read_metadata(path: Path) -> dict:
    """What ``bfkit dataset`` noted in a parquet file; ValueError if it is not one of ours or is damaged."""
    return _noted(path, _content(path))


def _content(path: Path) -> bytes:
    """A file's bytes; ValueError if they are not those that were written."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ValueError(f"{path} cannot be read ({error.strerror}): see to it and run again") from None
    if files.SEAL in content and not files.is_sealed(content):
        raise ValueError(f"{path} is no complete parquet file (its checksum is wrong): delete it and run again")
    return content


def _noted(path: Path, content: bytes) -> dict:
    try:
        noted = pl.read_parquet_metadata(io.BytesIO(content))
    except pl.exceptions.PolarsError as error:
        raise ValueError(
            f"{path} is no complete parquet file ({_first_line(error)}): delete it and run again"
        ) from None
    if METADATA not in noted:
        raise ValueError(f"{path} was not written by `bfkit dataset`: it has no configuration in its metadata")
    return json.loads(noted[METADATA])


def noted_hardware(source: str | Path) -> list[dict[str, str]]:
    """What a table's pictures were drawn on (``devices.hardware``), each once; empty where none was noted.

    ``source`` is a file of ours or a folder of such. Raises ValueError for a file that is damaged or foreign.
    """
    source, found = Path(source), []
    folder = sorted(source.glob("shard-*.parquet")) or sorted(source.glob("*.parquet"))
    for path in folder if source.is_dir() else [source]:
        noted = read_metadata(path).get("hardware", [])  # of one file, or of those that a table was put together from
        found += [one for one in (noted if isinstance(noted, list) else [noted]) if one not in found]
    return found


def read_table(path: Path, also: Mapping[str, pl.DataType] | None = None) -> tuple[pl.DataFrame, dict]:
    """The rows of one file as they lie there, and its metadata; ``also`` are columns wanted beyond those of ``SCHEMA``.

    Raises ValueError if the file is damaged, foreign or lacks columns.
    """
    content = _content(path)
    noted = _noted(path, content)
    wanted = {**SCHEMA, **(also or {})}
    try:
        there = pl.read_parquet_schema(io.BytesIO(content))
        frame = pl.read_parquet(io.BytesIO(content), columns=[name for name in there if name in wanted])
    except pl.exceptions.PolarsError as error:
        raise ValueError(f"{path} cannot be read ({_first_line(error)}): delete it and run again") from None
    lacking = [name for name in wanted if name not in frame.columns]
    if missing := [name for name in lacking if name in SCHEMA and name not in LATER]:
        raise ValueError(f"{path} lacks the columns {', '.join(missing)}: it is no score table of bfkit")
    frame = frame.with_columns(pl.lit(None).alias(name) for name in lacking).select(list(wanted))
    try:
        return frame.cast(pl.Schema(wanted)), noted
    except pl.exceptions.PolarsError as error:
        raise ValueError(f"{path} has a column of the wrong type ({_first_line(error)})") from None


def table_files(source: str | Path) -> list[Path]:
    """The files of a score table: itself, or a folder's shards; FileNotFoundError if there is nothing there."""
    if not str(source):
        raise FileNotFoundError(
            "no score table is named: make one with `bfkit dataset --out FOLDER`, and name it with --scores"
        )
    source = Path(source)
    paths = sorted(source.glob("shard-*.parquet")) if source.is_dir() else [source]
    if not paths or not all(path.is_file() for path in paths):
        raise FileNotFoundError(f"no score table at {source}: make one with `bfkit dataset --out {source}`")
    return paths


def read_scores(source: str | Path) -> pl.DataFrame:
    """A score table, from one parquet file or a folder of shards, in the order prompt, seed, steps.

    Raises FileNotFoundError if there is nothing there, ValueError if a file is damaged, foreign or lacks columns, or
    has a value that no measurement gives.
    """
    paths = table_files(source)
    parts = [read_table(path)[0] for path in paths]
    table = pl.concat(parts)
    _check_rows(table, [path for path, part in zip(paths, parts, strict=True) for _ in range(len(part))])
    texts = table.group_by("prompt_id").agg(pl.col("prompt").unique()).filter(pl.col("prompt").list.len() > 1)
    if len(texts):
        raise ValueError(
            f"{source} mixes two lists of prompts (id {texts['prompt_id'][0]}: {' / '.join(texts['prompt'][0])})"
        )
    return table.unique(ORDER, keep="first").sort(ORDER)


def read_beside(source: str | Path, columns: Mapping[str, pl.DataType]) -> pl.DataFrame:
    """Columns that a score table may keep beside its scores, with ``ORDER``: rows of which one is there, in order.

    Raises FileNotFoundError or ValueError as ``read_scores`` does.
    """
    parts = [read_table(path, also=columns)[0].select(*ORDER, *columns) for path in table_files(source)]
    rows = pl.concat(parts).filter(~pl.all_horizontal(pl.col(*columns).is_null()))
    return rows.unique(ORDER, keep="first").sort(ORDER)


def _check_rows(table: pl.DataFrame, source: Sequence[Path]) -> None:
    """Refuse what no measurement gives: ValueError with the file, row and column of the first such value.

    ``source`` holds each row's file. A metric that was not measured is null.
    """
    of_text = pl.col("prompt_id").first().over("prompt")
    rules = [(pl.col(name).is_between(0, 1), name, "is no number from 0 to 1") for name in paper.METRICS]
    rules += [(pl.col(name).is_not_null(), name, "is nothing") for name in ("prompt", *ORDER)]
    rules += [
        (pl.col("steps").is_between(1, MOST_STEPS), "steps", f"is no number from 1 to {MOST_STEPS}"),
        (pl.col("prompt").str.strip_chars() != "", "prompt", "is empty"),
        (pl.col("prompt_id") == of_text, "prompt_id", "has the text of another prompt: each text is one prompt"),
    ]
    for holds, column, wrong in rules:
        for row in table.select(pl.arg_where(~holds)).to_series().head(1):
            within = row - list(source).index(source[row])
            raise ValueError(f"{source[row]}, row {within}, column {column}: {table[column][row]!r} {wrong}")


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def held_out_ids(frame: pl.DataFrame, share: float = paper.TEST_SHARE, seed: int = 0) -> list[int]:
    """Which prompts no predictor may learn from, chosen at random: at least one."""
    return held_out_among(frame["prompt_id"].unique().sort().to_list(), share, seed)


def held_out_among(ids: Sequence[int], share: float = paper.TEST_SHARE, seed: int = 0) -> list[int]:
    """Which of a data set's rising prompt ids are held out; known before anything is drawn."""
    count = math.ceil(round(share * len(ids), 6))  # as the paper counts its 1,839 of 18,384
    return np.random.default_rng(seed).permutation(ids)[: max(1, count)].tolist()


def split_by_prompt(
    frame: pl.DataFrame, share: float = paper.TEST_SHARE, seed: int = 0
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Training and held-out rows of the ``complete_prompts``, split by prompt at random (Section 3.1).

    Each part has the seeds that most of its prompts have: held-out ones may have been given more. Raises ValueError
    where one of the two would be empty.
    """
    held_out = pl.col("prompt_id").is_in(held_out_ids(frame, share, seed))
    training, test = (complete_prompts(half) for half in (frame.filter(~held_out), frame.filter(held_out)))
    if not len(training) or not len(test):
        count = training["prompt_id"].n_unique() + test["prompt_id"].n_unique()
        raise ValueError(f"{count} prompts are too few to learn from some and hold others out: measure more")
    return training, test


def complete_prompts(frame: pl.DataFrame) -> pl.DataFrame:
    """The rows of prompts that have every seed at every step count; warns of prompts left out.

    A mean over seeds bends where one of them is missing, and halves of the seeds could not be compared. Seeds that
    fewer than half of the prompts have were more than was asked of all, and are left out in silence.
    """
    having = frame.group_by("seed").agg(pl.col("prompt_id").n_unique())
    common = having.filter(2 * pl.col("prompt_id") >= frame["prompt_id"].n_unique())["seed"]
    frame = frame.filter(pl.col("seed").is_in(common.to_list()))
    pictures = pl.struct("seed", "steps").n_unique()
    counts = frame.group_by("prompt_id", "prompt").agg(pictures.alias("pictures")).sort("prompt_id")
    lacking = counts.filter(pl.col("pictures") < frame["seed"].n_unique() * frame["steps"].n_unique())
    if not len(lacking):
        return frame
    warnings.warn(
        f"{len(lacking)} of {len(counts)} prompts lack some of the pictures and are left out, "
        f"{lacking['prompt'][0]!r} among them: make the data set again, unless it lists them as broken",
        stacklevel=2,
    )
    return frame.filter(~pl.col("prompt_id").is_in(lacking["prompt_id"].to_list()))


def tflops_per_step(frame: pl.DataFrame) -> float:
    """TFLOPs of one denoising step of one picture, by the evaluations and operations that a score table notes."""
    made = frame.filter(pl.col("evals") > 0)
    if not len(made):
        raise ValueError("the score table notes no evaluation: make it with more than one step count")
    tflops, evals = made.select(pl.col("tflops").sum(), pl.col("evals").sum()).row(0)
    return tflops / evals
