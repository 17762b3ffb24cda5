"""Figures on a user study; what comes from simulated observers says so in its title."""

import altair as alt
import polars as pl

from .theme import COLORS, INK, MUTED, SERIES, Layers, titled

COMPARISONS = {"similar": "OURS against UNIFORM", "reference": "OURS against REFERENCE"}
STUDY_COLORS = {"similar": COLORS["l_snr"], "reference": SERIES[3]}  # the paper's green and violet
BIN = 5  # percent


def _study_title(frame: pl.DataFrame, title: str) -> str:
    return f"{title} (simulated observers, not people)" if frame["simulated"].any() else title


def user_study(people: pl.DataFrame, title: str, subtitle: str = "") -> Layers:
    """How often each participant chose OURS, a colour a comparison, with chance and 1 JND marked (Figure 9).

    ``people`` has a row a participant: ``protocol, share, simulated``, as ``study.by_participant`` gives them.
    """
    percent = people.with_columns(percent=(pl.col("share") * 100).round(6))
    bins = percent.with_columns(bin=((pl.col("percent") / BIN).floor() * BIN).clip(upper_bound=100 - BIN))
    bins = bins.group_by("protocol", "bin").len(name="participants").with_columns(end=pl.col("bin") + BIN)
    names = {key: _with_mean(percent.filter(protocol=key), text) for key, text in COMPARISONS.items()}
    names = {key: text for key, text in names.items() if key in percent["protocol"]}
    bins = bins.with_columns(comparison=pl.col("protocol").replace_strict(names)).sort("protocol", "bin")
    top = bins.select(pl.col("participants").max()).item() * 1.18
    across = alt.Scale(domain=[0, 100], nice=False)
    legend = alt.Legend(orient="top", columns=1, symbolType="square", labelLimit=0)
    bars = alt.Chart(bins).mark_bar(opacity=0.6, stroke="white", strokeWidth=0.6).encode(
        alt.X("bin:Q", title="trials in which OURS was chosen, %", scale=across, axis=alt.Axis(tickCount=10)),
        alt.X2("end:Q"),
        alt.Y("participants:Q", title="participants", stack=None, scale=alt.Scale(domain=[0, top], nice=False),
              axis=alt.Axis(tickMinStep=1, format="d")),
        _comparison_color(names, legend),
        y2=alt.datum(0),
    )  # fmt: skip
    lines = pl.DataFrame({"at": [50, 25, 75], "text": ["chance", "-1 JND", "+1 JND"], "top": top})
    rules = [
        alt.Chart(lines.filter(chance == (pl.col("at") == 50))).mark_rule(strokeDash=[6, 4], strokeWidth=1.6, color=ink)
        .encode(x="at:Q")
        for chance, ink in ((True, INK), (False, COLORS["d_sim"]))
    ]  # fmt: skip
    words = alt.Chart(lines).mark_text(align="left", baseline="top", dx=5, dy=3, fontSize=11, color=MUTED)
    words = words.encode(x="at:Q", y="top:Q", text="text:N")
    chart = alt.layer(bars, *rules, words).properties(width=480, height=240)
    return titled(chart, _study_title(people, title), subtitle)


def _comparison_color(names: dict[str, str], legend: alt.Legend) -> alt.Color:
    scale = alt.Scale(domain=list(names.values()), range=[STUDY_COLORS[key] for key in names])
    return alt.Color("comparison:N", title=None, legend=legend, scale=scale)


def _with_mean(percent: pl.DataFrame, text: str) -> str:
    shares = percent["percent"]
    if len(shares) < 2:
        return f"{text} (1 participant)"
    return f"{text}: {shares.mean():.1f} ± {shares.std() / len(shares) ** 0.5:.1f}% ({len(shares)} participants)"


def study_times(times: pl.DataFrame, title: str, subtitle: str = "") -> Layers:
    """How long a trial took by its place in the order, with quartiles shaded: the frame of ``study.time_on_trial``."""
    base = alt.Chart(times).encode(alt.X("place:Q", title="main trial", axis=alt.Axis(tickMinStep=1)))
    band = base.mark_area(opacity=0.18, color=COLORS["d_sim"]).encode(
        alt.Y("low:Q", title="seconds on the trial", scale=alt.Scale(zero=True)), alt.Y2("high:Q")
    )
    line = base.mark_line(color=COLORS["d_sim"], point=alt.OverlayMarkDef(size=26, color=COLORS["d_sim"]))
    chart = (band + line.encode(y="median:Q")).properties(width=480, height=200)
    return titled(chart, _study_title(times, title), subtitle)


def study_sides(people: pl.DataFrame, title: str, subtitle: str = "") -> Layers:
    """Each participant's share of left choices against their share of OURS: a side bias moves the cloud off 50%."""
    scale = alt.Scale(domain=[0, 1], nice=False)
    percent = alt.Axis(format="%", values=[0, 0.25, 0.5, 0.75, 1])
    names = {key: text for key, text in COMPARISONS.items() if key in people["protocol"]}
    rows = people.select(
        "left", "share", comparison=pl.col("protocol").replace_strict(COMPARISONS)
    ).drop_nulls().sort("comparison", "left", "share")  # fmt: skip
    dots = alt.Chart(rows).mark_circle(size=60, opacity=0.65).encode(
        alt.X("left:Q", title="main trials answered with the left picture", scale=scale, axis=percent),
        alt.Y("share:Q", title="main trials answered with OURS", scale=scale, axis=percent),
        _comparison_color(names, alt.Legend(orient="top", columns=1, labelLimit=0)),
    )  # fmt: skip
    half = alt.Chart(pl.DataFrame({"at": [0.5]})).mark_rule(color=INK, strokeDash=[6, 4])
    chart = (half.encode(x="at:Q") + half.encode(y="at:Q") + dots).properties(width=300, height=300)
    return titled(chart, _study_title(people, title), subtitle)
