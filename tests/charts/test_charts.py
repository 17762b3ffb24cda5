"""Every figure builds, survives a JSON round trip and renders, on frames with awkward content as well."""

import json

import numpy as np
import polars as pl
import pytest

from bfkit import charts, paper

PROMPTS = ["a white and empty wall", "ein großer Kreis, 大きな円, " + "and then another very long clause " * 8]
STEPS = np.arange(1, 130)


def _curves(prompts: list[str]) -> pl.DataFrame:
    shapes = {"l_snr": 0.1 / STEPS, "d_sim": 0.8 / STEPS, "i_clip": 1 - 0.7 / STEPS}
    return pl.concat(
        pl.DataFrame({"prompt": prompt, "metric": name, "steps": STEPS, "value": values})
        for prompt in prompts
        for name, values in shapes.items()
    )


def _plan(prompts: list[str]) -> pl.DataFrame:
    return pl.DataFrame({"prompt": prompts, "l_snr": 5, "d_sim": 9, "i_clip": 1, "steps": 9})


def _bands() -> pl.DataFrame:
    means = _curves(PROMPTS[:1]).filter(pl.col("steps").is_in(paper.STEP_COUNTS)).rename({"value": "mean"})
    return means.with_columns(low=pl.col("mean") * 0.8, high=pl.col("mean") * 1.1)


def _errors() -> pl.DataFrame:
    rows = [(m, model, 0.03, 0.02, 0.04) for m in paper.METRICS for model in ("BiLSTM", "mean curve")]
    return pl.DataFrame(rows, schema=["metric", "model", "error", "low", "high"], orient="row")


VALUES = pl.DataFrame(
    {"value": [0.1, 0.12, 0.5, 0.52, 0.9], "set": ["a", "a", "b", "b", "b"], "other": [1, 2, 3, 4, 5]}
)
FIGURES = {
    "plateaus": lambda: charts.plateaus(_curves(PROMPTS), _plan(PROMPTS)),
    "plateaus of one prompt with measured values": lambda: charts.plateaus(
        _curves(PROMPTS[:1]), _plan(PROMPTS[:1]), _curves(PROMPTS[:1]).filter(pl.col("steps") < 5)
    ),
    "mean_curves": lambda: charts.mean_curves(_bands(), "title", "subtitle"),
    "small_multiples": lambda: charts.small_multiples(
        pl.DataFrame({"steps": [1, 2, 1, 2], "value": [1, 2, 3, 4], "reading": ["a", "a", "b", "b"]}),
        "reading",
        "title",
    ),
    "bars": lambda: charts.bars(VALUES, "value", "set", "title", x_title="value"),
    "errors": lambda: charts.errors(_errors(), "title", "subtitle"),
    "histogram": lambda: charts.histogram(VALUES, "value", "title", x_title="x", y_title="y", width=0.1),
    "two_histograms": lambda: charts.two_histograms(VALUES, "value", "set", "title", x_title="x", width=0.1, rule=0.5),
    "score_curves": lambda: charts.score_curves(
        {"l_snr": 0.1 / STEPS, "d_sim": 0.8 / STEPS, "i_clip": 1 - 0.7 / STEPS}, 9, (2, 4, 9, 18, 129)
    ),
    "scatter": lambda: charts.scatter(VALUES, "value", "other", "title", x_title="x", y_title="y"),
}


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_builds_survives_json_and_renders(name, check_figure):
    check_figure(FIGURES[name]())


def test_the_metrics_have_the_papers_colours_and_a_dash_each():
    green, blue, red = (tuple(int(charts.COLORS[m][i : i + 2], 16) for i in (1, 3, 5)) for m in paper.METRICS)
    assert green[1] == max(green) and blue[2] == max(blue) and red[0] == max(red)
    assert len({tuple(dash) for dash in charts.DASHES.values()}) == 3


def test_a_prompts_panel_marks_its_plateaus_and_t_star():
    spec = charts.plateaus(_curves(PROMPTS[:1]), _plan(PROMPTS[:1])).to_dict()
    marked = json.dumps(spec["datasets"])
    assert '"steps": 9' in marked and "t* = 9" in json.dumps(spec["vconcat"])


def test_score_curves_become_a_picture_with_each_metrics_colour_in_it():
    values = {"l_snr": 0.5 / STEPS, "d_sim": 0.8 / STEPS, "i_clip": 1 - 0.7 / STEPS}
    picture = np.asarray(charts.pictured(charts.score_curves(values, 9))).astype(int).reshape(-1, 3)
    for tone in charts.COLORS.values():
        own = [int(tone[i : i + 2], 16) for i in (1, 3, 5)]
        assert (np.abs(picture - own).max(axis=1) < 12).sum() > 20
    assert all(label in charts.curve_names() for label in charts.LABELS.values())
