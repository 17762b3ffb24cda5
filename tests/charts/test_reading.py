"""What a chart says to who cannot see it, and how it stands on a telephone."""

import altair as alt
import polars as pl

from bfkit import charts
from bfkit.charts.reading import LINE, in_words, stacked
from bfkit.metrics.registry import METRICS

ABREAST = pl.DataFrame(
    [(metric, condition, 1.0, 0.1, 1.1) for metric in METRICS for condition in ("UNIFORM", "BudgetFusion")],
    schema=["metric", "condition", "efficiency", "error", "dealt"],
    orient="row",
)
TITLE = "BudgetFusion and UNIFORM cannot be told apart on any of the three metrics"


def width(chart: alt.TopLevelMixin, path) -> float:
    chart.save(path)
    return float(path.read_text().split('width="')[1].split('"')[0])


def panels(spec: dict) -> list[dict]:
    inner = [panel for kind in ("hconcat", "vconcat", "concat") for panel in spec.get(kind, ())]
    return [leaf for panel in inner for leaf in panels(panel)] if inner else [spec]


def test_a_chart_is_told_by_its_finding_and_its_panels():
    told = in_words(charts.efficiency(ABREAST, TITLE, "95% intervals"))
    assert told == f"{TITLE}. 95% intervals. L-SNR. D-SIM. I-CLIP."


def test_on_a_telephone_panels_stand_one_under_another_and_each_names_its_rows(tmp_path):
    chart = charts.efficiency(ABREAST, TITLE, "95% intervals")
    narrow = stacked(chart)
    assert width(narrow, tmp_path / "narrow.svg") < 0.7 * width(chart, tmp_path / "wide.svg")
    assert (tmp_path / "wide.svg").read_text().count(">UNIFORM<") == 1
    assert (tmp_path / "narrow.svg").read_text().count(">UNIFORM<") == 3
    lines = narrow.to_dict()["title"]["text"]
    assert " ".join(lines) == TITLE and max(map(len, lines)) <= LINE["text"]


def test_what_is_stacked_shows_the_same_marks():
    chart = charts.efficiency(ABREAST, TITLE)
    before, after = panels(chart.to_dict()), panels(stacked(chart).to_dict())
    assert [panel["title"]["text"] for panel in before] == [" ".join(panel["title"]["text"]) for panel in after]
    assert [len(panel["layer"]) for panel in before] == [len(panel["layer"]) for panel in after]
