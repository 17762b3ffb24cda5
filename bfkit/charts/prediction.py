"""Figures on curves, plateaus and the predictor: tidy frames in, an Altair chart out."""

import textwrap
from collections.abc import Mapping, Sequence

import altair as alt
import polars as pl

from .theme import COLORS, DASHES, INK, LABELS, MUTED, Layers, steps_axis, titled


def plateaus(curves: pl.DataFrame, chosen: pl.DataFrame, measured: pl.DataFrame | None = None) -> alt.VConcatChart:
    """Prompts' curves and where each goes flat, a row a prompt, a panel a metric (Figure 5).

    ``curves`` has ``prompt, metric, steps, value`` at every step, ``chosen`` is what ``StepAdvisor.steps`` returns, and
    ``measured``, if given, has measured values in the columns of ``curves``, drawn as rings.
    """
    rows = []
    for row in chosen.iter_rows(named=True):
        own = curves.filter(prompt=row["prompt"])
        dots = None if measured is None else measured.filter(prompt=row["prompt"])
        panels = [_plateau_panel(own.filter(metric=name), name, row[name], row["steps"], dots) for name in LABELS]
        title = textwrap.wrap(f"“{row['prompt']}”: t* = {row['steps']}", 95)
        rows.append(alt.hconcat(*panels, spacing=28).properties(title=alt.TitleParams(title, fontSize=13)))
    return alt.vconcat(*rows, spacing=26)


def _plateau_panel(curve: pl.DataFrame, name: str, plateau: int, t_star: int, measured: pl.DataFrame | None) -> Layers:
    value = alt.Y("value:Q", title=LABELS[name], scale=alt.Scale(zero=False, nice=True))
    stop = pl.DataFrame(
        {"steps": [plateau], "value": [curve.filter(steps=plateau)["value"][0]], "text": [f"{plateau}"]}
    )
    base = alt.Chart(stop)
    line = alt.Chart(curve).mark_line(color=COLORS[name], strokeDash=DASHES[name]).encode(steps_axis(), value)
    layers = [
        alt.Chart(pl.DataFrame({"steps": [t_star]})).mark_rule(color=INK, strokeDash=[4, 3]).encode(steps_axis()),
        line,
        base.mark_point(filled=True, size=80, opacity=1, color=COLORS[name]).encode(steps_axis(), value),
        base.mark_text(dx=10, dy=-10, fontSize=12, fontWeight="bold", color=COLORS[name]).encode(
            steps_axis(), value, text="text"
        ),
    ]
    if measured is not None:
        rings = alt.Chart(measured.filter(metric=name)).mark_point(size=26, strokeWidth=1.3, color=COLORS[name])
        layers.append(rings.encode(steps_axis(), value))
    return alt.layer(*layers).properties(width=210, height=150)


def mean_curves(frame: pl.DataFrame, title: str, subtitle: str = "") -> alt.HConcatChart:
    """Mean scores with the middle half shaded, a panel a metric: a frame of ``metric, steps, mean, low, high``."""
    panels = []
    for name, label in LABELS.items():
        base, value = alt.Chart(frame.filter(metric=name)), alt.Scale(zero=False)
        band = base.mark_area(opacity=0.16, color=COLORS[name]).encode(
            steps_axis(), alt.Y("low:Q", title=label, scale=value), alt.Y2("high:Q")
        )
        point = alt.OverlayMarkDef(size=26, color=COLORS[name])
        line = base.mark_line(color=COLORS[name], strokeDash=DASHES[name], point=point).encode(steps_axis(), y="mean:Q")
        panels.append((band + line).properties(width=210, height=170))
    return titled(alt.hconcat(*panels, spacing=28), title, subtitle)


def errors(frame: pl.DataFrame, title: str, subtitle: str = "") -> alt.HConcatChart:
    """Mean absolute errors with intervals, a panel a metric (Table 1): ``metric, model, error, low, high``."""
    panels = []
    for name, label in LABELS.items():
        axis = alt.Undefined if not panels else alt.Axis(labels=False, ticks=False)  # named once, at the left
        base = alt.Chart(frame.filter(metric=name)).encode(alt.Y("model:N", title=None, sort=None, axis=axis))
        span = base.mark_rule(strokeWidth=2, color=COLORS[name]).encode(
            alt.X(
                "low:Q",
                title="mean absolute error",
                scale=alt.Scale(zero=True),
                axis=alt.Axis(tickCount=3, format="~g"),
            ),
            alt.X2("high:Q"),
        )
        dot = base.mark_point(filled=True, size=80, opacity=1, color=COLORS[name]).encode(x="error:Q")
        text = base.mark_text(dy=-12, fontSize=11).encode(x="error:Q", text=alt.Text("error:Q", format=".2~r"))
        panels.append(
            (span + dot + text).properties(title=alt.TitleParams(label, fontSize=12), width=190, height=alt.Step(40))
        )
    return titled(alt.hconcat(*panels), title, subtitle)


def errors_by_step(frame: pl.DataFrame, title: str, subtitle: str = "") -> alt.HConcatChart:
    """Prediction error along the steps with its standard error, a panel a metric (Figure 12)."""
    panels = []
    bounded = frame.with_columns(low=pl.col("error") - pl.col("spread"), high=pl.col("error") + pl.col("spread"))
    for name, label in LABELS.items():
        base = alt.Chart(bounded.filter(metric=name))
        span = base.mark_rule(color=COLORS[name], strokeWidth=1.6).encode(
            steps_axis(), alt.Y("low:Q", title=f"error of {label}", scale=alt.Scale(zero=True)), alt.Y2("high:Q")
        )
        point = alt.OverlayMarkDef(size=30, color=COLORS[name])
        line = base.mark_line(color=COLORS[name], strokeDash=DASHES[name], point=point).encode(
            steps_axis(), y="error:Q"
        )
        panels.append((span + line).properties(width=210, height=170))
    return titled(alt.hconcat(*panels, spacing=28), title, subtitle)


def scoring_time(frame: pl.DataFrame, title: str, subtitle: str = "") -> Layers:
    """Time to measure a picture, a line a metric, named where it begins: ``metric, side, milliseconds``."""
    labelled = frame.with_columns(label=pl.col("metric").replace_strict(LABELS))
    names = list(LABELS)
    base = alt.Chart(labelled).encode(
        alt.X("side:Q", title="side of the picture, pixels", axis=alt.Axis(values=frame["side"].unique().to_list())),
        alt.Y("milliseconds:Q", title="milliseconds a picture", scale=alt.Scale(type="log", nice=True)),
        alt.Color("metric:N", legend=None, scale=alt.Scale(domain=names, range=[COLORS[name] for name in names])),
    )
    dash = alt.StrokeDash("metric:N", legend=None, scale=alt.Scale(domain=names, range=[DASHES[n] for n in names]))
    starts = base.transform_filter(alt.datum.side == frame["side"].min())
    text = starts.mark_text(align="left", dx=8, dy=13, fontSize=12, fontWeight="bold").encode(text="label:N")
    layers = (base.mark_line().encode(dash), base.mark_point(filled=True, size=40, opacity=1), text)
    return titled(alt.layer(*layers), title, subtitle).properties(width=400, height=230)


def architecture(parts: Mapping[str, int], steps: Sequence[int], title: str, subtitle: str = "") -> Layers:
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
    return titled(alt.layer(*layers), title, subtitle).properties(width=620, height=64 * len(levels))
