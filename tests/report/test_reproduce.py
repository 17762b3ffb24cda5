"""Real papermill runs of small notebooks: what is written, where it comes from, and what a failure leaves behind."""

import ast
import hashlib
import json
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote, urlparse

import nbformat
import papermill
import polars as pl
import pytest
import torch
from browsers import browsing, needs_browser

from bfkit import provenance
from bfkit.dataset.executors import work
from bfkit.dataset.table import SCHEMA, read_scores, read_table, write_table
from bfkit.devices import device_name
from bfkit.profiles import PROFILES, Profile, get_profile
from bfkit.report import reproduce
from bfkit.report.artifacts import Report
from bfkit.report.lessons import fitting
from bfkit.report.manifest import note_run
from bfkit.report.page import write_page

HEADER = 'profile = "mini"\nout = None\nsize = 3'
BODY = """
import altair as alt
import polars as pl
from bfkit import Report
report = Report("{name}", out)
frame = pl.DataFrame({{"x": list(range(size)), "text": ["a <b> & c"] * size}})
chart = alt.Chart(frame).mark_bar().encode(x="x:Q", y="text:N")
report.figure("{name}_bars", chart, "Bars of {name} & <others>")
report.table("{name}_rows", frame, "Rows")
report.number("rows", size, 2, "d")
"""


def write_notebook(folder: Path, name: str, body: str | None = None, header: str = HEADER) -> None:
    header = nbformat.v4.new_code_cell(header, metadata={"tags": ["parameters"]})
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
    monkeypatch.setattr(reproduce, "EXPLORED", 1)
    return folder


def write_scores(path: Path) -> Path:
    """The first prompts of the shipped table."""
    shipped, noted = read_table(Path(PROFILES["mini"].scores))
    write_table(shipped.filter(pl.col("prompt_id") < 20), path, noted)
    return path


def manifest(out: Path) -> dict:
    return json.loads((out / "manifest.json").read_text())


@pytest.mark.slow
def test_a_run_writes_figures_tables_a_page_and_where_each_came_from(notebooks, tmp_path):
    out = tmp_path / "reports"
    page = reproduce.run(PROFILES["mini"], out, parameters={"size": 4})
    found = manifest(out)
    assert [(a["notebook"], a["name"]) for a in found["artifacts"]] == [
        ("00_first", "00_first_bars"),
        ("00_first", "00_first_rows"),
        ("01_second", "01_second_bars"),
        ("01_second", "01_second_rows"),
        ("explorer", "explorer"),
    ]
    assert found["numbers"][0] == {"kind": "number", "name": "rows", "value": "4", "paper": "2", "notebook": "00_first"}
    for artifact in found["artifacts"]:
        for file, digest in artifact["files"].items():
            assert hashlib.sha256((out / file).read_bytes()).hexdigest().startswith(digest)
    assert found["runs"]["00_first"]["parameters"] == {"profile": "mini", "size": 4}
    assert len(pl.read_csv(out / "tables" / "00_first_rows.csv")) == 4
    text = page.read_text()
    assert "Bars of 00_first &amp; &lt;others&gt;" in text and "a &lt;b&gt; &amp; c" in text
    for link in ("figures/00_first_bars.svg", "../notebooks/01_second.ipynb", "explorer.html"):
        assert link in text and (out / link).is_file()
    assert "miniature" in text and str(tmp_path) not in text + json.dumps(found)

    # a second run has nothing to do
    written = {path: path.stat().st_mtime_ns for path in out.rglob("*.*")}
    reproduce.run(PROFILES["mini"], out, parameters={"size": 4})
    assert {path for path in written if path.stat().st_mtime_ns != written[path]} == {page}

    # running one notebook again keeps what the other reported
    reproduce.run(PROFILES["mini"], out, only=["01"], parameters={"size": 2})
    again = manifest(out)
    assert len(again["artifacts"]) == 5
    assert again["runs"]["00_first"] == found["runs"]["00_first"]
    assert again["runs"]["01_second"]["parameters"]["size"] == 2


LOADING = "import bfkit\nfrom bfkit.models.clip import load_clip\nload_clip(bfkit.get_profile('mini').clip, {})\n"


