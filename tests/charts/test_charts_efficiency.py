"""Each figure on quality and cost builds, survives a JSON round trip and renders what its frame says."""

import json

import altair as alt
import polars as pl
import pytest
from curves import drawn_curves, falling_curves

from bfkit import charts, paper
from bfkit.evaluation import efficiency, metric_subsets, rule_comparison
from bfkit.evaluation.weight_search import search_weights
from bfkit.predictor import rules
from bfkit.sampling.cost import TIMED as TIMED_ROWS

MEASURED, PREDICTED = drawn_curves(12), falling_curves(12)
OURS = rules.steps_by_plateau(PREDICTED)
CONDITIONS = efficiency.conditions(OURS, MEASURED)
SEARCH = search_weights(MEASURED, 0.25, grid=(0.0, 0.2, 0.3, 0.5, 0.8))
WORDINGS = pl.DataFrame({"scene": [0, 0, 1, 1, 2, 2], "steps": [9, 9, 30, 12, 20, 21]})
GAINS = efficiency.relative_summary(efficiency.relative_quality(CONDITIONS, MEASURED))
GAINED = pl.DataFrame(
    {"system": ["OURS", "UniPC", "ToMe", "UNIFORM", "REFERENCE"], "metric": "d_sim_plain",
     "times": [1.2, 0.4, 30.0, 1.0, 0.1], "times_low": [0.9, -0.1, 20.0, 1.0, 0.1],
     "times_high": [1.5, 0.6, 40.0, 1.0, 1.0]}
)  # fmt: skip
COMBINED = pl.DataFrame(
    {"dealt": ["OURS", "UNIFORM"] * 3, "sampler": ["plain", "plain", "ToMe", "ToMe", "UniPC", "UniPC"],
     "tflops": [0.01, 0.01, 0.008, 0.008, 0.01, 0.01], "quality": [0.97, 0.98, 0.95, 0.96, 0.985, 0.99],
     "low": 0.94, "high": 0.995, "front": [False, False, False, True, False, True]}
)  # fmt: skip
TIMED = pl.DataFrame(
    [("OURS", "a", 9, 0.2, None), ("REFERENCE", "a", 65, 1.3, None), ("OURS", "b", 30, 0.6, None),
     ("REFERENCE", "b", 65, 1.4, None)], schema=TIMED_ROWS, orient="row",
)  # fmt: skip
SCORES = pl.DataFrame(
    {"system": ["OURS", "REFERENCE"], "score": [4.0, 4.2], "difference": [-0.2, 0.0], "difference_low": [-0.3, 0.0],
     "difference_high": [-0.1, 0.0]}
)  # fmt: skip
RULES = rule_comparison.compare_rules(MEASURED, {"predicted": PREDICTED, "measured": MEASURED}, (9, 20))

FIGURES = {
    "weight_surface": lambda: charts.weight_surface(SEARCH, "title", "subtitle", kept=0.9),
    "weight_surface where nothing keeps enough": lambda: charts.weight_surface(SEARCH, "title", kept=2),
    "weight_surface of Eq. 9": lambda: charts.weight_surface(SEARCH, "title", value="relative"),
    "efficiency": lambda: charts.efficiency(efficiency.quality_per_tflop(CONDITIONS, MEASURED, 0.25), "title"),
    "relative_quality": lambda: charts.relative_quality(GAINS, "title"),
    "relative_quality beside the paper's": lambda: charts.relative_quality(
        GAINS, "title", published={"l_snr": 0.066, "d_sim": 0.084, "i_clip": 0.087}
    ),
    "against_oracle": lambda: charts.against_oracle(OURS, rules.steps_by_plateau(MEASURED), "title"),
    "paraphrases": lambda: charts.paraphrases(WORDINGS, "title"),
    "rules": lambda: charts.rules(RULES, "title", "subtitle"),
    "systems": lambda: charts.systems(GAINED, "title"),
    "times": lambda: charts.times(TIMED, "title"),
    "times of one picture each": lambda: charts.times(TIMED.head(2), "title"),
    "inception": lambda: charts.inception(SCORES, "title"),
    "combinations": lambda: charts.combinations(COMBINED, "title", "subtitle"),
    "ablation": lambda: charts.metric_subsets(metric_subsets.compare_subsets(MEASURED, PREDICTED), "title"),
}


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_builds_survives_json_and_renders(name, check_figure):
    check_figure(FIGURES[name]())


def _marks(figure: alt.TopLevelMixin) -> list[dict]:
    return [row for rows in figure.to_dict()["datasets"].values() for row in rows if "text" in row]


def test_slices_run_through_the_papers_point_and_through_the_best_that_may_be_chosen():
    figure = charts.weight_surface(SEARCH, "title", kept=0.95)
    marks, stated = _marks(figure), paper.WEIGHTS
    papers = [row for row in marks if row["text"] == "paper"]
    assert {"w_l_snr": stated["l_snr"], "w_d_sim": stated["d_sim"], "text": "paper"} in papers and len(papers) == 3
    best = SEARCH.filter(pl.col("kept") >= 0.95).sort("efficiency").row(-1, named=True)
    for pair in (("l_snr", "d_sim"), ("l_snr", "i_clip"), ("d_sim", "i_clip")):
        assert {**{f"w_{name}": best[f"w_{name}"] for name in pair}, "text": "best"} in marks
    headings = [panel["title"]["text"] for row in figure.to_dict()["vconcat"] for panel in row["hconcat"]]
    assert f"I-CLIP at the best's {best['w_i_clip']:.1f}" in headings and "I-CLIP at the paper's 0.5" in headings
    assert not [row for row in _marks(charts.weight_surface(SEARCH, "t", kept=2)) if row["text"] == "best"]


def test_published_values_stand_beside_the_measured_ones():
    marks = _marks(charts.relative_quality(GAINS, "title", published={"d_sim": 0.084}))
    assert [row["mean"] for row in marks if row["text"] == "paper 8.4%"] == [pytest.approx(8.4)]


def test_every_rule_is_drawn_from_every_source_of_curves():
    spec = charts.rules(RULES, "title").to_dict()
    drawn = {(row["curves"], row["rule"]) for rows in spec["datasets"].values() for row in rows}
    assert drawn == set(RULES.select("curves", "rule").unique().rows())
    headings = [panel["title"]["text"] for panel in spec["vconcat"][0]["hconcat"]]
    assert headings == ["predicted curves", "measured curves"]


def test_a_chart_of_equal_cost_leaves_the_dearer_reference_out_and_marks_its_scale():
    spec = charts.systems(GAINED, "title").to_dict()
    drawn = {row["system"] for rows in spec["datasets"].values() for row in rows if "system" in row}
    assert drawn == {"OURS", "UniPC", "ToMe"}
    assert "distance, times UNIFORM's (logarithmic)" in json.dumps(spec)


def test_what_is_true_by_construction_is_said_where_it_is_shown():
    headings = [panel["title"] for panel in charts.rules(RULES, "title").to_dict()["vconcat"][0]["hconcat"]]
    assert [title.get("subtitle") for title in headings] == [None, "none saves more than the price: by construction"]


def test_a_long_finding_is_broken_into_lines_that_fit_their_figure():
    found = charts.efficiency(
        efficiency.quality_per_tflop(CONDITIONS, MEASURED, 0.25), "a long finding " * 12
    ).to_dict()
    assert len(found["title"]["text"]) > 2 and max(map(len, found["title"]["text"])) < 75
