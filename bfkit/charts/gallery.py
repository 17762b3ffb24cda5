"""Score curves small enough to stand beside pictures (Figure 13)."""

import io
from collections.abc import Mapping, Sequence

import altair as alt
import numpy as np
import polars as pl
from PIL import Image

from .theme import COLORS, DASHES, INK, LABELS, Layers, log_steps


def score_curves(
    curves: Mapping[str, np.ndarray], t_star: int, drawn: Sequence[int] = (), wide: int = 172, high: int = 82
) -> Layers:
    """A prompt's three curves (T,) on one axis from 0 to 1, its t* as a line, and a tick under each count drawn."""
    last = len(next(iter(curves.values())))
    steps = np.arange(1, last + 1)
    rows = pl.concat(
        pl.DataFrame({"steps": steps, "metric": name, "value": np.asarray(own, float)}) for name, own in curves.items()
    )
    names = list(curves)
    across = log_steps("steps", "", (1, last))
    up = alt.Y("value:Q", title=None, scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(values=[0, 0.5, 1]))
    color = alt.Color("metric:N", legend=None, scale=alt.Scale(domain=names, range=[COLORS[name] for name in names]))
    dash = alt.StrokeDash("metric:N", legend=None, scale=alt.Scale(domain=names, range=[DASHES[n] for n in names]))
    lines = alt.Chart(rows).mark_line(strokeWidth=2).encode(across, up, color, dash)
    rule = alt.Chart(pl.DataFrame({"steps": [t_star]})).mark_rule(color=INK, strokeWidth=1.5).encode(across)
    ticks = alt.Chart(pl.DataFrame({"steps": list(drawn), "value": [0.0] * len(drawn)}, {"steps": pl.Int64,
                      "value": pl.Float64})).mark_point(shape="triangle-up", size=26, filled=True, opacity=1,
                      color=INK).encode(across, up)  # fmt: skip
    return alt.layer(rule, lines, ticks).properties(width=wide, height=high)


def curve_names() -> str:
    """How the curves of ``score_curves`` are told apart, in words."""
    strokes = ("an unbroken line", "long dashes", "dots")
    tones = ("green", "blue", "red")
    return ", ".join(
        f"{label} {tone}, {stroke}" for label, tone, stroke in zip(LABELS.values(), tones, strokes, strict=True)
    )


def pictured(chart: alt.TopLevelMixin, scale: float = 2) -> Image.Image:
    """A chart as a picture, to be pasted beside others."""
    buffer = io.BytesIO()
    chart.save(buffer, format="png", scale_factor=scale)
    return Image.open(buffer).convert("RGB")
