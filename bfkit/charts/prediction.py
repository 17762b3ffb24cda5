"""Figures on the predictor: its errors, where along the curve they sit, and how its steps agree with measured ones."""

import altair as alt
import polars as pl

from .theme import COLORS, DASHES, INK, LABELS, MUTED, Layers, outlined, steps_axis, titled


def errors(frame: pl.DataFrame, title: str, subtitle: str = "") -> alt.VConcatChart:
    """Mean absolute errors with intervals, a panel a metric (Table 1): ``metric, model, error, low, high``."""
    panels = []
    for name, label in LABELS.items():
        rows = frame.filter(metric=name)
        ends = alt.Scale(
            domain=[0, 1.18 * float(rows["high"].to_numpy().max())], nice=False
        )  # the numbers stand at the right
        base = alt.Chart(rows).encode(alt.Y("model:N", title=None, sort=None, axis=alt.Axis(labelLimit=220)))
        span = base.mark_rule(strokeWidth=2, color=COLORS[name]).encode(
            alt.X("low:Q", title=None, scale=ends, axis=alt.Axis(tickCount=5, format="~g")), alt.X2("high:Q")
        )
        dot = base.mark_point(filled=True, size=60, opacity=1, color=COLORS[name]).encode(x="error:Q")
        text = base.mark_text(align="left", dx=6).encode(x="high:Q", text=alt.Text("error:Q", format=".2~r"))
        heading = alt.TitleParams(label, fontSize=12, color=COLORS[name])
        panels.append((span + dot + text).properties(title=heading, width=300, height=alt.Step(22)))
    return titled(alt.vconcat(*panels, spacing=14), title, subtitle)


def errors_by_step(frame: pl.DataFrame, title: str, subtitle: str = "") -> alt.HConcatChart:
    """Prediction error along the steps with its standard error, a panel a metric (Figure 12)."""
    panels = []
    bounded = frame.with_columns(low=pl.col("error") - pl.col("spread"), high=pl.col("error") + pl.col("spread"))
    for name, label in LABELS.items():
        base = alt.Chart(bounded.filter(metric=name))
        axis = alt.Axis(tickCount=4, format="~g")
        span = base.mark_rule(color=COLORS[name], strokeWidth=1.6).encode(
            steps_axis(), alt.Y("low:Q", title=None, scale=alt.Scale(zero=True), axis=axis), alt.Y2("high:Q")
        )
        point = alt.OverlayMarkDef(size=30, color=COLORS[name])
        line = base.mark_line(color=COLORS[name], strokeDash=DASHES[name], point=point).encode(
            steps_axis(), y="error:Q"
        )
        heading = alt.TitleParams(f"error of {label}", fontSize=12, color=COLORS[name])
        panels.append((span + line).properties(width=130, height=150, title=heading))
    return titled(alt.hconcat(*panels, spacing=14), title, subtitle)


def agreement(points: pl.DataFrame, found: pl.DataFrame, title: str, subtitle: str = "") -> alt.VConcatChart:
    """Predicted against measured t* (``predicted, measured``, a prompt a row), and how near that comes to its ceiling.

    ``found`` is ``prediction.t_star_agreement``: each plateau's correlation as a dot, the most that words can reach as
    a diamond, both with their intervals.
    """
    last = points.select(pl.max_horizontal("predicted", "measured").max()).item()
    both = alt.Scale(domain=[0, last * 1.03], nice=False)
    dots = alt.Chart(points).mark_circle(size=44, opacity=0.45, color=COLORS["d_sim"]).encode(
        alt.X("measured:Q", title="measured t* (steps)", scale=both),
        alt.Y("predicted:Q", title="predicted t* (steps)", scale=both),
    )  # fmt: skip
    ends = alt.Chart(pl.DataFrame({"at": [0, last]})).mark_line(color=MUTED, strokeDash=[4, 3], strokeWidth=1.4)
    same = ends.encode(alt.X("at:Q"), alt.Y("at:Q"))
    panels = alt.vconcat((same + dots).properties(width=300, height=260), _ceilings(found), spacing=18)
    return titled(panels, title, subtitle)


def _ceilings(found: pl.DataFrame) -> Layers:
    labels = {**{name: f"plateau of {label}" for name, label in LABELS.items()}, "all": "t*, the last of them"}
    rows = found.with_columns(label=pl.col("metric").replace_strict(labels))
    base = alt.Chart(rows).encode(alt.Y("label:N", sort=list(labels.values()), title=None))
    across = alt.Scale(domain=[min(-0.1, float(found["low"].to_numpy().min())), 1], nice=False)
    zero = alt.Chart(pl.DataFrame({"at": [0]})).mark_rule(color=INK, strokeDash=[4, 3]).encode(x="at:Q")
    named = "correlation with the measured steps (dot), at most (diamond)"
    span = base.mark_rule(strokeWidth=2.2, color=COLORS["d_sim"]).encode(
        alt.X("low:Q", title=named, scale=across, axis=alt.Axis(tickCount=5)), alt.X2("high:Q")
    )
    most = base.mark_rule(strokeWidth=2.2, color=COLORS["i_clip"], strokeDash=[3, 2]).encode(
        alt.X("ceiling_low:Q"), alt.X2("ceiling_high:Q")
    )
    dot = base.mark_point(filled=True, size=80, opacity=1, color=COLORS["d_sim"]).encode(x="correlation:Q")
    edge = base.mark_point(shape="diamond", size=110, strokeWidth=2, opacity=1, color=COLORS["i_clip"])
    text = outlined(base.encode(x="correlation:Q").transform_calculate(
        shown="format(datum.correlation, '.2f')"), "shown", dy=-12, fontSize=12)  # fmt: skip
    return alt.layer(zero, most, span, edge.encode(x="ceiling:Q"), dot, text).properties(width=300, height=alt.Step(34))


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
