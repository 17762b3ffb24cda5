"""Every figure builds, survives a JSON round trip and renders, on frames with awkward content as well."""

import json
import re

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
WALL = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mP8/x8AAwMCAO+ip1sAAAAASUVORK5CYII="
)
SHARES = pl.DataFrame(
    {"row": ["a", "b", "c"], "panel": ["p", "p", "q"], "value": [0.1, -0.2, 0.0], "low": -0.3, "high": 0.4}
)
AGREED = pl.DataFrame(
    [(name, 0.3, 0.1, 0.5, 0.6, 0.4, 0.7) for name in (*paper.METRICS, "all")], orient="row",
    schema=["metric", "correlation", "low", "high", "ceiling", "ceiling_low", "ceiling_high"],
)  # fmt: skip
FIGURES = {
    "plateaus with pictures": lambda: charts.plateaus(
        _curves(PROMPTS), _plan(PROMPTS), pictures={prompt: [(1, WALL), (9, WALL), (129, WALL)] for prompt in PROMPTS}
    ),
    "plateaus of one metric": lambda: charts.plateaus(_curves(PROMPTS[:1]).filter(metric="d_sim"), _plan(PROMPTS[:1])),
    "architecture": lambda: charts.architecture({"lstm": 1234, "mlp": 56}, paper.STEP_COUNTS, "title"),
    "architecture of few steps": lambda: charts.architecture({"lstm": 1, "mlp": 1}, (1, 2, 4), "title"),
    "shares": lambda: charts.shares(SHARES, "row", "panel", "title", "subtitle", x_title="saved"),
    "agreement": lambda: charts.agreement(
        pl.DataFrame({"predicted": [5, 9, 30], "measured": [6, 20, 20]}), AGREED, "title", "subtitle"
    ),
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
    "scatter with a diagonal": lambda: charts.scatter(
        VALUES, "value", "other", "title", x_title="x", y_title="y", diagonal=True
    ),
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


def test_the_ruler_of_eq_7_is_drawn_where_the_plateau_is_read_off():
    curves = _curves(PROMPTS[:1])
    spec = charts.plateaus(curves, _plan(PROMPTS[:1])).to_dict()
    lines = sorted(rows[0]["value"] for rows in spec["datasets"].values() if list(rows[0]) == ["value"])
    expected = []
    for name, weight in paper.WEIGHTS.items():
        values = curves.filter(metric=name)["value"].to_numpy()
        up = 1 if name != "i_clip" else -1  # I-CLIP rises: it is turned over first
        expected.append(np.median(values) + up * weight * values.std())
    assert lines == pytest.approx(sorted(expected))


def test_pictures_beyond_t_star_are_pale_and_t_star_is_framed():
    strip = {PROMPTS[0]: [(1, WALL), (9, WALL), (129, WALL)]}
    spec = charts.plateaus(_curves(PROMPTS[:1]), _plan(PROMPTS[:1]), pictures=strip).to_dict()
    (rows,) = (rows for rows in spec["datasets"].values() if len(rows) == 3 and "url" in rows[0])
    assert [(row["text"], row["shown"]) for row in rows] == [("1", 1.0), ("t* = 9", 1.0), ("129", 0.35)]


def test_metrics_keep_their_colours_wherever_they_are_series():
    frame = pl.DataFrame({"steps": [1, 2] * 2, "name": ["I-CLIP", "I-CLIP", "other", "other"], "value": 0.5, "low": 0.4,
                          "high": 0.6})  # fmt: skip
    spec = json.dumps(charts.by_steps(frame, "name", "title", y_title="y").to_dict())
    assert '"domain": ["I-CLIP", "other"]' in spec
    assert f'["{charts.COLORS["i_clip"]}", "{charts.COLORS["d_sim"]}"]' in spec


@pytest.mark.parametrize("name", [name for name in FIGURES if name != "small_multiples"])
def test_a_figure_is_no_wider_than_letters_that_a_telephone_shows(name, tmp_path):
    path = tmp_path / "figure.svg"
    FIGURES[name]().save(path)
    (width,) = re.findall(r'<svg[^>]* width="([\d.]+)"', path.read_text())
    assert float(width) <= 560


def test_a_long_finding_is_broken_into_lines_and_a_short_one_is_not():
    long = charts.bars(VALUES, "value", "set", "word " * 40, x_title="x").to_dict()["title"]["text"]
    assert max(map(len, long)) <= 70 and " ".join(long).split() == ["word"] * 40
    assert charts.bars(VALUES, "value", "set", "word", x_title="x").to_dict()["title"]["text"] == "word"
