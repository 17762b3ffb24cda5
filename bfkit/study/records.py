"""Answers: one row a trial, as it was shown and pressed; checked against the study, stored, and read back."""

import json
import re
import warnings
from pathlib import Path
from typing import Any

import polars as pl

from .design import OURS, REFERENCE, UNIFORM, Study, check_protocol, shown

SCHEMA = pl.Schema({
    "study": pl.String, "protocol": pl.String, "participant": pl.String, "session": pl.String,
    "order": pl.UInt16, "position": pl.UInt16, "kind": pl.String, "prompt": pl.String, "seed": pl.Int64,
    "left_condition": pl.String, "left_steps": pl.UInt16, "right_condition": pl.String, "right_steps": pl.UInt16,
    "reference_steps": pl.UInt16,
    "choice": pl.String,  # "A", on the left, or "B"
    "chosen": pl.String,  # the condition behind it
    "rt_ms": pl.Float64, "input": pl.String,  # "button" or "key"
    "hidden": pl.Boolean,  # the page was out of sight for a while
    "picture_px": pl.Float64,  # width on the screen, CSS pixels
    "shown_at": pl.Int64,  # milliseconds since 1970, by the participant's clock
    "prolific_study": pl.String, "prolific_session": pl.String,
    "simulated": pl.Boolean,
})  # fmt: skip
KEY = ("session", "position")  # an answer is stored once
JOURNAL = "answers.jsonl"
PARTICIPANT = re.compile(r"[A-Za-z0-9_-]{1,64}")
SESSION = re.compile(r"[0-9a-f]{32}")
DAY_MS = 24 * 3600 * 1000


def check_row(study: Study, row: Any) -> dict[str, Any]:
    """The row as it is stored, if it answers a trial of the study as it was dealt; ValueError otherwise."""
    if not isinstance(row, dict) or set(row) != set(SCHEMA):
        raise ValueError(f"an answer has the fields {', '.join(SCHEMA)}")
    if row["study"] != study.id:
        raise ValueError(f"these answers belong to study {str(row['study'])[:40]!r}, here is {study.id}")
    if not (isinstance(row["participant"], str) and PARTICIPANT.fullmatch(row["participant"])):
        raise ValueError("a participant is named by 1 to 64 letters, digits, - and _")
    if not (isinstance(row["session"], str) and SESSION.fullmatch(row["session"])):
        raise ValueError("a session is named by 32 hex digits")
    order, position = row["order"], row["position"]
    if not (_is_index(order, len(study.orders)) and _is_index(position, len(study.orders[order]))):
        raise ValueError("the study has no such order and position")
    dealt = shown(study, order, position)
    if wrong := [name for name, value in dealt.items() if type(row[name]) is not type(value) or row[name] != value]:
        raise ValueError(f"position {position} of order {order} was dealt with another {', '.join(wrong)}")
    if row["choice"] not in ("A", "B"):
        raise ValueError("a choice is A or B")
    if row["chosen"] != dealt["left_condition" if row["choice"] == "A" else "right_condition"]:
        raise ValueError(f"the picture chosen is not the one that was {row['choice']}")
    if row["input"] not in ("button", "key") or not isinstance(row["hidden"], bool | None):
        raise ValueError("input is button or key, and hidden is true or false")
    for name, top in (("rt_ms", DAY_MS), ("picture_px", 1e5), ("shown_at", 1e14)):
        _check_number(name, row[name], top)
    if not isinstance(row["shown_at"], int) or not isinstance(row["simulated"], bool):
        raise ValueError("shown_at is a whole number, and simulated is true or false")
    for name in ("prolific_study", "prolific_session"):
        if row[name] is not None and not (isinstance(row[name], str) and PARTICIPANT.fullmatch(row[name])):
            raise ValueError(f"{name} is empty, or 1 to 64 letters, digits, - and _")
    return {name: float(row[name]) if kind == pl.Float64 else row[name] for name, kind in SCHEMA.items()}


