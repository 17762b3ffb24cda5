"""The course book: what its pages are made of; and built whole, its links, telephones and screen readers."""

import doctest
import json
import re
import shutil
import warnings
from pathlib import Path
from urllib.parse import unquote, urlsplit

import nbformat
import pytest
from browsers import browsing, hindrances, needs_browser, scrolls_sideways, seen_as
from bs4 import BeautifulSoup

pytest.importorskip("sphinx", reason="needs pip install 'bfkit[book]'")

import book
import lesson_pages
import slides
from accessible import to_mathml
from sphinx.errors import ExtensionError

from bfkit.profiles import PROFILES
from bfkit.provenance import digest
from bfkit.report import reproduce

ROOT = Path(__file__).parents[2]
EXECUTED = "13_numbers"  # for the whole book one lesson is run, the one that needs no model


# --- pages ----------------------------------------------------------------------------------------------------------


def test_an_equation_becomes_mathml_with_its_number_and_what_cannot_is_named():
    made = to_mathml(r"\frac{m_t(p)}{\eta} \tag{8}", block=True)
    assert "<mfrac>" in made and '<span class="eqno">(8)</span>' in made
    assert "<math" in to_mathml(r"\text{KL}\big(p\,\|\,q\big)", block=False)
    with pytest.raises(ExtensionError, match=r"no MathML for '\\\\nothing'"):
        to_mathml(r"\nothing", block=False)