@pytest.mark.slow
def test_each_part_is_noted_with_the_hardware_that_its_models_ran_on_whatever_was_asked_for(notebooks, tmp_path):
    cpu = device_name(torch.device("cpu"))
    header, out = HEADER + "\ndevice = None", tmp_path / "reports"
    write_notebook(notebooks, "01_second", LOADING.format("device") + BODY.format(name="01_second"), header)
    write_notebook(notebooks, "02_deaf", LOADING.format("'cpu'") + BODY.format(name="02_deaf"), header)
    page = reproduce.run(PROFILES["mini"], out, only=["00", "01", "02"], device="meta").read_text()
    runs = manifest(out)["runs"]
    assert {name: run["hardware"] for name, run in runs.items()} == {
        "00_first": [],
        "01_second": ["meta"],
        "02_deaf": [cpu],
    }
    assert runs["01_second"]["parameters"]["device"] == "meta" and "device" not in runs["00_first"]["parameters"]
    assert "no model ran" in page and "models ran on meta" in page and f"models ran on {cpu}" in page
    assert f"Models ran here on meta and {cpu}." in page
    assert "The scores were measured on cpu." in page, "what the shipped table notes"


@pytest.mark.slow
def test_the_page_says_how_many_broken_pictures_its_tables_lack(notebooks, tmp_path):
    whole = reproduce.run(PROFILES["mini"], tmp_path / "whole", only=["00"]).read_text()
    assert "left out of" not in whole
    shipped, noted = read_table(Path(PROFILES["mini"].scores))
    row = {"prompt_id": 1, "prompt": "a wall", "seed": 0, "steps": 5, "reason": "its scores are no numbers"}
    write_table(shipped.head(500), tmp_path / "scores.parquet", {**noted, "failures": [row, row]})
    profile = replace(PROFILES["mini"], scores=str(tmp_path / "scores.parquet"))
    page = reproduce.run(profile, tmp_path / "broken", only=["00"]).read_text()
    assert "2 broken pictures are left out of the scores." in page
    assert manifest(tmp_path / "broken")["left_out"] == {"scores": 2}


def test_of_a_run_that_ended_before_it_reported_nobody_says_that_no_model_ran(tmp_path):
    found = {"profile": "mini", "runs": {}, "artifacts": [], "numbers": [], "findings": [], "measured_on": {},
             "measured": {}, "left_out": {},
             "surroundings": {"python": "3", "packages": {}, "bfkit": "", "inputs": {}}}  # fmt: skip
    note_run(
        tmp_path,
        found,
        "00_first",
        {"seconds": 1, "failure": "cell 3: RuntimeError: out of memory", "pages": ["notebooks/00_first.html"]},
    )
    page = write_page(tmp_path, found).read_text()
    assert "hardware not noted" in page and "no model ran" not in page


def test_scores_made_anew_leave_no_model_behind_for_the_notebooks_to_share_memory_with(random_profile, tmp_path):
    (tmp_path / "few.txt").write_text("a white and empty wall\na crowd of people in a park\n")
    profile = replace(random_profile, captions=str(tmp_path / "few.txt"), step_counts=(1, 2), seeds=(0,))
    made = reproduce.make_scores(profile, tmp_path / "scores", 1, "cpu")
    assert len(read_scores(made.scores)) == 2
    assert not work._LOADED


@pytest.mark.slow
def test_what_is_up_to_date_is_skipped_until_its_source_its_files_or_its_inputs_change(notebooks, tmp_path, capsys):
    out, profile = tmp_path / "reports", PROFILES["mini"]

    def ran(**options: object) -> list[str]:
        capsys.readouterr()
        reproduce.run(profile, out, only=["00", "01"], **options)
        lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("[")]
        return [line.split()[1] for line in lines if "up to date" not in line]

    assert ran() == ["00_first", "01_second"]
    before = {path: path.read_bytes() for path in out.rglob("*.*")}
    assert ran() == []
    assert {path: path.read_bytes() for path in out.rglob("*.*")} == before
    write_notebook(notebooks, "01_second", BODY.format(name="01_second") + "\nsize")
    assert ran() == ["01_second"]
    (out / "tables" / "00_first_rows.csv").write_text("x,text\n0,forged\n")
    assert ran() == ["00_first"]
    assert "forged" not in (out / "index.html").read_text()
    assert ran(parameters={"size": 5}) == ["00_first", "01_second"]
    profile = get_profile("mini", scores=write_scores(tmp_path / "own.parquet"))
    assert ran(parameters={"size": 5}) == ["00_first", "01_second"], "other scores, other results"
    assert ran(parameters={"size": 5}, force=True) == ["00_first", "01_second"]


