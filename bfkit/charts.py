"""One function a figure: tidy frames in, an Altair chart out.

One theme for all. The metrics keep the paper's colours (green L-SNR, blue D-SIM, red I-CLIP), in tones that differ in
lightness too, and each has a dash of its own, so that no figure needs colour to be read.
"""

import textwrap
from collections.abc import Mapping, Sequence

import altair as alt
import polars as pl

from .metrics import METRICS

COLORS = {"l_snr": "#2a9d4f", "d_sim": "#1d4fb8", "i_clip": "#e0562d"}
DASHES = {"l_snr": [1, 0], "d_sim": [7, 3], "i_clip": [2, 2]}
SERIES = ["#1d4fb8", "#e0562d", "#2a9d4f", "#8a6fb0"]  # for lines that are not the three metrics
INK, MUTED, RULE = "#222222", "#737985", "#b9bec7"
LABELS = {name: info.label for name, info in METRICS.items()}
STEP_TICKS = [1, 2, 5, 9, 17, 33, 65, 129]


@alt.theme.register("bfkit", enable=True)
def _theme() -> alt.theme.ThemeConfig:
    axis = {"labelFontSize": 11, "titleFontSize": 12, "titleFontWeight": "normal", "labelColor": INK, "titleColor": INK}
    return {
        "config": {
            "font": "Helvetica, Arial, sans-serif",
            "background": "white",
            "title": {"fontSize": 14, "anchor": "start", "color": INK, "subtitleColor": MUTED, "offset": 10},
            "axis": {**axis, "gridColor": "#eceef2", "domainColor": RULE, "tickColor": RULE},
            "legend": {"labelFontSize": 12, "symbolStrokeWidth": 2.5, "symbolSize": 300, "orient": "bottom"},
            "header": {"labelFontSize": 12, "labelFontWeight": "bold", "labelColor": INK},
            "view": {"stroke": None},
            "line": {"strokeWidth": 2.2},
        }
    }


alt.renderers.enable("svg")  # a notebook then holds pictures, not scripts, and papermill keeps them


def _steps(title: str = "denoising steps", last: int = 129) -> alt.X:
    scale = alt.Scale(type="log", domain=[1, last])
    return alt.X("steps:Q", title=title, scale=scale, axis=alt.Axis(values=[t for t in STEP_TICKS if t <= last]))


def _titled(chart: alt.TopLevelMixin, title: str, subtitle: str) -> alt.TopLevelMixin:
    return chart.properties(title=alt.TitleParams(title, subtitle=subtitle or alt.Undefined))


def plateaus(curves: pl.DataFrame, plan: pl.DataFrame, measured: pl.DataFrame | None = None) -> alt.VConcatChart:
    """Prompts' curves and where each goes flat, a row a prompt, a panel a metric (Figure 5).

    ``curves`` has ``prompt, metric, steps, value`` at every step, ``plan`` is what ``StepAdvisor.steps`` returns, and
    ``measured``, if given, has measured values in the columns of ``curves``, drawn as rings.
    """
    rows = []
    for row in plan.iter_rows(named=True):
        own = curves.filter(prompt=row["prompt"])
        dots = None if measured is None else measured.filter(prompt=row["prompt"])
        panels = [_plateau_panel(own.filter(metric=name), name, row[name], row["steps"], dots) for name in LABELS]
        title = textwrap.wrap(f"“{row['prompt']}”: t* = {row['steps']}", 95)
        rows.append(alt.hconcat(*panels, spacing=28).properties(title=alt.TitleParams(title, fontSize=13)))
    return alt.vconcat(*rows, spacing=26)


