"""The page of a report: what was found, the paper's figures and tables in its order, what goes further, provenance."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from bfkit.extras import extra
from bfkit.files import write_file

from .contents import FINDINGS, FURTHER, PAPER, Place

with extra("notebooks"):
    import jinja2


def write_page(out: Path, manifest: Mapping, lessons: str = "notebooks/{}.ipynb") -> Path:
    """index.html of what stands in ``out``; a figure or table that the contents do not name follows at the end.

    ``lessons`` is where a lesson can be read, seen from ``out``, with its name to be put in.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("bfkit.report"), autoescape=True, undefined=jinja2.StrictUndefined
    )
    environment.filters["lesson"] = lambda name: name.replace("_", " ")
    environment.globals["fragment"] = lambda entry: (out / _file(entry, ".html")).read_text(encoding="utf-8")
    environment.globals["file"] = _file
    entries = {entry["name"]: entry for entry in manifest["artifacts"] if entry["kind"] != "page"}
    named = {name for place in (*PAPER, *FURTHER) for name in place.names}
    rest = Place("More from the lessons", tuple(name for name in entries if name not in named))
    findings = {entry["name"]: entry for entry in manifest["findings"]}
    page = out / "index.html"
    text = environment.get_template("report.html").render(
        manifest=manifest,
        findings=[findings[name] for name in FINDINGS if name in findings],
        places={"paper": _filled(PAPER, entries), "further": _filled((*FURTHER, rest), entries)},
        lessons=lessons,
    )
    write_file(page, text.encode())
    return page


def _filled(places: Iterable[Place], entries: Mapping[str, dict]) -> list[dict]:
    """The places that have something to show, with an anchor each."""
    filled = []
    for place in places:
        if shown := [entries[name] for name in place.names if name in entries]:
            anchor = re.sub(r"\W+", "-", place.title.split(":")[0].lower()).strip("-")
            filled.append({"title": place.title, "paper": place.paper, "entries": shown, "anchor": anchor})
    return filled


def _file(entry: Mapping, end: str) -> str:
    """The file of a figure or table that ends so; "" where it has none."""
    return next((file for file in entry["files"] if file.endswith(end)), "")
