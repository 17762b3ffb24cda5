"""One look for all figures: the theme, the colours, the axis of steps.

The metrics keep the paper's colours (green L-SNR, blue D-SIM, red I-CLIP), in tones that differ in lightness too, and
each has a dash of its own, so that no figure needs colour to be read.
"""

import textwrap
from typing import Any, TypeVar

import altair as alt

from bfkit.metrics.registry import METRICS

COLORS = {"l_snr": "#2a9d4f", "d_sim": "#1d4fb8", "i_clip": "#e0562d"}
DASHES = {"l_snr": [1, 0], "d_sim": [7, 3], "i_clip": [2, 2]}
SERIES = ["#1d4fb8", "#e0562d", "#2a9d4f", "#8a6fb0"]  # for lines that are not the three metrics
INK, MUTED, RULE = "#222222", "#737985", "#b9bec7"
LABELS = {name: info.label for name, info in METRICS.items()}
STEP_TICKS = [1, 2, 5, 9, 17, 33, 65, 129]
TITLE, SUBTITLE = 70, 84  # characters of a line: of 550 pixels, as wide as letters that a telephone shows can stand

Layers = alt.LayerChart | alt.FacetChart  # what ``+`` and alt.layer give: the second where all layers share a facet
Drawn = TypeVar("Drawn", bound=alt.TopLevelMixin)


@alt.theme.register("bfkit", enable=True)
def _theme() -> alt.theme.ThemeConfig:
    axis: alt.theme.AxisConfigKwds = {
        "labelFontSize": 12,
        "titleFontSize": 12,
        "titleFontWeight": "normal",
        "labelColor": INK,
        "titleColor": INK,
    }
    return {
        "config": {
            "font": "Helvetica, Arial, sans-serif",
            "background": "white",
            "title": {
                "fontSize": 14,
                "anchor": "start",
                "color": INK,
                "subtitleColor": MUTED,
                "subtitleFontSize": 12,
                "offset": 10,
            },
            "axis": {**axis, "gridColor": "#eceef2", "domainColor": RULE, "tickColor": RULE},
            "legend": {"labelFontSize": 12, "symbolStrokeWidth": 2.5, "symbolSize": 300, "orient": "bottom"},
            "header": {"labelFontSize": 12, "labelFontWeight": "bold", "labelColor": INK},
            "view": {"stroke": None},
            "line": {"strokeWidth": 2.2},
        }
    }


alt.renderers.enable("svg")  # a notebook then holds pictures, not scripts, and papermill keeps them


def steps_axis(title: str = "denoising steps", last: int = 129) -> alt.X:
    """The field ``steps`` on a logarithmic axis from 1 to ``last``."""
    scale = alt.Scale(type="log", domain=[1, last])
    return alt.X("steps:Q", title=title, scale=scale, axis=alt.Axis(values=[t for t in STEP_TICKS if t <= last]))


def log_steps(field: str, title: str, domain: tuple[float, float]) -> alt.X:
    """A logarithmic axis of steps that ends where it is told to."""
    ticks = [tick for tick in STEP_TICKS if domain[0] <= tick <= domain[1]]
    return alt.X(f"{field}:Q", title=title, scale=alt.Scale(type="log", domain=domain, nice=False),
                 axis=alt.Axis(values=ticks))  # fmt: skip


def titled(chart: Drawn, title: str, subtitle: str) -> Drawn:
    """The chart under its finding and, smaller, what was done: in lines no wider than a page of a telephone shows."""
    below = lines(subtitle, SUBTITLE) if subtitle else alt.Undefined
    return chart.properties(title=alt.TitleParams(lines(title, TITLE), subtitle=below))


def lines(text: str, width: int) -> str | list[str]:
    """A text, broken into lines if it has more characters than one holds."""
    broken = textwrap.wrap(text, width)
    return broken if len(broken) > 1 else text


def outlined(base: alt.Chart, field: str, **mark: Any) -> Layers:
    """A field as text with a white outline, to be read across lines and colours."""
    halo = base.mark_text(**{**mark, "stroke": "white", "strokeWidth": 4, "strokeJoin": "round"})
    return halo.encode(text=f"{field}:N") + base.mark_text(**mark).encode(text=f"{field}:N")