def _plateau_panel(
    curve: pl.DataFrame, name: str, plateau: int, t_star: int, measured: pl.DataFrame | None
) -> alt.LayerChart:
    value = alt.Y("value:Q", title=LABELS[name], scale=alt.Scale(zero=False, nice=True))
    stop = pl.DataFrame(
        {"steps": [plateau], "value": [curve.filter(steps=plateau)["value"][0]], "text": [f"{plateau}"]}
    )
    base = alt.Chart(stop)
    line = alt.Chart(curve).mark_line(color=COLORS[name], strokeDash=DASHES[name]).encode(_steps(), value)
    layers = [
        alt.Chart(pl.DataFrame({"steps": [t_star]})).mark_rule(color=INK, strokeDash=[4, 3]).encode(_steps()),
        line,
        base.mark_point(filled=True, size=80, opacity=1, color=COLORS[name]).encode(_steps(), value),
        base.mark_text(dx=10, dy=-10, fontSize=12, fontWeight="bold", color=COLORS[name]).encode(
            _steps(), value, text="text"
        ),
    ]
    if measured is not None:
        rings = alt.Chart(measured.filter(metric=name)).mark_point(size=26, strokeWidth=1.3, color=COLORS[name])
        layers.append(rings.encode(_steps(), value))
    return alt.layer(*layers).properties(width=210, height=150)


def mean_curves(frame: pl.DataFrame, title: str, subtitle: str = "") -> alt.HConcatChart:
    """Mean scores with the middle half shaded, a panel a metric: a frame of ``metric, steps, mean, low, high``."""
    panels = []
    for name, label in LABELS.items():
        base, value = alt.Chart(frame.filter(metric=name)), alt.Scale(zero=False)
        band = base.mark_area(opacity=0.16, color=COLORS[name]).encode(
            _steps(), alt.Y("low:Q", title=label, scale=value), alt.Y2("high:Q")
        )
        point = alt.OverlayMarkDef(size=26, color=COLORS[name])
        line = base.mark_line(color=COLORS[name], strokeDash=DASHES[name], point=point).encode(_steps(), y="mean:Q")
        panels.append((band + line).properties(width=210, height=170))
    return _titled(alt.hconcat(*panels, spacing=28), title, subtitle)


def small_multiples(
    frame: pl.DataFrame, series: str, title: str, subtitle: str = "", columns: int = 4
) -> alt.ConcatChart:
    """A panel for each value of ``series``, each on a scale of its own: a frame of ``steps, value`` and that column."""
    panels = []
    for (name,), part in frame.group_by(series, maintain_order=True):
        line = alt.Chart(part).mark_line(color=INK, point=alt.OverlayMarkDef(size=26, color=INK))
        line = line.encode(_steps(), alt.Y("value:Q", title=None, scale=alt.Scale(zero=False)))
        panels.append(line.properties(title=alt.TitleParams(name, fontSize=12), width=165, height=140))
    return _titled(alt.concat(*panels, columns=columns), title, subtitle)


def bars(
    frame: pl.DataFrame, x: str, y: str, title: str, subtitle: str = "", *, x_title: str, digits: str = ".3f"
) -> alt.LayerChart:
    """Horizontal bars in the frame's order with their values at the end: ``y`` names the rows, ``x`` the lengths."""
    base = alt.Chart(frame).encode(alt.X(f"{x}:Q", title=x_title), alt.Y(f"{y}:N", sort=None))
    bar = base.mark_bar(color=COLORS["d_sim"], height={"band": 0.62})
    text = base.mark_text(align="left", dx=4).encode(text=alt.Text(f"{x}:Q", format=digits))
    return _titled(bar + text, title, subtitle).properties(width=380, height=alt.Step(26))


def errors(frame: pl.DataFrame, title: str, subtitle: str = "") -> alt.HConcatChart:
    """Mean absolute errors with intervals, a panel a metric (Table 1): ``metric, model, error, low, high``."""
    panels = []
    for name, label in LABELS.items():
        axis = alt.Undefined if not panels else alt.Axis(labels=False, ticks=False)  # named once, at the left
        base = alt.Chart(frame.filter(metric=name)).encode(alt.Y("model:N", title=None, sort=None, axis=axis))
        span = base.mark_rule(strokeWidth=2, color=COLORS[name]).encode(
            alt.X("low:Q", title="mean absolute error", scale=alt.Scale(zero=True), axis=alt.Axis(tickCount=4)),
            alt.X2("high:Q"),
        )
        dot = base.mark_point(filled=True, size=80, opacity=1, color=COLORS[name]).encode(x="error:Q")
        text = base.mark_text(dy=-12, fontSize=11).encode(x="error:Q", text=alt.Text("error:Q", format=".3f"))
        panels.append(
            (span + dot + text).properties(title=alt.TitleParams(label, fontSize=12), width=190, height=alt.Step(40))
        )
    return _titled(alt.hconcat(*panels), title, subtitle)


