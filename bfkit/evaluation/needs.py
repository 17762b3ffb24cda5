"""What a predictor needs: how its error changes with prompts, with how they are spent, and with the LSTM's size.

Each is a share of the error on the same held-out prompts, the mean over the metrics; the intervals are over these
prompts, and leave out the luck of which prompts were learnt from.
"""

import numpy as np
import polars as pl

from bfkit.stats import interval

from .table1 import by_size, ratio

PROMPTS, SPENT, HIDDEN = "training prompts", "at the same cost", "features of the LSTM"


def _relative(errors: pl.DataFrame, base: pl.DataFrame) -> np.ndarray:
    """Held-out prompts' errors (N,) as shares of the mean of ``base`` by metric, the mean over metrics and parts."""
    means = base.group_by("metric").agg(base=pl.col("error").mean())
    shares = errors.join(means, on="metric").with_columns(pl.col("error") / pl.col("base"))
    return shares.group_by("prompt_id").agg(pl.col("error").mean()).sort("prompt_id")["error"].to_numpy()


def by_prompts(errors: pl.DataFrame) -> pl.DataFrame:
    """The errors of ``learning_curve.trainings`` against those of the most prompts: ``prompts, value, low, high``."""
    sizes = errors["prompts"].unique().sort().to_list()
    most = errors.filter(prompts=sizes[-1])
    best = _relative(most, most)
    rows = [(size, *interval(ratio, _relative(errors.filter(prompts=size), most), best)) for size in sizes]
    return pl.DataFrame(rows, schema=("prompts", "value", "low", "high"), orient="row")


def by_recipe(errors: pl.DataFrame) -> pl.DataFrame:
    """Errors by ``recipes.trainings`` beside the first recipe's, which costs the same: ``recipe, value, low, high``."""
    keys = ["prompts", "seeds", "step_counts", "chosen"]
    recipes = errors.select(keys).unique(maintain_order=True)
    first = errors.join(recipes.head(1), on=keys)
    base, rows = _relative(first, first), []
    for row in recipes.iter_rows(named=True):
        own = _relative(errors.filter(**row), first)
        chosen = "" if row["chosen"] == "at random" else f" {row['chosen']}"
        said = f"{row['prompts']} prompts{chosen}, {row['seeds']} seed{'s' * (row['seeds'] > 1)}, "
        rows.append((f"{said}{len(row['step_counts'].split())} counts", *interval(ratio, own, base)))
    return pl.DataFrame(rows, schema=("recipe", "value", "low", "high"), orient="row")


def needs(learnt: pl.DataFrame, recipes: pl.DataFrame, networks: pl.DataFrame, hidden: int) -> pl.DataFrame:
    """All three, one under the other: ``what, row, value, low, high``; sizes of the LSTM where they were measured."""
    parts = {PROMPTS: by_prompts(learnt), SPENT: by_recipe(recipes), HIDDEN: by_size(networks, hidden)}
    return pl.concat(
        part.select(pl.lit(what).alias("what"), pl.nth(0).cast(pl.String).alias("row"), "value", "low", "high")
        for what, part in parts.items()
        if len(part) > 1
    )


def needs_finding(found: pl.DataFrame) -> str:
    """One sentence on ``needs``: what would surely make the error smaller."""
    prompts = found.filter(what=PROMPTS)
    half = prompts.row(-2, named=True)
    verdict = "still falls" if half["low"] > 0 else "cannot be said to fall any more"
    said = [
        f"With more prompts the error {verdict}: with {half['row']} instead of {prompts['row'][-1]} it is {_of(half)}"
    ]
    for what, alone in ((SPENT, "spending the same otherwise"), (HIDDEN, "another size of the LSTM")):
        tried = found.filter(what=what)
        sure = tried.filter(pl.col("high") < 0).sort("value")
        if len(sure):
            row = sure.row(0, named=True)
            said.append(f"{alone} surely helps, best of {len(tried) - 1} tried: {row['row']}, {_of(row)}")
        elif len(tried) > 1:
            said.append(f"{alone} does not surely help")
    return "; ".join(said)


def _of(row: dict) -> str:
    return f"{row['value']:+.0%} ({row['low']:+.0%} to {row['high']:+.0%})"
