"""What a notebook reports: figures and tables saved under their names, with a note of what each one is."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl
from PIL import Image

from bfkit.devices import used_hardware
from bfkit.extras import extra
from bfkit.profiles import Profile
from bfkit.provenance import digest

from .tables import presented, to_markdown, typeset

with extra("notebooks"):
    import altair as alt
    from great_tables import GT

    from bfkit.charts.reading import WIDE, in_words, stacked

_STYLE = re.compile(r"<style>.*?</style>", re.DOTALL)  # great-tables' own: the page dresses all its tables alike
CHART_COLORS = 256  # of a chart's PNG: enough for its flat colours and soft edges, at a third of the size


@dataclass
class Report:
    """What one notebook reports. With ``out`` unset nothing is written: the chart is only shown.

    Charts are saved as SVG and PNG, wide ones for telephones too; pictures as WebP; tables as CSV, Markdown and HTML.
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
                files, told = [folder / f"{name}.webp"], figure.info.get("description", "")
                figure.save(files[0], quality=90, method=6)
            else:
                files, told = _save_chart(folder / name, figure), in_words(figure)
            self._note("figure", name, caption, files, alt=f"{caption} {told}".strip())
        return figure

    def table(self, name: str, frame: pl.DataFrame, caption: str, columns: Sequence[str] | None = None) -> GT:
        """Save a table under its name; returns it, to be shown, with eight columns at most: ``columns`` chooses them.

        The CSV has every column. ``tables.presented`` says how intervals and units are shown.
        """
        shown = presented(frame, columns)
        typed = typeset(name, shown)
        if self.out is not None:
            folder = Path(self.out) / "tables"
            folder.mkdir(parents=True, exist_ok=True)
            files = [folder / f"{name}.{kind}" for kind in ("csv", "md", "html")]
            frame.write_csv(files[0], float_precision=5)
            files[1].write_text(f"{caption}\n\n{to_markdown(shown)}\n{self._made_by()}", encoding="utf-8")
            files[2].write_text(_STYLE.sub("", typed.as_raw_html()), encoding="utf-8")
            self._note("table", name, caption, files)
        return typed

    def finding(self, name: str, sentence: str, shown: str) -> str:
        """Note what was found, in a sentence with its interval, and the figure or table it rests on; returns it."""
        if self.out is not None:
            self._add(Path(self.out), {"kind": "finding", "name": name, "sentence": sentence, "shown": shown})
        return sentence

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

    def _note(self, kind: str, name: str, caption: str, files: Sequence[Path], **more: str) -> None:
        if self.out is not None:
            digests = {str(file.relative_to(self.out)): digest(file) for file in files}
            self._add(Path(self.out), {"kind": kind, "name": name, "caption": caption, "files": digests, **more})

    def _add(self, out: Path, entry: dict) -> None:
        self.entries.append({**entry, "notebook": self.notebook})
        notes = out / "entries"
        notes.mkdir(parents=True, exist_ok=True)
        noted = {"hardware": used_hardware(), "entries": self.entries}
        (notes / f"{self.notebook}.json").write_text(json.dumps(noted), encoding="utf-8")


def _save_chart(path: Path, chart: alt.TopLevelMixin) -> list[Path]:
    files = [path.with_suffix(".svg"), path.with_suffix(".png")]
    chart.save(files[0])
    chart.save(files[1], scale_factor=2)
    drawn = Image.open(files[1]).convert("RGB")
    drawn.quantize(CHART_COLORS, dither=Image.Dither.NONE).save(files[1], optimize=True)
    if drawn.width > 2 * WIDE:
        files.append(path.with_name(f"{path.name}-narrow.svg"))
        stacked(chart).save(files[2])
    return files
