"""The course book: executed lessons, glossary, bibliography, the library's reference: ``make book``.

``python docs/book.py [REPORT]`` takes what ``bfkit reproduce`` left in REPORT (reports/, if none is named) and writes
REPORT/book: pages that need no network. A warning of Sphinx ends it, and the book of before stays.
"""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import nbformat
from sphinx.cmd.build import build_main

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS))  # its neighbours
from lesson_pages import lesson_page, lessons_page  # noqa: E402
from reference import write_reference  # noqa: E402

from bfkit.provenance import digest  # noqa: E402
from bfkit.report.page import write_page  # noqa: E402
from bfkit.report.reproduce import choose  # noqa: E402

PAGES = DOCS.parent / "build" / "book"  # gathered here
FIRST = "run `make reproduce` first, then `make book`"


def read_report(report: Path) -> dict[str, Any]:
    """A report's manifest, if its executed lessons are there and those of today; else SystemExit says what to do."""
    noted = report / "manifest.json"
    manifest = json.loads(noted.read_text(encoding="utf-8")) if noted.is_file() else {"profile": "mini", "runs": {}}
    there = {lesson: (report / "notebooks" / lesson.name).is_file() for lesson in choose()}
    lacking = [lesson.stem for lesson, found in there.items() if not found]
    if manifest["profile"] != "mini" and any(there.values()):
        lacking = []  # what another profile has no table for is left out
    if not (report / "explorer.html").is_file():
        lacking.append("explorer")
    if lacking:
        raise SystemExit(f"{report} has no executed {', '.join(lacking)}: {FIRST}")
    runs = manifest["runs"]
    stale = [one.stem for one, found in there.items() if found and runs.get(one.stem, {}).get("source") != digest(one)]
    if stale:
        raise SystemExit(f"changed since they were executed into {report}: {', '.join(stale)}: {FIRST}")
    return manifest


def gather(report: Path, manifest: dict[str, Any], pages: Path) -> None:
    """All pages of the book into one folder, the report's figures and explorer beside them."""
    shutil.rmtree(pages, ignore_errors=True)
    shutil.copytree(DOCS, pages / "source", ignore=shutil.ignore_patterns("__pycache__"))
    source, lessons = pages / "source", {}
    (source / "lessons").mkdir()
    (source / "extra" / "figures").mkdir(parents=True)
    for lesson in choose():
        executed = report / "notebooks" / lesson.name
        notebook = nbformat.read(executed if executed.is_file() else lesson, as_version=4)
        lessons[lesson.stem] = lesson_page(notebook, lesson.stem, manifest)
        nbformat.write(notebook, source / "lessons" / lesson.name)
    (source / "lessons" / "index.md").write_text(lessons_page(lessons), encoding="utf-8")
    write_reference(source / "reference")
    figures = [file for entry in manifest["artifacts"] if entry["kind"] == "figure" for file in entry["files"]]
    for file in figures:
        if not file.endswith(".png"):
            shutil.copyfile(report / file, source / "extra" / file)
    shutil.copyfile(report / "explorer.html", source / "extra" / "touch.html")  # explorer.html is the page around it
    for page in source.glob("*.md"):  # their links to lessons are those of the repository
        text = page.read_text(encoding="utf-8").replace("](../notebooks)", "](lessons/index.md)")
        page.write_text(text.replace("](../notebooks/", "](lessons/"), encoding="utf-8")


def main(report: Path = DOCS.parent / "reports", pages: Path = PAGES) -> Path:
    """Build the book of a report; its first page."""
    report = report.resolve()
    manifest = read_report(report)
    for name, run in manifest["runs"].items():
        if run["failure"]:
            print(f"{name} stopped in {run['failure']}: the book has what was there until then")
    gather(report, manifest, pages)
    built = pages / "html"
    settings = ["-W", "--keep-going", "-q", "-b", "html", "-d", str(pages / "read")]
    if build_main([*settings, str(pages / "source"), str(built)]):
        raise SystemExit("Sphinx warned, see above: the book was not written")
    book = report / "book"
    shutil.rmtree(book, ignore_errors=True)
    shutil.copytree(built, book, ignore=shutil.ignore_patterns(".buildinfo", "objects.inv", "webpack-macros.html"))
    write_page(report, manifest, "book/lessons/{}.html")
    print(f"open {book / 'index.html'}")
    return book / "index.html"


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