def test_the_glossary_has_every_name_that_the_house_uses():
    rows = re.findall(r"^\| ([^|]+?) \|", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"), re.MULTILINE)[2:]
    terms = set(re.findall(r"^(\S.*)$", (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8"), re.MULTILINE))
    assert len(rows) > 10
    assert [name for row in rows for name in row.split(", ") if name not in terms] == []


def lesson(*cells: nbformat.NotebookNode) -> nbformat.NotebookNode:
    title = "# 06 · Where to stop\n\n**Minutes** 20 · **Before** [04 scores](04_scores.ipynb)\n\n"
    title += "**After this notebook you can**\n- read Eq. 7 off a curve\n  with a ruler;\n- choose weights."
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(title), *cells])


def code(source: str, tag: str = "", **data: str) -> nbformat.NotebookNode:
    outputs = [nbformat.v4.new_output("execute_result", data)] if data else []
    return nbformat.v4.new_code_cell(source, outputs=outputs, metadata={"tags": [tag] if tag else []})


NOTED = {
    "runs": {"06_plateau": {"failure": None}},
    "artifacts": [{"kind": "figure", "name": "fig03", "notebook": "06_plateau", "caption": "Curves & t*.",
                   "alt": "Three <b>",
                   "files": {"figures/fig03.svg": "1", "figures/fig03.png": "2", "figures/fig03-narrow.svg": "3"}}],
}  # fmt: skip


def test_a_figure_is_the_reports_own_with_its_caption_and_alternative_text():
    page = lesson(code('report.figure("fig03", chart, "...")', **{"image/svg+xml": "<svg/>"}))
    lesson_pages.lesson_page(page, "06_plateau", NOTED)
    made = BeautifulSoup(page.cells[1].outputs[0].data["text/html"], "html.parser")
    assert made.img["src"] == "../figures/fig03.svg" and made.img["alt"] == "Three <b>"
    assert made.source["srcset"] == "../figures/fig03-narrow.svg"
    assert made.figcaption.text == "Curves & t*."


def test_other_outputs_get_an_alternative_text_or_a_frame_to_scroll_in():
    svg = """<svg><g aria-label="Title text 'Half &amp; half'"></g></svg>"""
    page = lesson(
        code("chart", **{"image/svg+xml": svg}), code("frame", **{"text/html": "<style>b</style><table></table>"})
    )
    lesson_pages.lesson_page(page, "06_plateau", NOTED)
    assert page.cells[1].metadata["mystnb"]["image"]["alt"] == "Half & half"
    table = page.cells[2].outputs[0].data["text/html"]
    assert "<style>" not in table and 'tabindex="0"' in table and "<table>" in table


def test_a_page_lacks_what_papermill_added_folds_solutions_and_says_where_it_stopped():
    page = lesson(code("out = '/home/somebody'", "injected-parameters"), code("answer = 42", "solution"))
    noted = {**NOTED, "runs": {"06_plateau": {"failure": "cell 3: ValueError: no"}}}
    lesson_pages.lesson_page(page, "06_plateau", noted)
    assert "somebody" not in nbformat.writes(page)
    assert "hide-cell" in page.cells[-1].metadata["tags"]
    assert "stopped in cell 3: ValueError: no" in page.cells[1].source


def test_the_list_of_lessons_is_read_off_the_lessons():
    said = lesson_pages.lessons_page({"06_plateau": lesson_pages.lesson_page(lesson(), "06_plateau", NOTED)})
    assert "[06 · Where to stop](06_plateau.ipynb), 20 minutes, after [04 scores](04_scores.ipynb)" in said
    assert "After it you can read Eq. 7 off a curve with a ruler; choose weights." in said


# --- a report to make it of -----------------------------------------------------------------------------------------


def pretend(report: Path) -> None:
    """Every lesson in a report as if it had been run, those that are not there without results."""
    noted = report / "manifest.json"
    manifest = json.loads(noted.read_text()) if noted.is_file() else {"profile": "mini", "artifacts": [], "numbers": []}
    (report / "notebooks").mkdir(exist_ok=True)
    shutil.copyfile(ROOT / "reports" / "explorer.html", report / "explorer.html")
    for path in reproduce.choose():
        if not (report / "notebooks" / path.name).is_file():
            shutil.copyfile(path, report / "notebooks" / path.name)
            run = {"source": digest(path), "failure": None, "seconds": 1, "pages": [f"notebooks/{path.name}"]}
            manifest.setdefault("runs", {})[path.stem] = run
    noted.write_text(json.dumps(manifest))


def test_without_executed_lessons_of_today_one_sentence_says_what_to_run_first(tmp_path):
    with pytest.raises(SystemExit, match=r"has no executed 00_tour.*explorer: run `make reproduce` first, then"):
        book.main(tmp_path)
    pretend(tmp_path)
    assert book.read_report(tmp_path)["profile"] == "mini"
    (tmp_path / "notebooks" / "06_plateau.ipynb").unlink()
    with pytest.raises(SystemExit, match=r"has no executed 06_plateau: run"):
        book.main(tmp_path)
    pretend(tmp_path)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    manifest["runs"]["05_predictor"]["source"] = "another"
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(SystemExit, match=r"^changed since they were executed .*: 05_predictor: run"):
        book.main(tmp_path)


def test_slides_show_every_figure_of_the_report(tmp_path):
    with pytest.raises(SystemExit, match="run `make reproduce` first"):
        slides.main(tmp_path)
    (tmp_path / "manifest.json").write_text(json.dumps(NOTED))
    shown = BeautifulSoup(slides.main(tmp_path).read_text(), "html.parser").find_all("figure")
    assert [(figure.img["src"], figure.img["alt"]) for figure in shown] == [("figures/fig03.svg", "Three <b>")]


# --- the whole book -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    report = tmp_path_factory.mktemp("report")
    reproduce.run(PROFILES["mini"], report, only=[EXECUTED[:2]])
    pretend(report)
    with warnings.catch_warnings():
        warnings.simplefilter("default")  # Sphinx's extensions use what its next release takes away
        return book.main(report, tmp_path_factory.mktemp("pages")).parent


@pytest.mark.slow
def test_no_link_is_broken_and_no_request_leaves_the_page(built):
    pages = {path: BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser") for path in built.rglob("*.html")}
    anchors = {path: {tag["id"] for tag in page.find_all(id=True)} for path, page in pages.items()}
    broken, asked = [], []
    for path, page in pages.items():
        for tag in page.find_all(["a", "link", "script", "img", "source", "iframe"]):
            link = tag.get("href") or tag.get("src") or tag.get("srcset")
            if not link or link.startswith(("data:", "mailto:")):
                continue
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                asked += [link] if tag.name != "a" else []
                continue
            there = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not there.is_file() or (parts.fragment and there in anchors and parts.fragment not in anchors[there]):
                broken.append((path.name, link))
    assert len(pages) > 40
    assert broken == [] and asked == []


KINDS = (f"lessons/{EXECUTED}.html", "glossary.html", "reference/predictor.html", "lessons/index.html", "teaching.html",
         "explorer.html", "architecture.html", "bibliography.html", "index.html")  # fmt: skip


@pytest.mark.slow
@needs_browser
def test_pages_fit_a_telephone_ask_for_nothing_and_shut_no_reader_out(built, tmp_path):
    found = {}
    with browsing(tmp_path / "chromium") as browser:
        for kind in KINDS:
            for width, dark in ((1400, False), (400, True)):
                seen_as(browser, width, dark)
                browser.get((built / kind).as_uri())
                assert (
                    browser.execute_script("return document.documentElement.dataset.theme") == ("light", "dark")[dark]
                )
                assert not scrolls_sideways(browser), (kind, width)
                asked = "return performance.getEntriesByType('resource').map((one) => one.name)"
                assert [one for one in browser.execute_script(asked) if not one.startswith(("file:", "data:"))] == []
                found[kind, width] = hindrances(browser)
    assert {page: findings for page, findings in found.items() if findings} == {}


@pytest.mark.slow
def test_what_the_teachers_page_says_of_power_is_what_the_library_computes():
    assert doctest.testfile(str(ROOT / "docs" / "teaching.md"), module_relative=False, encoding="utf-8").failed == 0
