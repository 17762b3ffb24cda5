"""Figures on quality against cost, and on what an oracle would reach: tidy frames in, an Altair chart out."""

import itertools

import altair as alt
import numpy as np
import polars as pl

from bfkit import paper
from bfkit.evaluation.oracle import TOLERANCE

from .headings import headed
from .theme import COLORS, DASHES, INK, LABELS, MUTED, RULE, STEP_TICKS, Layers, log_steps, outlined, titled

# --- the weights of Eq. 7 --------------------------------------------------------------------------------------------


def weight_surface(
    search: pl.DataFrame,
    title: str,
    subtitle: str = "",
    *,
    value: str = "efficiency",
    value_title: str = "quality per TFLOP",
    kept: float = 0.0,
) -> alt.HConcatChart:
    """``search_weights`` in three slices through the paper's point, a panel a pair of weights: ``value`` as colour.

    White dots are the weights that keep ``kept`` of REFERENCE's quality (no dots: all may be chosen); each slice's best
    of them is marked, and so is the paper's point.
    """
    names = list(LABELS)
    slices = [search.filter(pl.col(f"w_{name}") == paper.WEIGHTS[name]) for name in reversed(names)]
    ends = pl.concat(slices).select(low=pl.col(value).min(), high=pl.col(value).max()).row(0)
    color = alt.Color(f"{value}:Q", title=value_title, scale=alt.Scale(scheme="viridis", domain=ends),
                      legend=alt.Legend(gradientLength=231, tickCount=4))  # fmt: skip
    panels = [
        _weight_slice(part, pair, value, color, kept).properties(
            title=alt.TitleParams(f"{LABELS[third]} at the paper's {paper.WEIGHTS[third]}", fontSize=12)
        )
        for part, pair, third in zip(slices, itertools.combinations(names, 2), reversed(names), strict=True)
    ]
    return titled(alt.hconcat(*panels, spacing=26), title, subtitle)


def _weight_slice(part: pl.DataFrame, pair: tuple[str, str], value: str, color: alt.Color, kept: float) -> Layers:
    allowed = part.filter(pl.col("kept") >= kept)
    columns = [f"w_{name}" for name in pair]
    across, up = (
        channel(f"{column}:O", title=f"weight of {LABELS[name]}", sort=order,
                axis=alt.Axis(values=part[column].unique().sort().to_list()[::5], labelAngle=0, format=".1f"))
        for channel, column, name, order in zip((alt.X, alt.Y), columns, pair, ("ascending", "descending"), strict=True)
    )  # fmt: skip
    stated = {column: paper.WEIGHTS[name] for column, name in zip(columns, pair, strict=True)}
    marks = [{**stated, "text": "paper"}]
    if len(allowed):
        marks.append({**allowed.sort(value).row(-1, named=True), "text": "best"})
    base = alt.Chart(pl.DataFrame(marks, schema=[*columns, "text"])).encode(across, up)
    shape = alt.Shape("text:N", scale=alt.Scale(domain=["paper", "best"], range=["circle", "diamond"]), legend=None)
    layers: list[alt.Chart | Layers] = [alt.Chart(part.select(*columns, value)).mark_rect().encode(across, up, color)]
    if kept:
        dots = alt.Chart(allowed.select(columns)).mark_circle(size=9, color="white", opacity=1)
        layers.append(dots.encode(across, up))
    layers += [base.mark_point(size=130, strokeWidth=width, color=ink, opacity=1).encode(shape)
               for width, ink in ((5, "white"), (2, INK))]  # fmt: skip
    for text, dy in (("paper", -16), ("best", 18)):  # they may be neighbours
        named = base.transform_filter(alt.datum.text == text)
        layers.append(outlined(named, "text", fontSize=12, fontWeight="bold", dy=dy))
    return alt.layer(*layers).properties(width=231, height=231)


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
    return headed(alt.hconcat(*panels, spacing=14), title, subtitle, 510)


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
    return headed(alt.layer(*layers).properties(width=440, height=alt.Step(48)), title, subtitle, 510)


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
    return headed(alt.layer(corridor, dots, *notes).properties(width=400, height=340), title, subtitle, 450)


def reliability(frame: pl.DataFrame, title: str, subtitle: str = "") -> Layers:
    """``oracle.reliability`` of the loss at each step count, a line a metric, named at its right end."""
    rows = frame.filter(pl.col("quantity") == "loss", pl.col("metric") != "all", pl.col("steps") > 1).with_columns(
        label=pl.col("metric").replace_strict(LABELS)
    )
    across = log_steps("steps", "denoising steps", (1.8, 129))
    up = alt.Y("reliability:Q", title="share of the variance that is the prompt's", scale=alt.Scale(domain=[-0.05, 1]),
               axis=alt.Axis(format="%", values=[0, 0.25, 0.5, 0.75, 1]))  # fmt: skip
    dash = alt.StrokeDash("metric:N", scale=alt.Scale(domain=list(DASHES), range=list(DASHES.values())), legend=None)
    base = alt.Chart(rows).encode(across, up, _metric_color())
    ends = base.transform_filter(f"datum.steps == {rows['steps'].max()}")
    names = ends.mark_text(align="left", dx=8, fontSize=12, fontWeight="bold")
    layers = (
        base.mark_line().encode(dash),
        base.mark_point(filled=True, size=40, opacity=1),
        names.encode(text="label:N"),
    )
    return titled(alt.layer(*layers), title, subtitle).properties(width=460, height=260)


def paraphrases(frame: pl.DataFrame, title: str, subtitle: str = "") -> Layers:
    """t* of every wording, scene by scene in the order of their means: a frame of ``scene, steps``."""
    means = frame.group_by("scene").agg(
        low=pl.col("steps").min(), high=pl.col("steps").max(), mean=pl.col("steps").mean()
    )
    means = means.sort("mean", "scene").with_row_index("rank", offset=1)
    dots = (
        frame.join(means.select("scene", "rank"), on="scene")
        .group_by("rank", "steps")
        .len("wordings")
        .sort("rank", "steps")
    )
    across = alt.X("rank:Q", title="scenes, in the order of their mean t*", axis=alt.Axis(grid=False))
    least, most = means.select(pl.col("low").min(), pl.col("high").max()).row(0)
    bottom, top = least / 1.1, most * 1.1
    scale = alt.Scale(type="log", domain=[bottom, top], nice=False)
    axis = alt.Axis(values=[tick for tick in STEP_TICKS if bottom <= tick <= top])
    span = alt.Chart(means).mark_rule(color=RULE, strokeWidth=2).encode(
        across, alt.Y("low:Q", title="t* of each wording, steps", scale=scale, axis=axis), alt.Y2("high:Q")
    )  # fmt: skip
    circles = alt.Chart(dots).mark_circle(color=COLORS["d_sim"], opacity=0.75, size=34).encode(
        across, alt.Y("steps:Q", scale=scale)
    )  # fmt: skip
    return titled(span + circles, title, subtitle).properties(width=620, height=250)
