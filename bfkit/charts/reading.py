"""A chart as its readers meet it on a page: in words for who cannot see it, stacked for who holds a telephone."""

import textwrap
from typing import Any

import altair as alt

WIDE = 480  # pixels: letters of a wider chart fall under 8 pixels on a telephone of 400
LINE = {"text": 46, "subtitle": 58}  # characters that fit the width of one panel


def in_words(chart: alt.TopLevelMixin) -> str:
    """What a chart says, from its titles: each finding, and what was done to find it."""
    return " ".join(_sentences(chart.to_dict()))


def stacked(chart: alt.TopLevelMixin) -> alt.TopLevelMixin:
    """The chart with its panels one under another, each with its rows named, and titles broken into lines."""
    return alt.Chart.from_dict(_stack(chart.to_dict()))


def _title(spec: dict[str, Any]) -> dict[str, Any]:
    title = spec.get("title") or {}
    return {"text": title} if isinstance(title, str | list) else title


def _sentences(spec: dict[str, Any]) -> list[str]:
    told = []
    for part in ("text", "subtitle"):
        text = _title(spec).get(part) or ""
        text = " ".join(text) if isinstance(text, list) else text
        if text:
            told.append(text if text.endswith((".", "?")) else f"{text}.")
    for kind in ("vconcat", "hconcat", "concat"):
        told += [sentence for panel in spec.get(kind, ()) for sentence in _sentences(panel)]
    return told


def _stack(spec: dict[str, Any]) -> dict[str, Any]:
    spec = dict(spec)
    if title := _title(spec):
        broken = {part: textwrap.wrap(" ".join(_lines(title[part])), LINE[part]) for part in LINE if title.get(part)}
        spec["title"] = {**title, **broken}
    if "hconcat" in spec:
        spec["vconcat"] = [_name_rows(panel) for panel in spec.pop("hconcat")]
    if "concat" in spec:
        spec["columns"] = 1
    for kind in ("vconcat", "concat"):
        if kind in spec:
            spec[kind] = [_stack(panel) for panel in spec[kind]]
    return spec


def _lines(text: str | list[str]) -> list[str]:
    return [text] if isinstance(text, str) else text


def _name_rows(spec: dict[str, Any]) -> dict[str, Any]:
    """A panel that left its rows to be named by its neighbour names them itself."""
    spec = {**spec, "layer": [_name_rows(part) for part in spec["layer"]]} if "layer" in spec else dict(spec)
    rows = spec.get("encoding", {}).get("y", {})
    if (rows.get("axis") or {}).get("labels") is False:
        named = {key: value for key, value in rows.items() if key != "axis"}
        spec["encoding"] = {**spec["encoding"], "y": named}
    return spec
