"""Figures on other ways to draw sooner: tidy frames in, an Altair chart out."""

import altair as alt
import polars as pl

from .theme import COLORS, INK, RULE, SERIES, Layers, outlined, titled

TIMES = [0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100]


def systems(frame: pl.DataFrame, title: str, subtitle: str = "", metric: str = "d_sim_plain") -> Layers:
    """``table2.against_uniform`` of one metric at equal cost, systems from near to far: how far each stays from the
    picture it is measured against, as a multiple of UNIFORM's distance.

    REFERENCE is left out: it costs several times as much. Where UNIFORM has no distance there is nothing to draw.
    """
    rows = frame.filter(pl.col("metric") == metric, ~pl.col("system").is_in(["UNIFORM", "REFERENCE"]))
    rows = rows.drop_nulls("times").sort("times").with_columns(pl.col("times_low").clip(lower_bound=TIMES[0] / 2))
    rows = rows.with_columns(text=pl.col("times").map_elements("x {:.2f}".format, pl.String))
    base = alt.Chart(rows).encode(alt.Y("system:N", title=None, sort=rows["system"].to_list()))
    even = alt.Chart(pl.DataFrame({"at": [1]})).mark_rule(color=INK, strokeDash=[4, 3]).encode(x="at:Q")
    color = alt.when(alt.datum.system == "OURS").then(alt.value(COLORS["i_clip"])).otherwise(alt.value(COLORS["d_sim"]))
    low, high = rows.select(low=pl.min_horizontal(pl.col("times_low").min(), 0.8), high=pl.col("times_high").max()).row(
        0
    )
    scale = alt.Scale(type="log", domain=[low / 1.2, max(high, 1.25) * 1.2], nice=False)
    axis = alt.Axis(values=TIMES, format="~g")
    across = alt.X(
        "times_low:Q", title="distance, times UNIFORM's (logarithmic): left of 1 is nearer", axis=axis, scale=scale
    )
    span = base.mark_rule(strokeWidth=2.5).encode(across, alt.X2("times_high:Q"), color=color)
    dot = base.mark_point(filled=True, size=90, opacity=1).encode(alt.X("times:Q", scale=scale), color=color)
    text = outlined(base.encode(alt.X("times:Q", scale=scale)), "text", dy=-13, fontSize=11, color=INK)
    return titled(alt.layer(even, span, dot, text).properties(width=400, height=alt.Step(38)), title, subtitle)


def times(timed: pl.DataFrame, title: str, subtitle: str = "") -> Layers:
    """``cost.timed_pictures``, a dot a picture, seconds against steps, and each system's mean with its standard
    deviation (Figure 8b)."""
    means = timed.group_by("system", maintain_order=True).agg(
        pl.col("steps").mean(), mean=pl.col("seconds").mean(), sd=pl.col("seconds").std()
    )
    told = [f"{name}: {mean:.2f} s" + ("" if sd is None else f" ± {sd:.2f}")
            for name, _, mean, sd in means.iter_rows()]  # fmt: skip
    spread = pl.col("sd").fill_null(0)
    means = means.with_columns(text=pl.Series(told), low=pl.col("mean") - spread, high=pl.col("mean") + spread)
    top = max(timed.select(pl.col("seconds").max()).item(), means.select(pl.col("high").max()).item()) * 1.15
    up = alt.Y("seconds:Q", title="seconds a picture", scale=alt.Scale(domain=[0, top], nice=False))
    edge = 1.65 * means.select(pl.col("steps").max()).item()  # with room for the names
    across = alt.X("steps:Q", title="denoising steps", scale=alt.Scale(domain=[0, edge], nice=False))
    color = alt.Color("system:N", legend=None, scale=alt.Scale(domain=means["system"].to_list(), range=SERIES[:2]))
    dots = alt.Chart(timed).mark_circle(size=36, opacity=0.45).encode(across, up, color)
    base = alt.Chart(means).encode(across)
    span = base.mark_rule(strokeWidth=2.5).encode(alt.Y("low:Q"), alt.Y2("high:Q"), color)
    dot = base.mark_point(filled=True, size=110, opacity=1).encode(alt.Y("mean:Q"), color)
    text = outlined(base.encode(alt.Y("mean:Q")), "text", align="left", dx=10, dy=-12, fontSize=12, fontWeight="bold")
    return titled(alt.layer(dots, span, dot, text).properties(width=440, height=240), title, subtitle)


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
    color = alt.Color("sampler:N", scale=tones, title=None, legend=alt.Legend(symbolOpacity=1, columns=3))
    span = base.mark_rule(strokeWidth=1.2, opacity=0.5).encode(alt.Y("low:Q"), alt.Y2("high:Q"), color)
    shape = alt.Shape("sampler:N", scale=forms, title=None)
    dots = base.transform_filter("datum.dealt == 'OURS'").mark_point(filled=True, size=110, opacity=1)
    rings = base.transform_filter("datum.dealt == 'UNIFORM'")
    rings = rings.mark_point(size=110, opacity=1, fill="white", strokeWidth=2)
    layers = (front, span, rings.encode(color, shape), dots.encode(color, shape))
    return titled(alt.layer(*layers).properties(width=440, height=320), title, subtitle)


def inception(frame: pl.DataFrame, title: str, subtitle: str = "") -> Layers:
    """``inception.scores``: each system's score above REFERENCE's on the same prompts, with its interval."""
    told = [f"{row['difference']:+.2f} (score {row['score']:.2f})" for row in frame.iter_rows(named=True)]
    rows = frame.with_columns(text=pl.Series(told))
    base = alt.Chart(rows).encode(alt.Y("system:N", title=None, sort=rows["system"].to_list()))
    zero = alt.Chart(pl.DataFrame({"at": [0]})).mark_rule(color=INK, strokeDash=[4, 3]).encode(x="at:Q")
    across = alt.X("difference_low:Q", title="inception score above REFERENCE's", scale=alt.Scale(padding=40))
    span = base.mark_rule(strokeWidth=2.2, color=COLORS["d_sim"]).encode(across, alt.X2("difference_high:Q"))
    dot = base.mark_point(filled=True, size=80, opacity=1, color=COLORS["d_sim"]).encode(x="difference:Q")
    text = outlined(base.encode(x="difference:Q"), "text", dy=-12, fontSize=11)
    return titled(alt.layer(zero, span, dot, text).properties(width=400, height=alt.Step(36)), title, subtitle)
