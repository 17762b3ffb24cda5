"""Figures on stop rules: tidy frames in, an Altair chart out."""

import altair as alt
import polars as pl

from bfkit.predictor.rules import RULES

from .theme import COLORS, INK, SERIES, Layers, outlined, titled

RULE_LABELS = [known.label for known in RULES.values()]
RULE_COLORS = [*SERIES[:3], INK]
MEASURED = "measured"  # curves that the rules are judged by
RULE_DASHES = [[1, 0], [7, 3], [2, 2], [10, 3, 2, 3]]


def rules(frame: pl.DataFrame, title: str, subtitle: str = "", metric: str = "all") -> alt.VConcatChart:
    """``compare_rules`` over the budgets, a column a source of curves: what each rule saves, and its worst decile.

    Above ``measured`` curves stands that no rule saves more there than the price, by construction.
    """
    frame = frame.filter(metric=metric)
    rows = [
        _rules_row(frame, "saved", "loss saved against UNIFORM", named=True),
        _rules_row(frame, "worst", "loss of the worst decile", named=False),
    ]
    return titled(alt.vconcat(*rows, spacing=18), title, subtitle)


def _rules_row(frame: pl.DataFrame, value: str, value_title: str, named: bool) -> alt.HConcatChart:
    """One outcome, a panel a source of curves, on one scale; the sources are named above the first row only."""
    ends = frame.select(pl.col(f"{value}_low").min(), pl.col(f"{value}_high").max()).row(0)
    budgets = frame["budget"].unique().sort().to_list()
    across = alt.X("budget:Q", title="mean steps", axis=alt.Axis(values=budgets, format=".3~g"),
                   scale=alt.Scale(type="log", domain=[budgets[0], budgets[-1]], nice=False))  # fmt: skip
    legend = alt.Legend(symbolType="stroke", symbolStrokeWidth=2.5)
    color = alt.Color("rule:N", title=None, scale=alt.Scale(domain=RULE_LABELS, range=RULE_COLORS), legend=legend)
    dash = alt.StrokeDash("rule:N", title=None, scale=alt.Scale(domain=RULE_LABELS, range=RULE_DASHES))
    panels = []
    for (source,), part in frame.group_by("curves", maintain_order=True):
        axis = alt.Undefined if not panels else alt.Axis(labels=False, ticks=False)
        up = {"scale": alt.Scale(domain=ends), "axis": axis, "title": "" if panels else value_title}
        layers = []
        for rule, ink in zip(RULE_LABELS, RULE_COLORS, strict=True):
            base = alt.Chart(part.filter(rule=rule)).encode(across)
            band = base.mark_area(opacity=0.12, color=ink)
            layers.append(band.encode(alt.Y(f"{value}_low:Q", **up), alt.Y2(f"{value}_high:Q")))
            layers.append(base.mark_circle(size=30, opacity=1, color=ink).encode(alt.Y(f"{value}:Q", **up)))
        layers.append(alt.Chart(part).mark_line().encode(across, alt.Y(f"{value}:Q", **up), color, dash))
        said = "none saves more than the price: by construction" if named and source == MEASURED else alt.Undefined
        heading = alt.TitleParams(f"{source} curves" if named else "", fontSize=12, subtitle=said)
        panels.append(alt.layer(*layers).properties(title=heading, width=230, height=190))
    return alt.hconcat(*panels, spacing=16, bounds="flush")


def metric_subsets(frame: pl.DataFrame, title: str, subtitle: str = "", cost: str = "equal") -> Layers:
    """``compare_subsets`` at one cost: what t* by each set of metrics saves against UNIFORM, with its interval."""
    rows = frame.filter(cost=cost).with_columns(text=pl.col("saved").map_elements("{:+.4f}".format, pl.String))
    base = alt.Chart(rows).encode(alt.Y("metrics:N", title="t* reads", sort=None))
    zero = alt.Chart(pl.DataFrame({"at": [0]})).mark_rule(color=INK, strokeDash=[4, 3]).encode(x="at:Q")
    span = base.mark_rule(strokeWidth=2.2, color=COLORS["d_sim"]).encode(
        alt.X("low:Q", title="loss saved against UNIFORM, mean over the metrics"), alt.X2("high:Q")
    )
    dot = base.mark_point(filled=True, size=80, opacity=1, color=COLORS["d_sim"]).encode(x="saved:Q")
    text = outlined(base.encode(x="saved:Q"), "text", dy=-12, fontSize=11)
    return titled((zero + span + dot + text).properties(width=420, height=alt.Step(38)), title, subtitle)
