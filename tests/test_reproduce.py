"""Real papermill runs of small notebooks: what is written, where it comes from, and what a failure leaves behind."""

import hashlib
import json
from pathlib import Path

import nbformat
import papermill
import polars as pl
import pytest

from bfkit import PROFILES, reproduce
from bfkit.report import Report, to_markdown

HEADER = 'profile = "mini"\nout = None\nsize = 3'
BODY = """
import altair as alt
import polars as pl
from bfkit.report import Report
report = Report("{name}", out)
frame = pl.DataFrame({{"x": list(range(size)), "text": ["a <b> & c"] * size}})
chart = alt.Chart(frame).mark_bar().encode(x="x:Q", y="text:N")
report.figure("{name}_bars", chart, "Bars of {name} & <others>")
report.table("{name}_rows", frame, "Rows")
"""


def write_notebook(folder: Path, name: str, body: str | None = None) -> None:
    header = nbformat.v4.new_code_cell(HEADER, metadata={"tags": ["parameters"]})
    cells = [nbformat.v4.new_markdown_cell(f"# {name}"), header]
    cells.append(nbformat.v4.new_code_cell(BODY.format(name=name) if body is None else body))
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel}), folder / f"{name}.ipynb")


@pytest.fixture
def notebooks(tmp_path, monkeypatch) -> Path:
    folder = tmp_path / "notebooks"
    folder.mkdir()
    write_notebook(folder, "00_first")
    write_notebook(folder, "01_second")
    monkeypatch.setattr(reproduce, "NOTEBOOKS", folder)
    return folder


def manifest(out: Path) -> dict:
    return json.loads((out / "manifest.json").read_text())


def test_a_run_writes_figures_tables_a_page_and_where_each_came_from(notebooks, tmp_path):
    out = tmp_path / "reports"
    page = reproduce.run(PROFILES["mini"], out, parameters={"size": 4})
    found = manifest(out)
    assert [(a["notebook"], a["name"]) for a in found["artifacts"]] == [
        ("00_first", "00_first_bars"),
        ("00_first", "00_first_rows"),
        ("01_second", "01_second_bars"),
        ("01_second", "01_second_rows"),
    ]
    for artifact in found["artifacts"]:
        for file, digest in artifact["files"].items():
            assert hashlib.sha256((out / file).read_bytes()).hexdigest().startswith(digest)
    assert found["notebooks"]["00_first"]["parameters"] == {"profile": "mini", "size": 4}
    assert len(pl.read_csv(out / "tables" / "00_first_rows.csv")) == 4
    text = page.read_text()
    assert "Bars of 00_first &amp; &lt;others&gt;" in text and "a &lt;b&gt; &amp; c" in text
    for link in ("figures/00_first_bars.svg", "notebooks/01_second.html"):
        assert link in text and (out / link).is_file()
    assert "miniature" in text and str(tmp_path) not in text + json.dumps(found)

    # running one notebook again keeps what the other reported
    reproduce.run(PROFILES["mini"], out, only=["01"], parameters={"size": 2})
    again = manifest(out)
    assert len(again["artifacts"]) == 4
    assert again["notebooks"]["00_first"] == found["notebooks"]["00_first"]
    assert again["notebooks"]["01_second"]["parameters"]["size"] == 2


def test_unknown_notebooks_and_parameters_are_refused_before_anything_runs(notebooks, tmp_path):
    with pytest.raises(ValueError, match="no notebook '07': choose from 00_first, 01_second"):
        reproduce.run(PROFILES["mini"], tmp_path / "reports", only=["07"])
    with pytest.raises(ValueError, match="00_first has no parameter 'sise': it has profile, out, size"):
        reproduce.run(PROFILES["mini"], tmp_path / "reports", parameters={"sise": 4})
    assert not (tmp_path / "reports").exists()


def test_a_failing_notebook_is_named_and_the_others_results_stay(notebooks, tmp_path):
    write_notebook(notebooks, "02_broken", "raise RuntimeError('the dog ate it')")
    with pytest.raises(papermill.PapermillExecutionError, match="the dog ate it"):
        reproduce.run(PROFILES["mini"], tmp_path / "reports")
    assert (tmp_path / "reports" / "tables" / "01_second_rows.csv").is_file()


def test_a_report_without_a_folder_writes_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    frame = pl.DataFrame({"x": [1]})
    assert Report("00_first").table("rows", frame, "Rows") is frame
    assert not list(tmp_path.iterdir())


def test_markdown_tables_round_numbers_and_escape_bars():
    frame = pl.DataFrame({"name": ["a|b"], "value": [0.123456], "count": [7]})
    assert to_markdown(frame) == "| name | value | count |\n| --- | --: | --: |\n| a\\|b | 0.123 | 7 |"


def test_the_shipped_notebooks_are_lessons_without_outputs_or_definitions():
    paths = reproduce.choose()
    assert [path.stem[:2] for path in paths] == [f"{number:02d}" for number in range(len(paths))]
    for path in paths:
        notebook = nbformat.read(path, as_version=4)
        code = [cell for cell in notebook.cells if cell.cell_type == "code"]
        assert not any(cell.outputs or cell.execution_count for cell in code), f"{path.name} has outputs"
        assert not any(line.startswith(("def ", "class ")) for cell in code for line in cell.source.splitlines())
        assert any("assert " in cell.source for cell in code), f"{path.name} states no claim"
        assert len(code) <= 18
        assert {"profile", "out"} <= set(papermill.inspect_notebook(path))
