"""Plain shapes for any tidy frame: bars, histograms, points, small multiples."""

from collections.abc import Sequence

import altair as alt
import polars as pl

from .theme import COLORS, INK, MUTED, SERIES, Layers, steps_axis, titled


def small_multiples(
    frame: pl.DataFrame, series: str, title: str, subtitle: str = "", columns: int = 4
) -> alt.ConcatChart:
    """A panel for each value of ``series``, each on a scale of its own: a frame of ``steps, value`` and that column."""
    panels = []
    for (name,), part in frame.group_by(series, maintain_order=True):
        line = alt.Chart(part).mark_line(color=INK, point=alt.OverlayMarkDef(size=26, color=INK))
        line = line.encode(steps_axis(), alt.Y("value:Q", title=None, scale=alt.Scale(zero=False)))
        panels.append(line.properties(title=alt.TitleParams(name, fontSize=12), width=165, height=140))
    return titled(alt.concat(*panels, columns=columns, bounds="flush", spacing=58), title, subtitle)


def bars(
    frame: pl.DataFrame, x: str, y: str, title: str, subtitle: str = "", *, x_title: str, digits: str = ".3f"
) -> Layers:
    """Horizontal bars in the frame's order with their values at the end: ``y`` names the rows, ``x`` the lengths."""
    base = alt.Chart(frame).encode(alt.X(f"{x}:Q", title=x_title), alt.Y(f"{y}:N", sort=None))
    bar = base.mark_bar(color=COLORS["d_sim"], height={"band": 0.62})
    text = base.mark_text(align="left", dx=4).encode(text=alt.Text(f"{x}:Q", format=digits))
    return titled(bar + text, title, subtitle).properties(width=380, height=alt.Step(26))


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
    return titled(chart, title, subtitle).properties(width=430, height=220)


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
    low, high = frame.select(low=pl.col(x).min(), high=pl.col(x).max()).row(0)
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
    return titled(alt.vconcat(*panels, spacing=8), title, subtitle)


def scatter(
    frame: pl.DataFrame,
    x: str,
    y: str,
    title: str,
    subtitle: str = "",
    *,
    x_title: str,
    y_title: str,
    diagonal: bool = False,
) -> Layers:
    """Points, those that lie on each other darker, and, with ``diagonal``, a line where both are the same."""
    points = alt.Chart(frame).mark_circle(size=44, opacity=0.45, color=COLORS["d_sim"])
    points = points.encode(
        alt.X(f"{x}:Q", title=x_title, scale=alt.Scale(zero=False)),
        alt.Y(f"{y}:Q", title=y_title, scale=alt.Scale(zero=False)),
    )
    layers = [points]
    if diagonal:
        low, high = frame.select(pl.max_horizontal(pl.col(x).min(), pl.col(y).min()),
                                 high=pl.min_horizontal(pl.col(x).max(), pl.col(y).max())).row(0)  # fmt: skip
        ends = alt.Chart(pl.DataFrame({x: [low, high], y: [low, high]}))
        layers.insert(0, ends.mark_line(color=MUTED, strokeDash=[4, 3], strokeWidth=1.4).encode(x=f"{x}:Q", y=f"{y}:Q"))
    return titled(alt.layer(*layers), title, subtitle).properties(width=430, height=260)
