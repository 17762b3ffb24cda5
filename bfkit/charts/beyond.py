"""Figures beyond the paper: shares over the steps, what knowing is worth, curves drawn at every step count."""

from collections.abc import Sequence

import altair as alt
import numpy as np
import polars as pl

from .theme import COLORS, DASHES, INK, LABELS, MUTED, SERIES, Layers, lines, log_steps, outlined, steps_axis, titled

TONES = [*SERIES, "#a3621b", MUTED, INK]
STROKES = [[1, 0], [7, 3], [2, 2], [10, 3, 2, 3], [5, 2], [1, 3], [12, 4]]


def by_steps(
    frame: pl.DataFrame,
    series: str,
    title: str,
    subtitle: str = "",
    *,
    y_title: str,
    y_format: str = "%",
    logarithmic: bool = False,
) -> Layers:
    """A line a series with its interval, over the steps, named at its end: ``steps, value, low, high`` and the series.

    Names that would meet are pushed apart; metrics have their own colours. At most seven series; ``logarithmic`` where
    values fall by orders.
    """
    names = frame[series].unique(maintain_order=True).to_list()
    own = {label: (COLORS[metric], DASHES[metric]) for metric, label in LABELS.items() if label in names}
    others = iter(
        pair for pair in zip(TONES, STROKES, strict=True) if pair[0] not in [tone for tone, _ in own.values()]
    )
    marks = [own.get(name) or next(others) for name in names]
    tones, strokes = (alt.Scale(domain=names, range=list(each)) for each in zip(*marks, strict=True))
    low, high, *span = frame.select(
        low=pl.col("low").min(), high=pl.col("high").max(), first=pl.col("steps").min(), last=pl.col("steps").max()
    ).row(0)
    there, back = (np.log, np.exp) if logarithmic else (np.asarray, np.asarray)
    ends = frame.filter(pl.col("steps") == span[1]).sort("value")
    spread = _apart(there(ends["value"].to_numpy()).tolist(), 0.055 * float(there(high) - there(low)))
    ends = ends.with_columns(at=pl.Series(back(spread)))
    color = alt.Color(f"{series}:N", scale=tones, legend=None)
    bottom, top = min(low, ends["at"].min()), max(high, ends["at"].max())
    value = alt.Scale(type="log" if logarithmic else "linear", domain=[bottom, top], nice=not logarithmic)
    up = alt.Y("value:Q", title=y_title, scale=value, axis=alt.Axis(format=y_format, tickCount=6))
    across = log_steps("steps", "denoising steps", (span[0], span[1]))
    base = alt.Chart(frame).encode(across)
    band = base.mark_area(opacity=0.12).encode(alt.Y("low:Q", scale=value, title=y_title), alt.Y2("high:Q"), color)
    line = base.mark_line(point=alt.OverlayMarkDef(size=24)).encode(
        up, color, alt.StrokeDash(f"{series}:N", scale=strokes, legend=None)
    )
    text = alt.Chart(ends).mark_text(align="left", dx=8, fontSize=12)
    text = text.encode(across, alt.Y("at:Q", scale=value), color, text=f"{series}:N")
    return titled(band + line + text, title, subtitle).properties(width=390, height=270)


def _apart(values: Sequence[float], gap: float) -> list[float]:
    """Rising values, none nearer than ``gap`` to the one below, and all together where they were."""
    placed: list[float] = []
    for value in values:
        placed.append(max(value, placed[-1] + gap) if placed else value)
    off = (sum(placed) - sum(values)) / len(values)
    return [value - off for value in placed]


def shares(
    frame: pl.DataFrame, rows: str, panels: str, title: str, subtitle: str = "", *, x_title: str, wide: int = 290
) -> alt.VConcatChart:
    """A share with its interval, a line a value of ``rows``, a panel a value of ``panels``: ``value, low, high``.

    Panels stand under each other on one axis, each with rows of its own. Numbers stand beside the intervals; a rule
    marks nothing gained.
    """
    low, high = frame.select(low=pl.min_horizontal(pl.col("low").min(), 0), high=pl.col("high").max()).row(0)
    span = alt.Scale(domain=[low - 0.05 * (high - low), high + 0.16 * (high - low)], nice=False)
    drawn = []
    for (name,), part in frame.group_by(panels, maintain_order=True):
        part = part.with_columns(text=pl.col("value").map_elements("{:+.0%}".format, pl.String))
        base = alt.Chart(part).encode(alt.Y(f"{rows}:N", sort=None, title=None, axis=alt.Axis(labelLimit=230)))
        across = alt.X("low:Q", title=None, scale=span, axis=alt.Axis(format="%", tickCount=5))
        zero = alt.Chart(pl.DataFrame({"at": [0]})).mark_rule(color=INK, strokeDash=[4, 3]).encode(x="at:Q")
        line = base.mark_rule(strokeWidth=2.2, color=COLORS["d_sim"]).encode(across, alt.X2("high:Q"))
        dot = base.mark_point(filled=True, size=70, opacity=1, color=COLORS["d_sim"]).encode(x="value:Q")
        text = outlined(base.encode(x="high:Q"), "text", align="left", dx=6)
        heading = alt.TitleParams(f"{name}: {x_title}", fontSize=12)
        drawn.append((zero + line + dot + text).properties(title=heading, width=wide, height=alt.Step(22)))
    return titled(alt.vconcat(*drawn, spacing=14), title, subtitle)


def dense(
    prompts: Sequence[str], drawn: np.ndarray, joined: np.ndarray, counts: Sequence[int], title: str, subtitle: str = ""
) -> alt.ConcatChart:
    """Curves (N, T) drawn at every step count, a panel a prompt, and those that join ``counts`` by straight lines."""
    steps, panels = np.arange(1, drawn.shape[1] + 1), []
    for prompt, own, joint in zip(prompts, drawn, joined, strict=True):
        frame = pl.DataFrame({"steps": steps, "drawn": own, "joined": joint})
        base = alt.Chart(frame).encode(steps_axis(last=int(steps[-1])))
        up = {"title": None, "scale": alt.Scale(zero=True)}
        line = base.mark_line(color=COLORS["d_sim"], strokeWidth=1.6).encode(alt.Y("drawn:Q", **up))
        dashed = base.mark_line(color=COLORS["i_clip"], strokeDash=[5, 3], strokeWidth=1.6)
        other = dashed.encode(alt.Y("joined:Q", **up))
        dots = alt.Chart(frame.filter(pl.col("steps").is_in(list(counts)))).mark_circle(
            size=34, opacity=1, color=COLORS["i_clip"]
        ).encode(steps_axis(last=int(steps[-1])), alt.Y("joined:Q", **up))  # fmt: skip
        heading = alt.TitleParams(lines(prompt, 34), fontSize=12)
        panels.append((line + other + dots).properties(title=heading, width=205, height=120))
    return titled(alt.concat(*panels, columns=2, bounds="flush", spacing=60), title, subtitle)
