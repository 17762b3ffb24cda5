"""Figures on quality against cost, and on what an oracle would reach: tidy frames in, an Altair chart out."""

import altair as alt
import numpy as np
import polars as pl

from bfkit.evaluation.oracle import TOLERANCE

from .theme import COLORS, INK, LABELS, MUTED, RULE, STEP_TICKS, Layers, log_steps, outlined, titled

# --- Eq. 8 and 9 -----------------------------------------------------------------------------------------------------


def efficiency(frame: pl.DataFrame, title: str, subtitle: str = "") -> alt.HConcatChart:
    """``quality_per_tflop``, a panel a metric: Eq. 8 with its standard error, and as diamonds the steps dealt out."""
    panels = []
    for name, label in LABELS.items():
        axis = alt.Undefined if not panels else alt.Axis(labels=False, ticks=False)  # named once, at the left
        rows = frame.filter(metric=name).with_columns(
            low=pl.col("efficiency") - pl.col("error"), high=pl.col("efficiency") + pl.col("error")
        )
        base = alt.Chart(rows).encode(alt.Y("condition:N", title=None, sort=None, axis=axis))
        across = alt.X(
            "efficiency:Q", title="quality per TFLOP", scale=alt.Scale(zero=True), axis=alt.Axis(tickCount=3)
        )
        dealt = base.mark_point(shape="diamond", size=170, strokeWidth=1.8, color=MUTED).encode(x="dealt:Q")
        span = base.mark_rule(strokeWidth=2, color=COLORS[name]).encode(alt.X("low:Q"), alt.X2("high:Q"))
        dot = base.mark_point(filled=True, size=60, opacity=1, color=COLORS[name]).encode(across)
        text = base.mark_text(dy=-15, fontSize=11).encode(x="efficiency:Q", text=alt.Text("efficiency:Q", format=".1f"))
        panels.append(
            (dealt + span + dot + text).properties(
                title=alt.TitleParams(label, fontSize=12), width=128, height=alt.Step(46)
            )
        )
    return titled(alt.hconcat(*panels, spacing=14), title, subtitle)


def relative_quality(
    summary: pl.DataFrame, title: str, subtitle: str = "", published: dict[str, float] | None = None
) -> Layers:
    """``relative_summary`` in percent with its intervals (Figure 8a); ``published`` values are hollow diamonds."""
    percent = summary.with_columns(pl.col("mean", "low", "high") * 100).with_columns(
        label=pl.col("metric").replace_strict(LABELS), text=pl.col("mean").map_elements("{:+.2f}%".format, pl.String)
    )
    order = [LABELS[name] for name in summary["metric"]]
    rows = alt.Y("label:N", title=None, sort=order)
    base = alt.Chart(percent).encode(rows, color=_metric_color())
    zero = alt.Chart(pl.DataFrame({"at": [0]})).mark_rule(color=INK, strokeDash=[4, 3]).encode(x="at:Q")
    span = base.mark_rule(strokeWidth=2.5).encode(alt.X("low:Q", title="quality against UNIFORM, %"), alt.X2("high:Q"))
    dot = base.mark_point(filled=True, size=90, opacity=1).encode(x="mean:Q")
    layers = [zero, span, dot, outlined(base.encode(x="mean:Q"), "text", dy=-14, fontSize=12)]
    if published:
        stated = pl.DataFrame(
            [{"label": LABELS[m], "mean": 100 * v, "text": f"paper {v:.1%}"} for m, v in published.items()]
        )
        other = alt.Chart(stated).encode(rows, x="mean:Q")
        layers.append(other.mark_point(shape="diamond", size=110, strokeWidth=2, color=MUTED))
        layers.append(other.mark_text(dy=-14, fontSize=11, color=MUTED).encode(text="text:N"))
    return titled(alt.layer(*layers).properties(width=440, height=alt.Step(48)), title, subtitle)


def _metric_color() -> alt.Color:
    return alt.Color(
        "metric:N", scale=alt.Scale(domain=list(COLORS), range=list(COLORS.values())), legend=None
    )  # fmt: skip


# --- oracle ----------------------------------------------------------------------------------------------------------


def against_oracle(
    ours: np.ndarray, oracle: np.ndarray, title: str, subtitle: str = "", tolerance: float = TOLERANCE
) -> Layers:
    """Each prompt's steps against ORACLE's, both logarithmic; between the lines the two agree within ``tolerance``."""
    points = pl.DataFrame({"ours": ours, "oracle": oracle}).group_by("ours", "oracle").len("prompts")
    both = np.concatenate([ours, oracle])
    bottom, top = both.min() / 1.25, both.max() * 1.25
    line = np.geomspace(bottom, top, 60)
    band = pl.DataFrame({"oracle": line, "low": np.maximum(line * (1 - tolerance), bottom),
                         "high": np.minimum(line * (1 + tolerance), top)})  # fmt: skip
    across = log_steps("oracle", "ORACLE's steps, from the measured curves", (bottom, top))
    up = alt.Scale(type="log", domain=[bottom, top], nice=False)
    axis = alt.Axis(values=[tick for tick in STEP_TICKS if bottom <= tick <= top])
    corridor = alt.Chart(band).mark_area(color=RULE, opacity=0.45).encode(
        across, alt.Y("low:Q", scale=up, axis=axis, title="OURS' steps, from the words"), alt.Y2("high:Q")
    )  # fmt: skip
    dots = alt.Chart(points).mark_circle(opacity=0.65, color=COLORS["d_sim"]).encode(
        across, alt.Y("ours:Q", scale=up), alt.Size("prompts:Q", scale=alt.Scale(range=[40, 200]), legend=None)
    )  # fmt: skip
    words = pl.DataFrame({"oracle": [bottom * 1.05, top / 1.05], "ours": [top / 1.08, bottom * 1.08],
                          "text": ["over-generation", "under-generation"], "align": ["left", "right"]})  # fmt: skip
    notes = [
        alt.Chart(words.filter(align=align)).mark_text(align=align, fontSize=12, color=MUTED, fontStyle="italic")
        .encode(across, alt.Y("ours:Q", scale=up), text="text:N")
        for align in ("left", "right")
    ]  # fmt: skip
    return titled(alt.layer(corridor, dots, *notes).properties(width=400, height=340), title, subtitle)