def _binned(frame: pl.DataFrame, x: str, width: float, by: Sequence[str] = ()) -> pl.DataFrame:
    bins = frame.with_columns(bin=(pl.col(x) / width).floor() * width).group_by("bin", *by).len(name="count")
    return bins.sort(*by, "bin").with_columns(end=pl.col("bin") + width)


def histogram(
    frame: pl.DataFrame, x: str, title: str, subtitle: str = "", *, x_title: str, y_title: str, width: float
) -> alt.Chart:
    """How often values fall into bins of a given width."""
    chart = alt.Chart(_binned(frame, x, width)).mark_bar(color=COLORS["d_sim"], stroke="white", strokeWidth=0.6)
    chart = chart.encode(
        alt.X("bin:Q", title=x_title), alt.X2("end:Q"), alt.Y("count:Q", title=y_title), y2=alt.datum(0)
    )
    return _titled(chart, title, subtitle).properties(width=430, height=220)


def two_histograms(
    frame: pl.DataFrame,
    x: str,
    by: str,
    title: str,
    subtitle: str = "",
    *,
    x_title: str,
    width: float,
    rule: float | None = None,
) -> alt.VConcatChart:
    """The same histogram for each value of ``by``, one under the other on one axis, with an optional marked value."""
    low, high = frame[x].min(), frame[x].max()
    panels = []
    for color, (name,) in zip(SERIES, frame.select(by).unique(maintain_order=True).iter_rows(), strict=False):
        bars_ = alt.Chart(_binned(frame.filter(pl.col(by) == name), x, width))
        bars_ = bars_.mark_bar(color=color, stroke="white", strokeWidth=0.6).encode(
            alt.X("bin:Q", title=x_title, scale=alt.Scale(domain=[low - width, high + width], nice=False)),
            alt.X2("end:Q"),
            alt.Y("count:Q", title="count"),
            y2=alt.datum(0),
        )
        layers = [bars_]
        if rule is not None:
            layers.append(
                alt.Chart(pl.DataFrame({"at": [rule]})).mark_rule(color=INK, strokeDash=[4, 3]).encode(x="at:Q")
            )
        panels.append(alt.layer(*layers).properties(title=alt.TitleParams(name, fontSize=12), width=430, height=120))
    return _titled(alt.vconcat(*panels, spacing=8), title, subtitle)


