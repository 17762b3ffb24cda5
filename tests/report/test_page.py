"""The page of results, made of a small report: in its order, in words, on a telephone and in the dark."""

import ast
import json
import re
from pathlib import Path

import polars as pl
import pytest
from browsers import browsing, hindrances, needs_browser, scrolls_sideways, seen_as
from lessons import LESSONS, read_lesson
from PIL import Image

from bfkit import charts, paper
from bfkit.metrics.registry import METRICS
from bfkit.report.artifacts import Report
from bfkit.report.contents import FINDINGS, FURTHER, PAPER
from bfkit.report.manifest import note_run
from bfkit.report.page import write_page

ERRORS = pl.DataFrame(
    [(metric, model, 0.1, 0.05, 0.2) for metric in METRICS for model in ("BiLSTM", "mean curve")],
    schema=["metric", "model", "error", "low", "high"],
    orient="row",
)
ABREAST = pl.DataFrame(
    [(metric, condition, 1.0, 0.1, 1.1) for metric in METRICS for condition in ("UNIFORM", "BudgetFusion")],
    schema=["metric", "condition", "efficiency", "error", "dealt"],
    orient="row",
)
FOUND = "BudgetFusion and UNIFORM cannot be told apart"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of one lesson that reports a picture, a chart, tables, a number and findings, in no order."""
    out = tmp_path_factory.mktemp("report")
    report = Report("05_predictor", out)
    report.table("mine", pl.DataFrame({"prompt": ["a wall"], "steps": [3]}), "A table that the contents do not name")
    report.figure("fig12", charts.efficiency(ABREAST, FOUND, "95% intervals"), "Errors")
    report.figure("fig02", Image.new("RGB", (600, 200), "teal"), "Two prompts")
    report.table("table1", ERRORS, "Table 1")
    report.finding("predictor", "Words tell t* by .03 [-.20, .28].", "table1")
    report.finding("rule", "Nothing is gained: -.5% [-.8, -.2].", "fig12")
    report.number("prompts", 61, form="d")
    noted = {"seconds": 1.5, "failure": None, "pages": ["notebooks/05_predictor.html"]}
    manifest = {"profile": "mini", "runs": {}, "artifacts": [], "numbers": [], "findings": [], "measured_on": {},
                "measured": {"prompts": 608, "seeds": 8, "step_counts": 12, "pictures": 58368, "held_out": 61},
                "left_out": {}, "surroundings": {"python": "3", "packages": {}, "bfkit": "", "inputs": {}}}  # fmt: skip
    note_run(out, manifest, "05_predictor", noted)
    return write_page(out, manifest)


def test_findings_come_first_in_their_order_then_the_papers_figures_then_the_rest(page):
    text = page.read_text(encoding="utf-8")
    order = [
        "58,368 pictures",
        "Nothing is gained",
        "Words tell",
        'id="fig02"',
        'id="table1"',
        'id="fig12"',
        'id="mine"',
    ]
    places = [text.index(part) for part in order]
    assert places == sorted(places)
    assert 'href="#fig12"' in text[places[1] : places[2]] and 'href="#table1"' in text[places[2] : places[3]]


def test_a_figure_is_told_in_words_and_a_wide_one_has_a_narrow_twin(page):
    text = page.read_text(encoding="utf-8")
    assert f'alt="Errors {FOUND}. 95% intervals. L-SNR. D-SIM. I-CLIP."' in text
    assert re.search(r'<source media="[^"]+" srcset="figures/fig12-narrow.svg">', text)
    assert "fig02-narrow" not in text
    assert "0.1 [0.05, 0.2]" in text and 'href="tables/table1.csv"' in text


def test_the_manifest_knows_every_file_that_was_written(page):
    out = page.parent
    manifest = json.loads((out / "manifest.json").read_text())
    noted = {file for entry in manifest["artifacts"] for file in entry["files"]}
    assert noted == {str(path.relative_to(out)) for path in out.rglob("*/*.*") if "entries" not in path.parts}
    assert {"figures/fig12-narrow.svg", "tables/table1.html"} <= noted


@needs_browser
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1400, 400])
def test_readers_of_all_kinds_can_read_it(page, tmp_path, width, dark):
    with browsing(tmp_path / "chromium") as browser:
        seen_as(browser, width, dark)
        browser.get(page.as_uri())
        assert not scrolls_sideways(browser)
        assert hindrances(browser) == []
        shown = browser.execute_script("return document.querySelector('#fig12 img').currentSrc")
        assert shown.endswith("fig12-narrow.svg" if width == 400 else "fig12.svg")


# --- what the page says of the paper --------------------------------------------------------------------------------


def test_every_figure_and_table_of_the_paper_has_its_place_once():
    titles = [place.title.split(":")[0] for place in PAPER]
    assert sorted(titles) == sorted([*(f"Figure {n}" for n in range(1, 14)), "Table 1", "Table 2"])
    names = [name for place in (*PAPER, *FURTHER) for name in place.names]
    assert len(names) == len(set(names)) and len(FINDINGS) == 5


def test_the_contents_name_what_the_lessons_report():
    told: dict[str, set[str]] = {"finding": set(), "figure": set(), "table": set()}
    for path in LESSONS:
        for tree in read_lesson(path).code.values():
            for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
                match call:
                    case ast.Call(ast.Attribute(ast.Name("report"), kind), [ast.Constant(name), *_]) if kind in told:
                        told[kind].add(name)
    assert told["figure"] | told["table"] == {n for place in (*PAPER, *FURTHER) for n in place.names}
    assert told["finding"] == set(FINDINGS)


def test_numbers_said_of_the_paper_are_those_it_states():
    told = " ".join(place.paper for place in PAPER)
    stated = [value for row in (*paper.TABLE_1.values(), *paper.TABLE_2.values()) for value in row.values()]
    stated += [100 * value for value in paper.RELATIVE_QUALITY.values()]
    stated += [value for pair in (*paper.SECONDS.values(), *paper.CHOSEN.values()) for value in pair]
    stated += [*paper.PARTICIPANTS.values(), paper.LSTM_HIDDEN, 3090]
    said = [float(number) for number in re.findall(r"(?<![\w.])\d*\.?\d+(?![\w-])", told.replace("Eq. ", "Eq."))]
    assert len(said) > 30
    assert [number for number in said if min(abs(number - value) for value in stated) > 1e-9] == []