@pytest.mark.slow
@needs_browser
def test_a_reader_finds_every_picture_and_page_and_moves_the_explorers_slider(notebooks, tmp_path):
    page = reproduce.run(PROFILES["mini"], tmp_path / "reports")
    with browsing(tmp_path / "chromium") as browser:
        browser.get(page.as_uri())
        shown = browser.execute_script(
            "return [...document.images].map((image) => { image.loading = 'eager'; return image; })"
            ".map((image) => image.decode().then(() => image.naturalWidth)).reduce("
            "(all, one) => all.then((done) => one.then((width) => [...done, width])), Promise.resolve([]))"
        )
        assert len(shown) == 2 and min(shown) > 100
        rows = browser.find_elements("css selector", "#numbers + .table tbody tr")
        assert rows[0].text == "rows 3 2 00 first"
        links = [link.get_attribute("href") for link in browser.find_elements("css selector", "a[href]")]
        files = {Path(unquote(urlparse(link).path)) for link in links}
        assert {path.name for path in files} >= {"explorer.html", "00_first.ipynb", "manifest.json"}
        assert all(path.is_file() for path in files)
        browser.get((page.parent / "explorer.html").as_uri())
        before = browser.find_element("css selector", ".star b").text
        browser.execute_script(
            "for (const slider of document.querySelectorAll('input[type=range]')) {"
            "slider.value = slider.min; slider.dispatchEvent(new Event('input')); }"
        )
        assert browser.find_element("css selector", ".star b").text != before
        assert browser.get_log("browser") == []


def test_a_folder_with_another_profiles_report_is_refused(notebooks, tmp_path):
    write_notebook(notebooks, "00_first", body="1 + 1")
    reproduce.run(PROFILES["mini"], tmp_path / "reports", only=["00"])
    other = replace(PROFILES["mini"], name="sd2")
    before = (tmp_path / "reports" / "index.html").read_text()
    with pytest.raises(ValueError, match="holds a report of mini: name another folder with --out"):
        reproduce.run(other, tmp_path / "reports", only=["00"])
    assert (tmp_path / "reports" / "index.html").read_text() == before
    (tmp_path / "reports" / "manifest.json").write_text("[1, 2")
    with pytest.raises(ValueError, match=r"manifest.json is no manifest of a report: name another folder"):
        reproduce.run(PROFILES["mini"], tmp_path / "reports", only=["00"])


@pytest.mark.slow
def test_a_profile_without_scores_or_a_comparison_is_told_how_to_make_them(notebooks, tmp_path, capsys):
    with pytest.raises(ValueError, match="sd2 has no scores of its own: make them with `bfkit dataset --profile sd2"):
        reproduce.run(PROFILES["sd2"], tmp_path / "reports")
    with pytest.raises(ValueError, match="mini has no advisor of its own: train one with `bfkit train --profile mini"):
        reproduce.run(replace(PROFILES["mini"], advisor=""), tmp_path / "reports")
    write_notebook(notebooks, "01_second", "systems", HEADER + "\nsystems = None")
    uncompared = replace(PROFILES["mini"], systems="")
    with pytest.raises(ValueError, match="01_second: left out, for want of a comparison"):
        reproduce.run(uncompared, tmp_path / "reports", only=["01"])
    reproduce.run(uncompared, tmp_path / "reports")
    assert "make one with `bfkit compare --profile mini" in capsys.readouterr().out
    assert list(manifest(tmp_path / "reports")["runs"]) == ["00_first", "explorer"]


def test_unknown_notebooks_and_parameters_are_refused_before_anything_runs(notebooks, tmp_path):
    with pytest.raises(ValueError, match="no notebook '07': choose from 00_first, 01_second"):
        reproduce.run(PROFILES["mini"], tmp_path / "reports", only=["07"])
    with pytest.raises(ValueError, match="none of these notebooks has a parameter 'sise': there are size"):
        reproduce.run(PROFILES["mini"], tmp_path / "reports", parameters={"sise": 4})
    assert not (tmp_path / "reports").exists()


@pytest.mark.slow
def test_a_failing_notebook_is_named_and_what_it_and_the_others_reported_stays(notebooks, tmp_path):
    write_notebook(notebooks, "02_third")
    write_notebook(notebooks, "01_second", BODY.format(name="01_second") + "\nraise RuntimeError('the dog ate it')")
    with pytest.raises(reproduce.NotebookError, match="1 of 3 failed, 01_second"):
        reproduce.run(PROFILES["mini"], tmp_path / "reports", only=["00", "01", "02"])
    assert (tmp_path / "reports" / "tables" / "01_second_rows.csv").is_file()
    assert list(manifest(tmp_path / "reports")["runs"]) == ["00_first", "01_second", "02_third"]
    page = (tmp_path / "reports" / "index.html").read_text()
    assert "stopped in cell 3: RuntimeError: the dog ate it" in page
    assert "01_second_rows" in page and "02_third_rows" in page
    assert "the dog ate it" in (tmp_path / "reports" / "notebooks" / "01_second.ipynb").read_text()


