"""What a notebook reports: figures and tables saved under their names, with a note of what each one is."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import altair as alt
import polars as pl
from PIL import Image


def digest(path: Path) -> str:
    """The first 16 hex digits of a file's SHA-256."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


@dataclass
class Report:
    """What one notebook reports. With ``out`` unset nothing is written: the chart is only shown."""

    notebook: str
    out: str | Path | None = None
    entries: list[dict] = field(default_factory=list)

    def figure(
        self, name: str, figure: alt.TopLevelMixin | Image.Image, caption: str
    ) -> alt.TopLevelMixin | Image.Image:
        """Save a chart as SVG and PNG, or a picture as PNG, under its name; returns it, to be shown."""
        if self.out is not None:
            folder = Path(self.out) / "figures"
            folder.mkdir(parents=True, exist_ok=True)
            if isinstance(figure, Image.Image):
                files = [folder / f"{name}.png"]
                figure.save(files[0], optimize=True)
            else:
                files = [folder / f"{name}.svg", folder / f"{name}.png"]
                figure.save(files[0])
                figure.save(files[1], scale_factor=2)
            self._note("figure", name, caption, files)
        return figure

    def table(self, name: str, frame: pl.DataFrame, caption: str) -> pl.DataFrame:
        """Save a table as CSV and Markdown; returns it, to be shown."""
        if self.out is not None:
            folder = Path(self.out) / "tables"
            folder.mkdir(parents=True, exist_ok=True)
            files = [folder / f"{name}.csv", folder / f"{name}.md"]
            frame.write_csv(files[0], float_precision=5)
            files[1].write_text(f"{caption}\n\n{to_markdown(frame)}\n")
            self._note("table", name, caption, files)
        return frame

    def _note(self, kind: str, name: str, caption: str, files: Sequence[Path]) -> None:
        out = Path(self.out)
        self.entries.append({
            "kind": kind, "name": name, "caption": caption, "notebook": self.notebook,
            "files": {str(file.relative_to(out)): digest(file) for file in files},
        })  # fmt: skip
        notes = out / "entries"
        notes.mkdir(exist_ok=True)
        (notes / f"{self.notebook}.json").write_text(json.dumps(self.entries))


def to_markdown(frame: pl.DataFrame) -> str:
    """A frame as a Markdown table, three significant digits, numbers to the right."""

    def cell(value: object) -> str:
        return f"{value:.3g}" if isinstance(value, float) else str(value).replace("|", "\\|")

    numeric = [dtype.is_numeric() for dtype in frame.dtypes]
    lines = ["| " + " | ".join(frame.columns) + " |", "| " + " | ".join("--:" if n else "---" for n in numeric) + " |"]
    lines += ["| " + " | ".join(map(cell, row)) + " |" for row in frame.iter_rows()]
    return "\n".join(lines)
