"""The predictor as a drawing: the two-way LSTM, unrolled along the steps (Figure 4)."""

from collections.abc import Mapping, Sequence

import altair as alt
import numpy as np
import polars as pl

from .theme import COLORS, INK, MUTED, Layers, titled

ACROSS, UP, BOX = 68, 58, (58, 28)  # pixels: from a step to the next, from a part to the next, and of a box
SLANT = 0.19  # of a column: how far the two directions stand aside, so that their arrows do not cross
ROWS = ("prompt", "step", "back", "forth", "mlp", "score")  # from below


def architecture(parts: Mapping[str, int], steps: Sequence[int], title: str, subtitle: str = "") -> Layers:
    """The predictor unrolled along the steps, from the prompt at the bottom to the scores at the top.

    ``parts`` are the numbers of parameters of the ``lstm`` and of the ``mlp``.
    """
    shown: list[int | None] = [*steps[:3], None, steps[-1]] if len(steps) > 5 else list(steps)
    high = {name: level for level, name in enumerate(ROWS)}
    boxes, arrows = [], []
    for column, step in enumerate(shown):
        left, right = column - SLANT, column + SLANT
        for row, x, text, tone in (
            ("step", column, "…" if step is None else f"step {step}", INK),
            ("back", right, "←", COLORS["d_sim"]),
            ("forth", left, "→", COLORS["d_sim"]),
            ("mlp", column, "MLP, σ", COLORS["l_snr"]),
            ("score", column, "…" if step is None else f"score {step}", COLORS["i_clip"]),
        ):
            boxes.append({"x": x, "y": high[row], "text": text, "tone": tone})
        arrows += [
            (column, high["prompt"], column, high["step"]),
            (left, high["step"], left, high["forth"]),
            (right, high["step"], right, high["back"]),
            (left, high["forth"], left, high["mlp"]),
            (right, high["back"], right, high["mlp"]),
            (column, high["mlp"], column, high["score"]),
        ]
        if column:
            arrows += [(left - 1, high["forth"], left, high["forth"]), (right, high["back"], right - 1, high["back"])]
    names = [
        ("prompt", "the prompt's embedding,", "to every step"),
        ("step", "+ the step's embedding", ""),
        ("back", "LSTM, from the last step", f"both ways: {parts['lstm']:,} weights"),
        ("forth", "LSTM, from the first step", ""),
        ("mlp", "MLP and sigmoid", f"{parts['mlp']:,} weights"),
        ("score", "the metric at each step", ""),
    ]
    across = alt.Scale(domain=[-0.6, len(shown) + 2.1], nice=False)
    up = alt.Scale(domain=[-0.4, len(ROWS) - 0.5], nice=False)
    middle = (len(shown) - 1) / 2
    whole = pl.DataFrame([{"x": -0.4, "x2": len(shown) - 0.6, "y": -0.22, "y2": 0.22}])
    layers = [
        *_arrows(arrows, across, up),
        alt.Chart(whole).mark_rect(fill="white", stroke=INK, strokeWidth=1.5).encode(
            _x(across), alt.X2("x2:Q"), _y(up), alt.Y2("y2:Q")),
        _words([{"x": middle, "y": 0, "text": "the words, read by CLIP"}], across, up),
        *_boxes(boxes, across, up),
        _words([{"x": len(shown) - 0.45, "y": high[row] + (0.12 if below else 0), "text": text}
                for row, text, below in names], across, up, align="left"),
        _words([{"x": len(shown) - 0.45, "y": high[row] - 0.14, "text": text}
                for row, _, text in names if text], across, up, align="left", color=MUTED),
    ]  # fmt: skip
    width, height = ACROSS * (len(shown) + 2.7), UP * (len(ROWS) - 0.1)
    return titled(alt.layer(*layers), title, subtitle).properties(width=width, height=height)


def _x(scale: alt.Scale, field: str = "x") -> alt.X:
    return alt.X(f"{field}:Q", axis=None, scale=scale)


def _y(scale: alt.Scale, field: str = "y") -> alt.Y:
    return alt.Y(f"{field}:Q", axis=None, scale=scale)


def _boxes(boxes: Sequence[dict], across: alt.Scale, up: alt.Scale) -> list[alt.Chart]:
    half_x, half_y = BOX[0] / 2 / ACROSS, BOX[1] / 2 / UP
    narrow = [box["text"] in "→←" for box in boxes]
    frame = pl.DataFrame(boxes).with_columns(half=pl.Series([half_x / 2 if one else half_x for one in narrow]))
    edges = frame.with_columns(
        x1=pl.col("x") - pl.col("half"),
        x2=pl.col("x") + pl.col("half"),
        y1=pl.col("y") - half_y,
        y2=pl.col("y") + half_y,
    )
    box = alt.Chart(edges).mark_rect(fill="white", strokeWidth=1.7, cornerRadius=4)
    return [
        box.encode(_x(across, "x1"), alt.X2("x2:Q"),
                   _y(up, "y1"), alt.Y2("y2:Q"), stroke=alt.Stroke("tone:N", scale=None)),
        alt.Chart(frame).mark_text(fontSize=12, color=INK).encode(_x(across), _y(up), text="text:N"),
    ]  # fmt: skip


def _words(rows: Sequence[dict], across: alt.Scale, up: alt.Scale, **mark: str) -> alt.Chart:
    text = alt.Chart(pl.DataFrame(rows)).mark_text(**{"fontSize": 12, "color": INK, **mark})
    return text.encode(_x(across), _y(up), text="text:N")


def _arrows(ends: Sequence[tuple[float, float, float, float]], across: alt.Scale, up: alt.Scale) -> list[alt.Chart]:
    """Lines from box to box with a head where they arrive."""
    x, y, x2, y2 = (np.array(values, float) for values in zip(*ends, strict=True))
    run, rise = (x2 - x) * ACROSS, (y2 - y) * UP
    reach = np.hypot(run, rise)
    stop = np.where(np.abs(rise) > 0, BOX[1] / 2, BOX[0] / 4) + 5  # at the box's edge
    frame = pl.DataFrame(
        {"x": x, "y": y, "x2": x + run / ACROSS * (1 - stop / reach), "y2": y + rise / UP * (1 - stop / reach),
         "turn": np.degrees(np.arctan2(run, rise))}
    )  # fmt: skip
    base = alt.Chart(frame)
    line = base.mark_rule(color=MUTED, strokeWidth=1.3).encode(_x(across), alt.X2("x2:Q"), _y(up), alt.Y2("y2:Q"))
    head = base.mark_point(shape="triangle-up", filled=True, size=46, color=MUTED, opacity=1).encode(
        _x(across, "x2"), _y(up, "y2"),
        angle=alt.Angle("turn:Q", scale=None),
    )  # fmt: skip
    return [line, head]