def test_a_report_without_a_folder_writes_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    frame = pl.DataFrame({"x": [1]})
    report = Report("00_first")
    assert "1" in report.table("rows", frame, "Rows").as_raw_html()
    assert report.finding("rule", "It gains 2% [1, 3].", "rows") == "It gains 2% [1, 3]."
    report.page(tmp_path / "explorer.html", "A page")
    assert not list(tmp_path.iterdir())


LONG = " ".join(["a red circle beside a blue square on a white wall and"] * 30)
ODD = {
    "one prompt": lambda rows: rows.filter(prompt_id=rows["prompt_id"][0]),
    "two prompts": lambda rows: rows.filter(pl.col("prompt_id").is_in(rows["prompt_id"].unique().sort()[:2].to_list())),
    "one seed": lambda rows: rows.filter(seed=0),
    "a gap": lambda rows: rows.filter((pl.col("prompt_id") != rows["prompt_id"][0]) | (pl.col("steps") != 33)),
    "no plateau": lambda rows: rows.with_columns(
        l_snr=1 - pl.col("steps") / 200, d_sim=1 - pl.col("steps") / 129, i_clip=pl.col("steps") / 129
    ),
    "flat": lambda rows: rows.with_columns(l_snr=pl.lit(0.5), d_sim=pl.lit(0.0), i_clip=pl.lit(1.0)),
    "other alphabets, 300 words": lambda rows: rows.with_columns(
        pl.col("prompt_id").replace_strict(
            {0: "ein grüner Kreis, 赤い丸 🔴 <b>&</b>", 1: LONG}, default=pl.col("prompt"), return_dtype=pl.String
        ).alias("prompt")
    ),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("oddity", ODD)
def test_an_odd_table_gives_every_figure_or_a_sentence(oddity, tmp_path):
    shipped, noted = read_table(Path(PROFILES["mini"].scores))
    few = shipped.filter(pl.col("prompt_id").is_in(shipped["prompt_id"].unique().sort()[:40].to_list()))
    path = tmp_path / "table.parquet"
    write_table(ODD[oddity](few).cast(dict(SCHEMA)), path, noted)
    out = tmp_path / "reports"
    with suppress(reproduce.NotebookError):
        reproduce.run(get_profile("mini", scores=path), out, only=["04", "06"])
    for name, done in manifest(out)["runs"].items():
        assert not done["failure"] or "ValueError: " in done["failure"], f"{name}: {done['failure']}"
    assert len(manifest(out)["artifacts"]) >= 2


def test_the_shipped_notebooks_are_lessons_without_outputs_or_definitions():
    paths = reproduce.choose()
    assert [path.stem[:2] for path in paths] == [f"{number:02d}" for number in range(len(paths))]
    for path in paths:
        notebook = nbformat.read(path, as_version=4)
        code = [cell for cell in notebook.cells if cell.cell_type == "code"]
        assert not any(cell.outputs or cell.execution_count for cell in code), f"{path.name} has outputs"
        own_code = [cell for cell in code if not {"solution", "check"} & set(cell.metadata.get("tags", ()))]
        assert not any(line.startswith(("def ", "class ")) for cell in own_code for line in cell.source.splitlines())
        assert any("assert " in cell.source for cell in code), f"{path.name} states no claim"
        assert len(own_code) <= 16
        own = {"15_families": ["families", "device", "out"], "09_systems": ["profile", "systems", "out"]}
        first = list(papermill.inspect_notebook(path))[:3]
        assert first == own.get(path.stem, ["profile", "scores", "advisor"])


def calls(source: str) -> list[ast.Call]:
    return [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]


LOADERS = {"load_pipeline", "load_scorer", "load_clip", "load_classifier", "from_pretrained", "synthetic_plateaus"}


@pytest.mark.parametrize("path", reproduce.choose(), ids=lambda path: path.stem)
def test_whatever_a_lesson_loads_goes_to_the_device_that_is_its_parameter(path):
    code = [cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    loading = [call for source in code for call in calls(source) if ast.unparse(call.func).split(".")[-1] in LOADERS]
    for call in loading:
        given = [ast.unparse(value) for value in (*call.args, *(keyword.value for keyword in call.keywords))]
        assert "device" in given, f"{path.stem}: {ast.unparse(call)}"
    assert bool(loading) == ("device" in papermill.inspect_notebook(path))


# --- other profiles than the miniature ------------------------------------------------------------------------------


def own_profile(folder: Path, **more: str) -> Profile:
    """The miniature's models under another name, as a file."""
    mini = PROFILES["mini"]
    tables = {"scores": mini.scores, "advisor": mini.advisor, "systems": mini.systems, **more}
    text = "".join(f"{name} = {json.dumps(path)}\n" for name, path in tables.items())
    path = folder / "painter.toml"
    path.write_text(f'like = "mini"\n{text}', encoding="utf-8")
    return get_profile(str(path))


@pytest.mark.parametrize("path", reproduce.choose(), ids=lambda path: path.stem)
def test_no_lesson_speaks_of_the_miniature_under_another_profile(path, tmp_path):
    cells = fitting(path, own_profile(tmp_path)).cells
    assert not [cell.source for cell in cells if "miniature" in cell.source.lower()]
    whole = [cell.id for cell in nbformat.read(path, as_version=4).cells]
    assert [cell.id for cell in fitting(path, PROFILES["mini"]).cells] == whole


def test_table_1_is_shown_of_ones_own_networks_or_left_out_with_a_sentence(tmp_path):
    (path,) = reproduce.choose(["05"])
    without = "".join(cell.source for cell in fitting(path, own_profile(tmp_path)).cells)
    assert "table1.read" not in without and without.count("Table 1 is left out") == 1
    assert "bfkit networks --profile" in without
    given = "".join(cell.source for cell in fitting(path, own_profile(tmp_path, networks="networks.csv")).cells)
    assert "table1.read" in given and "left out" not in given and "miniature" not in given


def test_what_needs_a_second_look_is_shown_where_it_was_taken_or_left_out_with_a_sentence(tmp_path):
    (path,) = reproduce.choose(["14"])
    without = "".join(cell.source for cell in fitting(path, own_profile(tmp_path)).cells)
    assert "profile.knowing" not in without and without.count("bfkit knowing --profile") == 1
    given = "".join(cell.source for cell in fitting(path, own_profile(tmp_path, knowing="knowing.csv")).cells)
    assert "profile.knowing" in given and "left out" not in given.replace("prompts left out", "")


SMALL = {
    "02_generation": {"pictures": 32},
    "03_metrics": {"pictures": 2},
    "05_predictor": {"epochs": 1},
    "07_efficiency": {"timed": 1},
    "11_study": {"pictures": 4, "participants": 10},
    "12_gallery": {"pictures": 1},
}


@pytest.mark.slow
def test_nothing_on_another_profiles_report_speaks_of_the_miniature(tmp_path, monkeypatch):
    """Every lesson, really run: prose, charts, captions, tables, and the page."""
    monkeypatch.setattr(reproduce, "EXPLORED", 2)
    out = tmp_path / "reports"
    monkeypatch.setattr(reproduce, "FULL", SMALL)
    with suppress(reproduce.NotebookError):  # an epoch is too few to learn plateaus in lesson 05
        reproduce.run(own_profile(tmp_path), out, device="cpu")
    runs = manifest(out)["runs"]
    assert [*runs] == [*(path.stem for path in reproduce.choose()), "explorer"]
    assert [name for name, run in runs.items() if run["failure"]] == ["05_predictor"]
    cpu = device_name(torch.device("cpu"))
    assert {name: run["hardware"] for name, run in runs.items()} == {
        name: [] if name in ("04_scores", "13_numbers") else [cpu] for name in runs
    }
    texts = [path for path in out.rglob("*.*") if path.suffix in (".html", ".ipynb", ".md", ".csv", ".json", ".svg")]
    assert len(texts) > 60
    assert [str(path) for path in texts if "miniature" in path.read_text(encoding="utf-8").lower()] == []


def test_every_table_that_the_library_ships_counts_as_an_input():
    """A lesson that reads a shipped file must run again when that file changes."""
    package = Path(provenance.__file__).parent
    hashed = provenance.SOURCES | provenance.DECIDING | {".parquet"}
    shipped = {path.suffix for path in package.rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    assert {".csv", ".parquet", ".safetensors"} <= shipped
    assert shipped - {".md", ".typed"} <= hashed
