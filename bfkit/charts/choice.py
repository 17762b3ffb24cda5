"""Figures on what Eq. 7 leaves to choose: its weights; and on what the choice of words does to t*."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

import altair as alt
import polars as pl

from bfkit import paper

from .theme import COLORS, INK, LABELS, RULE, STEP_TICKS, Layers, outlined, titled

SQUARE = 118  # pixels of a slice


def weight_surface(
    search: pl.DataFrame,
    title: str,
    subtitle: str = "",
    *,
    value: str = "efficiency",
    value_title: str = "quality per TFLOP",
    kept: float = 0.0,
) -> alt.VConcatChart:
    """``search_weights`` in slices, a panel a pair of weights, ``value`` as colour: through the paper's point, and
    below through the best that may be chosen.

    White dots are the weights that keep ``kept`` of REFERENCE's quality (no dots: all may be chosen, and where nothing
    keeps as much there is no best); a circle marks the paper's point, a diamond the best.
    """
    allowed = search.filter(pl.col("kept") >= kept)
    points: dict[str, Mapping[str, float]] = {"paper": paper.WEIGHTS}
    if len(allowed):
        best = allowed.sort(value).row(-1, named=True)
        points["best"] = {name: best[f"w_{name}"] for name in LABELS}
    rows = [_slices(search, point, label) for label, point in points.items()]
    drawn = pl.concat([each.part for slices in rows for each in slices])
    ends = drawn.select(low=pl.col(value).min(), high=pl.col(value).max()).row(0)
    color = alt.Color(f"{value}:Q", title=value_title, scale=alt.Scale(scheme="viridis", domain=ends),
                      legend=alt.Legend(gradientLength=231, tickCount=4))  # fmt: skip
    panels = [alt.hconcat(*(_panel(each, kept, value, color) for each in slices), spacing=12) for slices in rows]
    return titled(alt.vconcat(*panels, spacing=16), title, subtitle)


@dataclass(frozen=True)
class _Slice:
    """The weights of a search with that of one metric held where a point has it."""

    part: pl.DataFrame
    pair: tuple[str, str]
    held: str
    point: Mapping[str, float]
    label: str  # whose point it is


def _slices(search: pl.DataFrame, point: Mapping[str, float], label: str) -> list[_Slice]:
    names = list(LABELS)
    return [
        _Slice(search.filter(pl.col(f"w_{held}") == point[held]), pair, held, point, label)
        for pair, held in zip(itertools.combinations(names, 2), reversed(names), strict=True)
    ]


def _panel(each: _Slice, kept: float, value: str, color: alt.Color) -> Layers:
    part, columns = each.part, [f"w_{name}" for name in each.pair]
    across, up = (
        channel(f"{column}:O", title=f"weight of {LABELS[name]}", sort=order,
                axis=alt.Axis(values=part[column].unique().sort().to_list()[::5], labelAngle=0, format=".1f"))
        for channel, column, name, order in zip(
            (alt.X, alt.Y), columns, each.pair, ("ascending", "descending"), strict=True)
    )  # fmt: skip
    layers: list[alt.Chart | Layers] = [alt.Chart(part.select(*columns, value)).mark_rect().encode(across, up, color)]
    if kept:
        dots = alt.Chart(part.filter(pl.col("kept") >= kept).select(columns)).mark_circle(
            size=7, color="white", opacity=1
        )
        layers.append(dots.encode(across, up))
    place = {column: each.point[name] for column, name in zip(columns, each.pair, strict=True)}
    base = alt.Chart(pl.DataFrame([{**place, "text": each.label}])).encode(across, up)
    shape = "circle" if each.point is paper.WEIGHTS else "diamond"
    layers += [base.mark_point(shape=shape, size=110, strokeWidth=width, color=ink, opacity=1)
               for width, ink in ((5, "white"), (2, INK))]  # fmt: skip
    layers.append(outlined(base, "text", fontSize=12, fontWeight="bold", dy=-15))
    heading = alt.TitleParams(f"{LABELS[each.held]} at the {each.label}'s {each.point[each.held]:.1f}", fontSize=12)
    return alt.layer(*layers).properties(width=SQUARE, height=SQUARE, title=heading)


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
    return titled(span + circles, title, subtitle).properties(width=480, height=240)
