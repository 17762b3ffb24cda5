"""Prompts' curves and where each goes flat, with the pictures that belong to them (Figures 3 and 5)."""

from collections.abc import Mapping, Sequence

import altair as alt
import numpy as np
import polars as pl

from bfkit import paper
from bfkit.metrics.registry import METRICS

from .theme import COLORS, DASHES, INK, LABELS, MUTED, Drawn, Layers, lines, steps_axis, titled

Strip = Sequence[tuple[int, str]]  # step counts, each with its picture as the address of an image
PANEL, TALL = 130, 120  # pixels: three panels abreast are as wide as a telephone can show
THUMB, PLACE = 64, 73  # pixels: a picture of a strip, and the room it has


def plateaus(
    curves: pl.DataFrame,
    chosen: pl.DataFrame,
    measured: pl.DataFrame | None = None,
    pictures: Mapping[str, Strip] | None = None,
    weights: Mapping[str, float] = paper.WEIGHTS,
) -> alt.VConcatChart:
    """Prompts' curves and where each goes flat, a row a prompt, a panel a metric (Figure 5).

    ``curves`` has ``prompt, metric, steps, value`` at every step, ``chosen`` is what ``StepAdvisor.steps`` returns, and
    ``measured``, if given, has measured values in the columns of ``curves``, drawn as rings. The dotted line is Eq. 7's
    ruler with its ``weights``: what stands out from it has not gone flat. With ``pictures`` it is Figure 3: from the
    prompt to its curves, to t*, to the pictures drawn in ever more steps, those beyond t* pale.
    """
    rows = []
    for row in chosen.iter_rows(named=True):
        own = curves.filter(prompt=row["prompt"])
        dots = None if measured is None else measured.filter(prompt=row["prompt"])
        names = own["metric"].unique(maintain_order=True).to_list()
        wide = PANEL if len(names) > 1 else 2 * PANEL
        panels = [
            _panel(own.filter(metric=name), name, row, dots, weights[name]).properties(width=wide) for name in names
        ]
        abreast = alt.hconcat(*panels, spacing=14)
        if pictures is None:
            rows.append(_headed(abreast, f"“{row['prompt']}”: t* = {row['steps']}"))
        else:
            rows += _pipeline(abreast, row, pictures[row["prompt"]])
    return alt.vconcat(*rows, spacing=14 if pictures else 26)


def _headed(chart: Drawn, text: str) -> Drawn:
    return chart.properties(title=alt.TitleParams(lines(text, 74), fontSize=13))


def _panel(curve: pl.DataFrame, name: str, row: dict, measured: pl.DataFrame | None, weight: float) -> Layers:
    value = alt.Y("value:Q", title=None, scale=alt.Scale(zero=False, nice=True), axis=alt.Axis(tickCount=4))
    plateau, across = row[name], steps_axis(last=int(curve["steps"].to_numpy().max()))
    values = curve["value"].to_numpy()
    above = weight * values.std()
    ruler = float(np.median(values)) + (above if METRICS[name].lower_is_better else -above)
    stop = pl.DataFrame(
        {"steps": [plateau], "value": [curve.filter(steps=plateau)["value"][0]], "text": [f"{plateau}"]}
    )
    base = alt.Chart(stop)
    limit = alt.Chart(pl.DataFrame({"value": [ruler]})).mark_rule(color=MUTED, strokeDash=[1, 3], strokeWidth=1.8)
    down = -1 if METRICS[name].lower_is_better else 1  # the number stands on the side that the curve leaves free
    layers = [
        alt.Chart(pl.DataFrame({"steps": [row["steps"]]})).mark_rule(color=INK, strokeDash=[4, 3]).encode(across),
        limit.encode(value),
        alt.Chart(curve).mark_line(color=COLORS[name], strokeDash=DASHES[name]).encode(across, value),
        base.mark_point(filled=True, size=80, opacity=1, color=COLORS[name]).encode(across, value),
        base.mark_text(dx=12, dy=12 * down, fontSize=13, fontWeight="bold", color=COLORS[name]).encode(
            across, value, text="text"
        ),
    ]
    if measured is not None:
        rings = alt.Chart(measured.filter(metric=name)).mark_point(size=26, strokeWidth=1.3, color=COLORS[name])
        layers.append(rings.encode(across, value))
    heading = alt.TitleParams(LABELS[name], fontSize=12, color=COLORS[name])
    return alt.layer(*layers).properties(height=TALL, title=heading)


