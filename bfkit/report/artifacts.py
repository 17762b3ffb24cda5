"""What a notebook reports: figures and tables saved under their names, with a note of what each one is."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl
from PIL import Image

from bfkit.devices import used_hardware
from bfkit.extras import extra
from bfkit.profiles import Profile
from bfkit.provenance import digest

with extra("notebooks"):
    import altair as alt

CHART_COLORS = 256  # of a chart's PNG: enough for its flat colours and soft edges, at a third of the size


@dataclass
class Report:
    """What one notebook reports. With ``out`` unset nothing is written: the chart is only shown.

    Charts are saved as SVG and PNG, pictures as WebP, tables as CSV and Markdown.
    """

    notebook: str
    out: str | Path | None = None
    profile: Profile | None = None
    entries: list[dict] = field(default_factory=list)

    def figure(
        self, name: str, figure: alt.TopLevelMixin | Image.Image, caption: str
    ) -> alt.TopLevelMixin | Image.Image:
        """Save a chart or a picture under its name; returns it, to be shown."""
        if self.out is not None:
            folder = Path(self.out) / "figures"
            folder.mkdir(parents=True, exist_ok=True)
            if isinstance(figure, Image.Image):
                files = [folder / f"{name}.webp"]
                figure.save(files[0], quality=90, method=6)
            else:
                files = [folder / f"{name}.svg", folder / f"{name}.png"]
                figure.save(files[0])
                figure.save(files[1], scale_factor=2)
                drawn = Image.open(files[1]).convert("RGB")
                drawn.quantize(CHART_COLORS, dither=Image.Dither.NONE).save(files[1], optimize=True)
            self._note("figure", name, caption, files)
        return figure

    def table(self, name: str, frame: pl.DataFrame, caption: str) -> pl.DataFrame:
        """Save a table under its name; returns it, to be shown."""
        if self.out is not None:
            folder = Path(self.out) / "tables"
            folder.mkdir(parents=True, exist_ok=True)
            files = [folder / f"{name}.csv", folder / f"{name}.md"]
            frame.write_csv(files[0], float_precision=5)
            files[1].write_text(f"{caption}\n\n{to_markdown(frame)}\n{self._made_by()}", encoding="utf-8")
            self._note("table", name, caption, files)
        return frame

    def page(self, path: Path, caption: str) -> None:
        """Note a page that was written into the report's folder."""
        self._note("page", path.stem, caption, [path])

    def _made_by(self) -> str:
        if self.profile is None:
            return ""
        used = used_hardware()
        return f"\nProfile {self.profile.name}; {'models ran on ' + ' and '.join(used) if used else 'no model ran'}.\n"

    def number(self, name: str, value: float, paper: float | None = None, form: str = ".3g") -> float:
        """Note a number for the abstract on the report's first page, beside the paper's; returns it."""
        if self.out is not None:
            published = None if paper is None else format(paper, form)
            self._add(
                Path(self.out), {"kind": "number", "name": name, "value": format(value, form), "paper": published}
            )
        return value

    def _note(self, kind: str, name: str, caption: str, files: Sequence[Path]) -> None:
        if self.out is not None:
            digests = {str(file.relative_to(self.out)): digest(file) for file in files}
            self._add(Path(self.out), {"kind": kind, "name": name, "caption": caption, "files": digests})

    def _add(self, out: Path, entry: dict) -> None:
        self.entries.append({**entry, "notebook": self.notebook})
        notes = out / "entries"
        notes.mkdir(parents=True, exist_ok=True)
        noted = {"hardware": used_hardware(), "entries": self.entries}
        (notes / f"{self.notebook}.json").write_text(json.dumps(noted), encoding="utf-8")


def to_markdown(frame: pl.DataFrame) -> str:
    """A frame as a Markdown table, three significant digits, numbers to the right."""

    def cell(value: object) -> str:
        if value is None:
            return ""
        return f"{value:.3g}" if isinstance(value, float) else str(value).replace("|", "\\|")

    numeric = [dtype.is_numeric() for dtype in frame.dtypes]
    lines = ["| " + " | ".join(frame.columns) + " |", "| " + " | ".join("--:" if n else "---" for n in numeric) + " |"]
    lines += ["| " + " | ".join(map(cell, row)) + " |" for row in frame.iter_rows()]
    return "\n".join(lines)
