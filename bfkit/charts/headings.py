"""Findings as titles: broken into lines that are no wider than their figure."""

import textwrap

import altair as alt

from .theme import Drawn

LETTER, SMALL = 7.3, 5.6  # pixels of a letter in the title's size and in the subtitle's, on average


def headed(chart: Drawn, title: str, subtitle: str, wide: int) -> Drawn:
    """The chart of about so many pixels under its finding and, smaller, what was done."""
    lines = [textwrap.wrap(text, int(wide / letter)) for text, letter in ((title, LETTER), (subtitle, SMALL))]
    return chart.properties(title=alt.TitleParams(lines[0], subtitle=lines[1] or alt.Undefined))