def _is_index(value: Any, length: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < length


def _check_number(name: str, value: Any, top: float) -> None:
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= top:  # NaN is neither
        raise ValueError(f"{name} is a number from 0 to {top:g}")


def trial_table(study: Study) -> pl.DataFrame:
    """Every order of a study: a row a position, with what is shown there."""
    rows = [shown(study, order, at) for order, trials in enumerate(study.orders) for at in range(len(trials))]
    return pl.DataFrame(rows, schema={name: SCHEMA[name] for name in rows[0]})


def unique(rows: pl.DataFrame) -> pl.DataFrame:
    """Each answer once, the first that came, sorted by participant, session and position."""
    return rows.unique(KEY, keep="first", maintain_order=True).sort("participant", *KEY)


def read_journal(path: Path) -> pl.DataFrame:
    """The answers in a journal; a line cut off by a power failure, which nobody was told was stored, is passed over."""
    rows = []
    for line in path.read_bytes().splitlines():
        try:
            rows.append(json.loads(line))
        except ValueError:
            continue
    try:
        return pl.DataFrame(rows, schema=SCHEMA)
    except (pl.exceptions.PolarsError, TypeError):
        raise ValueError(f"{path} is damaged: a line is no answer of bfkit study serve") from None


def read_answers(path: str | Path) -> pl.DataFrame:
    """Answers in the columns of ``SCHEMA``, from a folder ``serve`` filled, a file the page saved, or a folder of them.

    Raises FileNotFoundError if there are none, ValueError naming the file that holds something else.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"there are no answers at {path}: give a folder of bfkit study serve, or saved files")
    if path.is_dir():
        if (path / JOURNAL).is_file():
            return unique(read_journal(path / JOURNAL))
        sources = sorted(file for file in path.iterdir() if file.suffix in (".csv", ".json", ".parquet"))
        if not sources:
            raise FileNotFoundError(f"{path} holds no {JOURNAL}, .csv, .json or .parquet: no answers to read")
        return unique(pl.concat([_read_file(source) for source in sources]))
    return unique(_read_file(path))


def _read_file(path: Path) -> pl.DataFrame:
    try:
        if path.suffix == ".csv":
            rows = pl.read_csv(path, schema=SCHEMA)
        elif path.suffix == ".json":
            rows = pl.DataFrame(json.loads(path.read_text(encoding="utf-8")), schema=SCHEMA)
        else:
            rows = pl.read_parquet(path).select(*SCHEMA).cast(SCHEMA)
    except (pl.exceptions.PolarsError, ValueError, TypeError):
        raise ValueError(f"{path} holds no answers: a file the page saved has {', '.join(SCHEMA)}") from None
    if not rows["chosen"].is_in([OURS, UNIFORM, REFERENCE, "DECOY"]).all() or rows["simulated"].has_nulls():
        raise ValueError(f"{path} is damaged: an answer names no condition, or not whether it was simulated")
    return rows


AUTHORS = {"trial": pl.Int64, "participant": pl.String, "imgRef": pl.String, "imgA": pl.String, "imgB": pl.String,
           "isImgASelected": pl.String}  # fmt: skip


def import_authors_csv(path: str | Path, protocol: str = "similar", *, ours: str = "ours") -> pl.DataFrame:
    """Answers in the CSV of the authors' public page: trial, participant, imgRef, imgA, imgB, isImgASelected.

    Exactly one of imgA and imgB must carry ``ours`` in its path. Prompts are the references' file names. Sides, step
    counts and times were not logged and stay empty, so ``choice`` does too. Warns of what the page did not log: that
    cannot be mended here.
    """
    other = UNIFORM if check_protocol(protocol) == "similar" else REFERENCE
    try:
        frame = pl.read_csv(path, infer_schema=False).select(pl.col(name).cast(kind) for name, kind in AUTHORS.items())
    except (pl.exceptions.PolarsError, FileNotFoundError):
        if not Path(path).is_file():
            raise FileNotFoundError(f"there is no file {path}") from None
        raise ValueError(f"{path} is not of the authors' page: its columns are {', '.join(AUTHORS)}") from None
    is_ours = {name: frame[name].fill_null("").str.to_lowercase().str.contains(ours.lower(), literal=True)
               for name in ("imgA", "imgB")}  # fmt: skip
    if not (is_ours["imgA"] ^ is_ours["imgB"]).all():
        raise ValueError(f"{path} does not tell which picture is OURS: name the part of its path with ours=...")
    pressed = frame["isImgASelected"].fill_null("").str.to_lowercase()
    if not pressed.is_in(["true", "false"]).all():
        raise ValueError(f"{path} is damaged: isImgASelected is true or false")
    if frame.select("trial", "participant").null_count().sum_horizontal().item():
        raise ValueError(f"{path} is damaged: a row has no trial or no participant")
    warnings.warn(
        f"{path}: the authors' page shuffled the two pictures on the screen but logged the pair as it was before, so "
        "isImgASelected names the button pressed and perhaps not the picture: the shares may say nothing, and a side "
        "bias cannot be seen; it also drew the reference at random over all prompts, so that it may not belong to the "
        "pair it was shown with",
        UserWarning,
        stacklevel=2,
    )
    a_chosen = pressed == "true"
    rows = frame.select(
        study=pl.lit("authors"), protocol=pl.lit(protocol), participant="participant",
        session=pl.lit("authors-") + pl.col("participant"), order=pl.lit(None), position=pl.col("trial"),
        kind=pl.lit("main"), prompt=pl.col("imgRef").str.split("/").list.last(),
        chosen=pl.when(a_chosen == is_ours["imgA"]).then(pl.lit(OURS)).otherwise(pl.lit(other)),
        simulated=pl.lit(False),
    )  # fmt: skip
    absent = [pl.lit(None).alias(name) for name in SCHEMA if name not in rows.columns]
    return unique(rows.with_columns(absent).select(*SCHEMA).cast(SCHEMA))