# --- the pipeline of Figure 3 ---------------------------------------------------------------------------------------


def _pipeline(panels: alt.HConcatChart, row: dict, strip: Strip) -> list[alt.TopLevelMixin]:
    """A prompt's way: its words, the curves read from them, t*, and the pictures."""
    last = max((name for name in LABELS if name in row), key=lambda name: row[name])
    words = alt.vconcat(_said("↓   CLIP reads the words, a two-way LSTM draws three curves"), panels, spacing=8)
    return [
        _headed(words, f"“{row['prompt']}”"),
        _said(f"↓   Eq. 7 reads off where each has gone flat; the last is {LABELS[last]}'s: t* = {row['steps']}"),
        _strip(strip, row["steps"]),
    ]


def _said(text: str) -> alt.Chart:
    words = alt.Chart(pl.DataFrame({"text": [text]})).mark_text(align="left", fontSize=13, color=INK)
    return words.encode(alt.X(datum=0, axis=None, scale=alt.Scale(domain=[0, 1])), text="text:N").properties(
        width=3 * (PANEL + 40), height=18
    )


def _strip(strip: Strip, t_star: int) -> Layers:
    frame = pl.DataFrame(
        [{"place": place, "steps": steps, "url": url, "shown": 1.0 if steps <= t_star else 0.35,
          "text": f"t* = {steps}" if steps == t_star else str(steps)} for place, (steps, url) in enumerate(strip)]
    )  # fmt: skip
    across = alt.X("place:Q", axis=None, scale=alt.Scale(domain=[-0.5, len(strip) - 0.5]))
    base, middle = alt.Chart(frame).encode(across), alt.value(THUMB / 2 + 3)
    image = base.mark_image(width=THUMB, height=THUMB).encode(
        y=middle, url="url:N", opacity=alt.Opacity("shown:Q", scale=None)
    )
    stop = alt.Chart(frame.filter(steps=t_star)).mark_point(
        shape="square", size=(THUMB + 4) ** 2, color=INK, strokeWidth=2.5, opacity=1
    )
    text = base.mark_text(fontSize=12, color=INK).encode(y=alt.value(THUMB + 16), text="text:N")
    under = alt.TitleParams("drawn in so many denoising steps", orient="bottom", anchor="start", fontSize=12,
                            fontWeight="normal", color=MUTED)  # fmt: skip
    return alt.layer(image, stop.encode(across, y=middle), text).properties(
        width=PLACE * len(strip), height=THUMB + 22, title=under
    )


# --- the mean picture -----------------------------------------------------------------------------------------------


def mean_curves(frame: pl.DataFrame, title: str, subtitle: str = "") -> alt.HConcatChart:
    """Mean scores with the middle half shaded, a panel a metric: a frame of ``metric, steps, mean, low, high``."""
    panels = []
    for name, label in LABELS.items():
        base, value = alt.Chart(frame.filter(metric=name)), alt.Scale(zero=False)
        axis = alt.Axis(tickCount=4)
        band = base.mark_area(opacity=0.16, color=COLORS[name]).encode(
            steps_axis(), alt.Y("low:Q", title=None, scale=value, axis=axis), alt.Y2("high:Q")
        )
        point = alt.OverlayMarkDef(size=26, color=COLORS[name])
        line = base.mark_line(color=COLORS[name], strokeDash=DASHES[name], point=point).encode(steps_axis(), y="mean:Q")
        heading = alt.TitleParams(label, fontSize=12, color=COLORS[name])
        panels.append((band + line).properties(width=PANEL, height=150, title=heading))
    return titled(alt.hconcat(*panels, spacing=14), title, subtitle)
