"""Predicted t* beside measured t*: how far they spread, how far they agree, and whether busier scenes get more."""

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl

from bfkit import stats
from bfkit.dataset.captions import busyness
from bfkit.dataset.curves import dense_curves
from bfkit.metrics.registry import METRICS
from bfkit.predictor.advisor import StepAdvisor
from bfkit.predictor.choice import Choice

MEASURED, PREDICTED = "measured", "predicted"


def both(advisor: StepAdvisor, held_out: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """A score table's prompts with their steps, as ``StepAdvisor.steps`` gives them: ``predicted`` and ``measured``."""
    texts, curves = dense_curves(held_out)
    return {PREDICTED: advisor.steps(texts), MEASURED: Choice(weights=advisor.weights).table(texts, curves)}


def points(steps: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """t* of each prompt, a row a prompt, and how busy it is: ``prompt, busyness`` and a column a source of steps."""
    prompts = next(iter(steps.values()))["prompt"]
    columns = {name: frame["steps"].cast(pl.Int64) for name, frame in steps.items()}
    return pl.DataFrame({"prompt": prompts, "busyness": busyness(prompts.to_list())[1], **columns})


# --- how far they spread --------------------------------------------------------------------------------------------


def spread_finding(steps: Mapping[str, pl.DataFrame]) -> str:
    """One sentence on how far apart prompts' t* are, measured and predicted: standard deviations over prompts."""
    columns = {name: frame["steps"].to_numpy().astype(float) for name, frame in steps.items()}
    said = {name: f"{values.std():.1f} ({values.min():.0f} to {values.max():.0f})" for name, values in columns.items()}
    _, low, high = stats.interval(lambda a, b: a.std(axis=-1) - b.std(axis=-1), columns[PREDICTED], columns[MEASURED])
    verdict = "less than" if high < 0 else "more than" if low > 0 else "as far, for all that can be told, as"
    return f"Predicted t* spread {verdict} measured ones: by {said[PREDICTED]} and by {said[MEASURED]} steps"


# --- how far they agree ---------------------------------------------------------------------------------------------


def t_star_agreement(
    predicted: pl.DataFrame, measured: pl.DataFrame, ceilings: pl.DataFrame, draws: int = 4000
) -> pl.DataFrame:
    """Predicted against measured steps of the same prompts, and the most that there is to reach.

    Two of ``Choice.table``'s, row by row, and ``reliability``'s rows of plateaus, whose ``ceiling`` no prediction from
    the prompt can be expected to pass. Rows of ``metric, correlation, low, high, ceiling, ceiling_low, ceiling_high``:
    Pearson's correlation with its interval over prompts; ``all`` is t*.
    """
    rows = []
    for metric in (*METRICS, "all"):
        column = "steps" if metric == "all" else metric
        pair = (frame[column].to_numpy().astype(float) for frame in (predicted, measured))
        ends = ceilings.filter(quantity="plateau", metric=metric).select("ceiling", "ceiling_low", "ceiling_high")
        value, low, high = stats.interval(stats.correlation, *pair, draws=draws)
        rows.append({"metric": metric, "correlation": value, "low": low, "high": high, **ends.row(0, named=True)})
    return pl.DataFrame(rows)


def agreement_finding(found: pl.DataFrame) -> str:
    """One sentence on ``t_star_agreement``: t* predicted from the words, beside the best that words can do."""
    own = found.filter(metric="all").row(0, named=True)
    verdict = "tells" if own["low"] > 0 else "does not surely tell"
    return (
        f"The predictor {verdict} a prompt's t*: correlation {own['correlation']:.2f} ({own['low']:.2f} to "
        f"{own['high']:.2f}) of at most {own['ceiling']:.2f} ({own['ceiling_low']:.2f} to {own['ceiling_high']:.2f})"
    )


def missing_finding(found: pl.DataFrame) -> str:
    """One sentence on ``t_star_agreement``: whether chance explains what is missing up to the ceiling."""
    short = [METRICS[row["metric"]].label if row["metric"] in METRICS else "t*" for row in found.iter_rows(named=True)
             if row["high"] < row["ceiling_low"]]  # fmt: skip
    if not short:
        return "What is missing up to the most that words can tell cannot be told from chance"
    on = " and ".join([", ".join(short[:-1]), short[-1]] if len(short) > 1 else short)
    return f"On {on} chance does not explain the rest: the network tells less than the words could"


# --- busy scenes ----------------------------------------------------------------------------------------------------


def ends(prompts: Sequence[str]) -> list[str]:
    """The least busy of some prompts and the busiest, by their world's own measure or else by their words."""
    values = busyness(prompts)[1]
    return [prompts[int(np.argmin(values))], prompts[int(np.argmax(values))]]


def busyness_correlations(rows: pl.DataFrame) -> pl.DataFrame:
    """Rank correlation of t* with busyness, by where the steps come from: ``source, rho, low, high``, over prompts.

    ``rows`` is what ``points`` returns.
    """
    busy = rows["busyness"].to_numpy().astype(float)
    found = []
    for name in rows.columns[2:]:
        rho, low, high = stats.interval(stats.rank_correlation, busy, rows[name].to_numpy().astype(float))
        found.append({"source": name, "rho": rho, "low": low, "high": high})
    return pl.DataFrame(found)


def busyness_finding(found: pl.DataFrame) -> str:
    """One sentence on ``busyness_correlations``: whether busier scenes get more steps."""
    said = []
    for row in found.iter_rows(named=True):
        verdict = "more" if row["low"] > 0 else "fewer" if row["high"] < 0 else "neither surely more nor surely fewer"
        said.append(
            f"{verdict} steps by {row['source']} curves (rank correlation {row['rho']:+.2f}, {row['low']:+.2f} to "
            f"{row['high']:+.2f})"
        )
    return f"Busier scenes get {', and '.join(said)}"
