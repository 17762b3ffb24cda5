"""What was found, a sentence each with its intervals: what a report's page says first, and README after it.

Each takes a table of its lesson and says what the intervals allow, whichever way they fall.
"""

from collections.abc import Mapping

import polars as pl

from bfkit import paper
from bfkit.metrics.registry import METRICS


def rule(relative: pl.DataFrame, steps: float) -> str:
    """Does the paper's rule beat UNIFORM? From ``efficiency.relative_summary`` and OURS' mean steps."""
    rows = {row["metric"]: row for row in relative.iter_rows(named=True)}
    said = ", ".join(f"{METRICS[name].label} {percent(row, 'mean')}" for name, row in rows.items())
    better, worse = _sure(relative)
    if better and not worse:
        verdict = f"beats dealing them out evenly on {_listed(better)}"
    elif worse and not better:
        verdict = f"does worse than dealing them out evenly on {_listed(worse)}"
    elif better:
        verdict = f"beats dealing them out evenly on {_listed(better)} and does worse on {_listed(worse)}"
    else:
        verdict = "cannot be told from dealing them out evenly"
    published = ", ".join(f"{value:+.1%}" for value in paper.RELATIVE_QUALITY.values())
    return (
        f"The paper's rule spends {steps:.1f} steps a picture instead of {paper.REFERENCE_STEPS}, and {verdict}: "
        f"quality gained {said} (the paper, with Stable Diffusion 2: {published})."
    )


def prompt(shares: pl.DataFrame, ceilings: pl.DataFrame, budget: int) -> str:
    """What does a prompt decide? From ``ceiling.shares`` and ``ceiling.ceilings`` at a step count."""
    own = shares.filter(metric="d_sim", scale="log loss", steps=budget).row(0, named=True)
    words, picture = (
        ceilings.filter(budget=budget, knows=knows, how="power law").row(0, named=True)
        for knows in ("prompt", "picture")
    )
    return (
        f"After {budget} steps a prompt decides {percent(own, 'share', '.0%')} of how far its pictures still are "
        "from their ends, the starting noise the rest: who knows the prompt can save "
        f"{percent(words, 'saved', '.0%')} of the loss at equal steps, who knows the picture "
        f"{percent(picture, 'saved', '.0%')}."
    )


def predictor(agreement: pl.DataFrame, prompts: int, busier: tuple[float, float, float]) -> str:
    """Can words tell t*? From ``prediction.t_star_agreement``, and busyness' correlation with t*: value, low, high."""
    own = agreement.filter(metric="all").row(0, named=True)
    found = "agrees with" if own["low"] > 0 else "runs against" if own["high"] < 0 else "shows no sure tie to"
    more = "more" if busier[1] > 0 else "fewer" if busier[2] < 0 else "no surely different"
    return (
        f"On {prompts} prompts never trained on, the predicted t* {found} the measured one: correlation "
        f"{_decimal(own['correlation'], own['low'], own['high'])}, where the seeds' own agreement allows "
        f"{own['ceiling']:.2f}; busier scenes get {more} steps (rank correlation {_decimal(*busier)})."
    )


def systems(gains: pl.DataFrame) -> str:
    """What else draws sooner? From ``table2.against_uniform``: distances to the finished picture at equal cost."""
    plain = gains.filter(metric="d_sim_plain")
    others = plain.filter(~pl.col("system").is_in(["REFERENCE", "UNIFORM", "OURS"]))
    nearer = others.filter(pl.col("low") > 0).sort("times")
    nearest = ""
    if len(nearer):
        first = nearer.row(0, named=True)
        left = {"times": first["times"], "low": first["times_low"], "high": first["times_high"]}
        nearest = f", and {first['system']} leaves only {percent(left, 'times', '.0%')} of its distance"
    ours = plain.row(by_predicate=pl.col("system") == "OURS", named=True)
    place = (
        "comes nearer too" if ours["low"] > 0 else "stays farther off" if ours["high"] < 0 else "cannot be told from it"
    )
    return (
        f"At the same cost {len(nearer) or 'none'} of {len(others)} other ways to draw surely come nearer to the "
        f"finished picture than UNIFORM{nearest}; the paper's rule {place}."
    )


def beyond(known: pl.DataFrame, budget: float) -> str:
    """What can be known, when? From ``knowing.who_knows`` at a number of evaluations."""
    at = {row["knows"]: row for row in known.filter(budget=budget).iter_rows(named=True)}
    hindsight = at.pop("hindsight")
    said = ", ".join(f"{name} {percent(row, 'saved', '.0%')}" for name, row in at.items())
    return (
        f"What can be known saves, of UNIFORM's loss at {budget:g} evaluations: {said}; hindsight would save "
        f"{percent(hindsight, 'saved', '.0%')}."
    )


def percent(row: Mapping, name: str, form: str = "+.1%") -> str:
    """A share with its interval, in percent: "-.5% [-.8, -.2]" in the form given."""
    low, high = (format(row[end], form).removesuffix("%") for end in ("low", "high"))
    return f"{format(row[name], form)} [{low}, {high}]"


def _decimal(value: float, low: float, high: float) -> str:
    return f"{value:.2f} [{low:.2f}, {high:.2f}]"


def _sure(relative: pl.DataFrame) -> tuple[list[str], list[str]]:
    """The metrics on which an interval lies above 0, and those on which it lies below."""
    above, below = relative.filter(pl.col("low") > 0)["metric"], relative.filter(pl.col("high") < 0)["metric"]
    return [METRICS[name].label for name in above], [METRICS[name].label for name in below]


def _listed(names: list[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
