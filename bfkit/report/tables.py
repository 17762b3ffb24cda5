"""A frame as a table to be read: intervals beside their values, units in the head, eight columns at most."""

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from bfkit.extras import extra
from bfkit.metrics.registry import METRICS

with extra("notebooks"):
    from great_tables import GT

MOST = 8  # columns that fit a page; the CSV has all
PERCENT = "%"
COLUMNS: dict[str, tuple[str, str]] = {  # what a column of the reports' tables is called, and in which form it is shown
    "metric": ("metric", ""),
    "prompt": ("prompt", ""),
    "system": ("system", ""),
    "steps": ("steps, mean", ""),
    "spread": ("standard deviation", ""),
    "tflops": ("TFLOPs a picture", ""),
    "seconds": ("seconds a picture", ""),
    "sd": ("standard deviation", ""),
    "joules": ("joules a picture", ""),
    "error": ("mean absolute error", ""),
    "gain": ("gain, %", PERCENT),
    "saved": ("loss saved, %", PERCENT),
    "saved_of_65": ("saved of 65 steps, %", PERCENT),
    "better": ("prompts better off, %", PERCENT),
    "worse": ("prompts worse off, %", PERCENT),
    "under": ("too few steps, % of prompts", PERCENT),
    "over": ("too many steps, % of prompts", PERCENT),
    "wilcoxon": ("p, Wilcoxon", ""),
    "t_test": ("p, t-test", ""),
    "left_out": ("prompts left out", ""),
    "paper": ("the paper", ""),
}


@dataclass(frozen=True)
class Column:
    """A column as it is shown: its head, its cells, and whether these are numbers."""

    head: str
    cells: list[str]
    number: bool


def presented(frame: pl.DataFrame, columns: Sequence[str] | None = None) -> list[Column]:
    """A frame's columns as text: ``x, x_low, x_high`` becomes "x [low, high]", ``x, x_error`` becomes "x ± error".

    A bare ``low, high`` belongs to the column before it. ``columns`` chooses and orders; their intervals come along.
    Numbers have three significant digits. ValueError for a column that is not there, and for more than eight.
    """
    if missing := [name for name in columns or () if name not in frame.columns]:
        raise ValueError(f"no column {missing[0]!r} to show: there are {', '.join(frame.columns)}")
    beside = {name: _beside(frame.columns, index) for index, name in enumerate(frame.columns)}
    parts = {part for pair in beside.values() for part in pair}
    shown = list(columns) if columns else [name for name in frame.columns if name not in parts]
    if len(shown) > MOST:
        raise ValueError(f"{len(shown)} columns are too many to read: name at most {MOST} of them with columns=")
    return [_column(frame, name, beside[name]) for name in shown]


def typeset(name: str, shown: Sequence[Column]) -> GT:
    """The columns as a table of publication quality, whose cells are left or, if numbers, right."""
    frame = pl.DataFrame({column.head: column.cells for column in shown}, schema=dict.fromkeys(
        (column.head for column in shown), pl.String))  # fmt: skip
    table = GT(frame, id=f"table-{name}").tab_options(table_font_size="14px", column_labels_font_weight="bold")
    for side, numbers in (("left", False), ("right", True)):
        if heads := [column.head for column in shown if column.number == numbers]:
            table = table.cols_align(side, heads)
    return table


def to_markdown(shown: Sequence[Column]) -> str:
    """The columns as a Markdown table, numbers to the right."""
    rows = zip(*(column.cells for column in shown), strict=True)
    lines = ["| " + " | ".join(column.head for column in shown) + " |"]
    lines += ["| " + " | ".join("--:" if column.number else "---" for column in shown) + " |"]
    lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join(lines)


def _beside(names: Sequence[str], index: int) -> tuple[str, ...]:
    """The columns that belong to one as its interval or error."""
    name, following = names[index], tuple(names[index + 1 : index + 3])
    for pair in ((f"{name}_low", f"{name}_high"), (f"{name}_error",)):
        if set(pair) <= set(names):
            return pair
    return following if following == ("low", "high") else ()


def _column(frame: pl.DataFrame, name: str, beside: tuple[str, ...]) -> Column:
    head, form = COLUMNS.get(name, (name.replace("_", " "), ""))
    if beside:
        head += " [95% interval]" if len(beside) == 2 else " ± standard error"
    cells = []
    for value, *more in frame.select(name, *beside).iter_rows():
        told = [_text(part, form) for part in more if part is not None]
        text = _text(value, form)
        if told:
            text += f" [{', '.join(told)}]" if len(beside) == 2 else f" ± {told[0]}"
        cells.append(text)
    return Column(head, cells, frame[name].dtype.is_numeric())


def _text(value: object, form: str) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return (f"{100 * value:.1f}" if form == PERCENT else f"{value:.3g}").replace("-", "−")
    text = str(value)
    return METRICS[text].label if text in METRICS else text
