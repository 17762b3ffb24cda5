"""Figures on other ways to draw sooner: tidy frames in, an Altair chart out."""

import altair as alt
import polars as pl

from .theme import COLORS, INK, RULE, SERIES, Layers, outlined, titled

NEAR = 0.001


def systems(frame: pl.DataFrame, title: str, subtitle: str = "", metric: str = "d_sim_plain") -> Layers:
    """``table2.against_uniform`` of one metric, systems from best to worst; UNIFORM is the zero.

    The axis is linear near zero and logarithmic beyond ``NEAR``, so that small gains and great losses can both be read.
    """
    rows = frame.filter(pl.col("metric") == metric, pl.col("system") != "UNIFORM").sort("gain", descending=True)
    rows = rows.with_columns(text=pl.col("gain").map_elements("{:+.4f}".format, pl.String))
    base = alt.Chart(rows).encode(alt.Y("system:N", title=None, sort=rows["system"].to_list()))
    zero = alt.Chart(pl.DataFrame({"at": [0]})).mark_rule(color=INK, strokeDash=[4, 3]).encode(x="at:Q")
    color = alt.when(alt.datum.system == "OURS").then(alt.value(COLORS["i_clip"])).otherwise(alt.value(COLORS["d_sim"]))
    ticks = alt.Axis(values=[-0.1, -0.01, -0.001, 0, 0.001, 0.01, 0.1], format="~g")
    span = base.mark_rule(strokeWidth=2.5).encode(
        alt.X(
            "low:Q",
            title="quality above UNIFORM's",
            axis=ticks,
            scale=alt.Scale(type="symlog", constant=NEAR, padding=30),
        ),
        alt.X2("high:Q"),
        color=color,
    )
    dot = base.mark_point(filled=True, size=90, opacity=1).encode(alt.X("gain:Q"), color=color)
    text = outlined(base.encode(x="gain:Q"), "text", dy=-13, fontSize=11, color=INK)
    return titled(alt.layer(zero, span, dot, text), title, subtitle).properties(width=460, height=alt.Step(40))


def combinations(frame: pl.DataFrame, title: str, subtitle: str = "") -> Layers:
    """``table2.combinations``: quality against cost, a colour and a shape a sampler, OURS filled, UNIFORM hollow.

    The grey line is the front: what no other point beats at the same cost or less.
    """
    samplers = frame["sampler"].unique(maintain_order=True).sort().to_list()  # the last is the plain pipeline
    others = len(samplers) - 1
    tones = alt.Scale(domain=samplers, range=[*SERIES[:others], INK])
    forms = alt.Scale(
        domain=samplers, range=[*("square", "diamond", "triangle-up", "triangle-down")[:others], "circle"]
    )
    ends = frame.select(low=pl.col("tflops").min() / 1.25, high=pl.col("tflops").max() * 1.25).row(0)
    base = alt.Chart(frame).encode(
        alt.X(
            "tflops:Q",
            title="TFLOPs a picture, counted",
            axis=alt.Axis(tickCount=5, format="~g"),
            scale=alt.Scale(type="log", domain=ends, nice=False),
        ),
        alt.Y(
            "quality:Q",
            title="1 - D-SIM to the finished picture",
            scale=alt.Scale(zero=False, domainMax=1.005, nice=False),
        ),
    )
    front = base.transform_filter("datum.front").mark_line(color=RULE, strokeWidth=6, interpolate="step-after")
    color = alt.Color("sampler:N", scale=tones, title=None, legend=alt.Legend(symbolOpacity=1))
    span = base.mark_rule(strokeWidth=1.2, opacity=0.5).encode(alt.Y("low:Q"), alt.Y2("high:Q"), color)
    shape = alt.Shape("sampler:N", scale=forms, title=None)
    dots = base.transform_filter("datum.dealt == 'OURS'").mark_point(filled=True, size=110, opacity=1)
    rings = base.transform_filter("datum.dealt == 'UNIFORM'")
    rings = rings.mark_point(size=110, opacity=1, fill="white", strokeWidth=2)
    layers = (front, span, rings.encode(color, shape), dots.encode(color, shape))
    return titled(alt.layer(*layers), title, subtitle).properties(width=560, height=320)