def scatter(
    frame: pl.DataFrame, x: str, y: str, title: str, subtitle: str = "", *, x_title: str, y_title: str
) -> alt.LayerChart:
    """Points, and a line through the medians of six equal parts along ``x``."""
    points = alt.Chart(frame).mark_circle(size=40, opacity=0.5, color=COLORS["d_sim"])
    points = points.encode(alt.X(f"{x}:Q", title=x_title), alt.Y(f"{y}:Q", title=y_title, scale=alt.Scale(zero=False)))
    parts = frame.sort(x).with_columns(part=pl.int_range(pl.len()) * 6 // pl.len())
    medians = parts.group_by("part").agg(pl.col(x, y).median()).sort("part")
    line = alt.Chart(medians).mark_line(
        color=COLORS["i_clip"], point=alt.OverlayMarkDef(color=COLORS["i_clip"], size=50)
    )
    line = line.encode(alt.X(f"{x}:Q"), alt.Y(f"{y}:Q"))
    return _titled(points + line, title, subtitle).properties(width=430, height=260)


def errors_by_step(frame: pl.DataFrame, title: str, subtitle: str = "") -> alt.HConcatChart:
    """Prediction error along the steps with its standard error, a panel a metric (Figure 12)."""
    panels = []
    bounded = frame.with_columns(low=pl.col("error") - pl.col("spread"), high=pl.col("error") + pl.col("spread"))
    for name, label in LABELS.items():
        base = alt.Chart(bounded.filter(metric=name))
        span = base.mark_rule(color=COLORS[name], strokeWidth=1.6).encode(
            _steps(), alt.Y("low:Q", title=f"error of {label}", scale=alt.Scale(zero=True)), alt.Y2("high:Q")
        )
        point = alt.OverlayMarkDef(size=30, color=COLORS[name])
        line = base.mark_line(color=COLORS[name], strokeDash=DASHES[name], point=point).encode(_steps(), y="error:Q")
        panels.append((span + line).properties(width=210, height=170))
    return _titled(alt.hconcat(*panels, spacing=28), title, subtitle)


def judging(frame: pl.DataFrame, title: str, subtitle: str = "") -> alt.LayerChart:
    """Time to measure a picture, a line a metric, named at its end: ``metric, side, milliseconds``."""
    labelled = frame.with_columns(label=pl.col("metric").replace_strict(LABELS))
    names = list(LABELS)
    base = alt.Chart(labelled).encode(
        alt.X("side:Q", title="side of the picture, pixels", axis=alt.Axis(values=frame["side"].unique().to_list())),
        alt.Y("milliseconds:Q", title="milliseconds a picture", scale=alt.Scale(zero=True)),
        alt.Color("metric:N", legend=None, scale=alt.Scale(domain=names, range=[COLORS[name] for name in names])),
    )
    dash = alt.StrokeDash("metric:N", legend=None, scale=alt.Scale(domain=names, range=[DASHES[n] for n in names]))
    ends = base.transform_filter(alt.datum.side == frame["side"].max())
    text = ends.mark_text(align="left", dx=8, fontSize=12, fontWeight="bold").encode(text="label:N")
    layers = (base.mark_line().encode(dash), base.mark_point(filled=True, size=40, opacity=1), text)
    return _titled(alt.layer(*layers), title, subtitle).properties(width=400, height=230)


def architecture(parts: Mapping[str, int], steps: Sequence[int], title: str, subtitle: str = "") -> alt.LayerChart:
    """The predictor unrolled along the steps (Figure 4): its parts from the input up, with their parameter counts."""
    shown = [*steps[:3], None, *steps[-2:]] if len(steps) > 6 else list(steps)
    levels = ["prompt + step", *parts, "score"]
    cells = [
        {"x": column, "y": level, "text": "..." if step is None else f"t = {step}" if not level else ""}
        for column, step in enumerate(shown)
        for level in range(len(levels))
    ]
    names = [
        {"y": level, "text": name if name not in parts else f"{name}: {parts[name]:,} parameters"}
        for level, name in enumerate(levels)
    ]
    across = alt.X("x:Q", axis=None, scale=alt.Scale(domain=[-0.6, len(shown) + 2.4]))
    up = alt.Y("y:Q", axis=None, scale=alt.Scale(domain=[-0.6, len(levels) - 0.4]))
    base = alt.Chart(pl.DataFrame(cells)).encode(across, up)
    arrows = [{"x": c, "y": y, "y2": y + 1, "x2": c} for c in range(len(shown)) for y in range(len(levels) - 1)]
    arrows += [
        {"x": c, "x2": c + 1, "y": 1, "y2": 1} for c in range(len(shown) - 1)
    ]  # the LSTM walks along the steps, both ways
    lines = alt.Chart(pl.DataFrame(arrows)).mark_rule(color=MUTED, strokeWidth=1.4)
    box = base.mark_square(size=1500, color="white", stroke=COLORS["d_sim"], strokeWidth=1.6, opacity=1)
    labels = alt.Chart(pl.DataFrame(names)).mark_text(align="left", fontSize=12, color=INK)
    layers = (
        lines.encode(across, alt.X2("x2:Q"), up, alt.Y2("y2:Q")),
        box,
        base.mark_text(fontSize=11, color=INK).encode(text="text:N"),
        labels.encode(alt.X(datum=len(shown) - 0.3), up, text="text:N"),
    )
    return _titled(alt.layer(*layers), title, subtitle).properties(width=620, height=64 * len(levels))
