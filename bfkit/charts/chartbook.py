"""Charts to be leafed through with a slider, drawn beforehand: no kernel is asked, and no network."""

import base64
import html
import io
from collections.abc import Sequence
from dataclasses import dataclass

import altair as alt
import numpy as np
import polars as pl

from bfkit.sampling.leafing import leafed

from .reading import in_words
from .theme import COLORS, INK, MUTED, SERIES, Layers, log_steps, titled


@dataclass(frozen=True)
class ChartBook:
    """Charts behind a slider; all of them, one after another, where no script runs.

    ``labels`` name them, ``over`` what the slider moves through, ``first`` is the one that is seen first.
    """

    leaves: Sequence[alt.TopLevelMixin]
    labels: Sequence[str]
    over: str
    first: int = 0

    def _repr_html_(self) -> str:
        frames = [
            f'<figure><img alt="{html.escape(in_words(chart))}" src="{_address(chart)}"></figure>'
            for chart in self.leaves
        ]
        return leafed(frames, self.labels, self.over, self.first, "charts")


def _address(chart: alt.TopLevelMixin) -> str:
    chart.save(drawn := io.StringIO(), format="svg")
    return f"data:image/svg+xml;base64,{base64.b64encode(drawn.getvalue().encode()).decode()}"


def kept_on_map(embeddings: np.ndarray, kept: Sequence[int], title: str, subtitle: str = "") -> alt.Chart:
    """Embeddings (N, D) where two numbers tell them apart best; those that are kept are filled."""
    centred = embeddings - embeddings.mean(axis=0)
    across, up = (centred @ np.linalg.svd(centred, full_matrices=False)[2][:2].T).T
    chosen = np.isin(np.arange(len(embeddings)), np.asarray(kept))
    frame = pl.DataFrame({"across": across, "up": up, "kept": chosen})
    bare = alt.Axis(labels=False, ticks=False, title=None)
    chart = alt.Chart(frame).mark_point(size=34, strokeWidth=1).encode(
        alt.X("across:Q", axis=bare), alt.Y("up:Q", axis=bare),
        fill=alt.condition(alt.datum.kept, alt.value(COLORS["d_sim"]), alt.value("white")),
        stroke=alt.condition(alt.datum.kept, alt.value("white"), alt.value(MUTED)),
    )  # fmt: skip
    return titled(chart.properties(width=430, height=250), title, subtitle)


def dealt(steps: np.ndarray, title: str, subtitle: str = "", last: int = 80, width: int = 4) -> alt.Chart:
    """How often each number of steps is dealt out, on axes that stay as they are while the steps spread."""
    counts, edges = np.histogram(np.clip(steps, 0, last - 1), np.arange(0, last + width, width))
    frame = pl.DataFrame({"from": edges[:-1], "to": edges[1:], "share": counts / len(steps)})
    bars = alt.Chart(frame).mark_bar(color=COLORS["d_sim"], stroke="white", strokeWidth=0.6, clip=True)
    chart = bars.encode(
        alt.X("from:Q", title="denoising steps", scale=alt.Scale(domain=[0, last], nice=False)),
        alt.X2("to:Q"),
        alt.Y("share:Q", title="share of the pictures", scale=alt.Scale(domain=[0, 0.4]), axis=alt.Axis(format="%")),
        y2=alt.datum(0),
    )
    return titled(chart.properties(width=430, height=200), title, subtitle)


def priced(losses: np.ndarray, names: Sequence[str], price: float, title: str, subtitle: str = "") -> Layers:
    """Loss plus price, of a few prompts (N, T) at steps 1 to T: a line a prompt, a dot where the sum is least."""
    steps = np.arange(1, losses.shape[1] + 1)
    total = losses + price * steps
    rows = [
        {"prompt": name, "steps": int(step), "sum": value, "least": int(step) == int(own.argmin()) + 1}
        for name, own in zip(names, total, strict=True)
        for step, value in zip(steps, own, strict=True)
    ]
    frame = pl.DataFrame(rows)
    top = float(losses.max()) * 1.3
    ink = alt.Color("prompt:N", title=None, sort=None, scale=alt.Scale(domain=list(names), range=SERIES[: len(names)]),
                    legend=alt.Legend(columns=1, labelLimit=0, symbolType="stroke"))  # fmt: skip
    base = alt.Chart(frame).encode(
        log_steps("steps", "denoising steps", (1, len(steps))),
        alt.Y("sum:Q", title="loss + price of the steps", scale=alt.Scale(domain=[0, top], clamp=True)),
        ink,
        alt.StrokeDash("prompt:N", title=None, sort=None, legend=None),
    )
    dots = base.transform_filter("datum.least").mark_point(filled=True, size=110, opacity=1, stroke="white")
    words = base.transform_filter("datum.least").mark_text(dy=-14, fontSize=12, color=INK)
    words = words.encode(text="steps:Q", color=alt.value(INK))
    return titled(alt.layer(base.mark_line(clip=True), dots, words).properties(width=430, height=250), title, subtitle)
