"""Truth beside resemblance: how many steps until a picture shows what was asked, and until it is like its own end.

D-SIM and I-CLIP compare a picture with its own last one, which may be wrong itself, and which another picture may be
as good as. A judge that knows what was asked (``dataset.truth``) keeps another clock.
"""

from collections.abc import Sequence

import polars as pl

from bfkit.dataset.table import ORDER
from bfkit.dataset.truth import long_verdicts
from bfkit.stats import interval, mean, spearman

ALIKE = 0.05  # a D-SIM loss that counts as being like one's own end
RIGHT, RESEMBLES = "shows what was asked", "is like its own end"
PICTURE = list(ORDER[:2])


def judged(scores: pl.DataFrame, truth: pl.DataFrame, alike: float = ALIKE) -> pl.DataFrame:
    """Every picture that the judge knows the scene of: ``prompt_id, seed, steps, right, alike``, both booleans.

    ``right`` if nothing that was asked is wrong, ``alike`` if D-SIM has come to ``alike`` of its value at the last step
    count, which is 0. Raises ValueError where no picture was judged.
    """
    rows = scores.join(truth.drop_nulls("verdicts"), on=ORDER)
    if not len(rows):
        raise ValueError(
            "no picture of this table was judged: the judge knows the captions of the miniature's world alone; make a "
            "table with `bfkit dataset --profile mini`"
        )
    right = pl.col("verdicts").list.eval(pl.element().fill_null(True)).list.all()
    return rows.select(*ORDER, right=right, alike=pl.col("d_sim") <= alike).sort(ORDER)


def _over_prompts(rows: pl.DataFrame, column: str, keys: Sequence[str]) -> pl.DataFrame:
    """The mean of a column over prompts with its interval, ``value, low, high``, a row each of the keys."""
    means = rows.group_by(*keys, "prompt_id").agg(pl.col(column).cast(pl.Float64).mean()).sort(*keys, "prompt_id")
    found = [
        (*key, *interval(mean, own[column].to_numpy(), draws=1000))
        for key, own in means.group_by(*keys, maintain_order=True)
    ]
    return pl.DataFrame(found, [*keys, "value", "low", "high"], orient="row").cast({"steps": pl.UInt16})


def verdicts_by_steps(truth: pl.DataFrame) -> pl.DataFrame:
    """The share of pictures in which each verdict is right, ``verdict, steps, value, low, high``: over prompts."""
    return _over_prompts(long_verdicts(truth), "right", ["verdict", "steps"])


def clip_score_by_steps(truth: pl.DataFrame) -> pl.DataFrame:
    """The mean cosine of picture and prompt, ``steps, value, low, high``."""
    return _over_prompts(truth.drop_nulls("clip_score"), "clip_score", ["steps"])


def two_clocks(rows: pl.DataFrame) -> pl.DataFrame:
    """Of the pictures that are right in the end, how many are so by each step count, and how many are like that end.

    ``rows`` are ``judged``. Rows of ``clock, steps, value, low, high``. Pictures that never come right are left out of
    both: they have nothing to become. ValueError if none comes right.
    """
    in_the_end = rows.filter(pl.col("right"), pl.col("steps") == pl.col("steps").max()).select(PICTURE)
    if not len(in_the_end):
        raise ValueError(
            f"none of {len(rows):,} pictures shows what was asked at the last step count: there is no clock to read"
        )
    rows = rows.join(in_the_end, on=PICTURE, how="semi")
    clocks = {RIGHT: "right", RESEMBLES: "alike"}
    parts = [_over_prompts(rows, column, ["steps"]).with_columns(clock=pl.lit(name)) for name, column in clocks.items()]
    return pl.concat(parts).select("clock", "steps", "value", "low", "high")


def unfinished_yet_right(rows: pl.DataFrame) -> pl.DataFrame:
    """Of the pictures that D-SIM calls unfinished at each step count, the share that is right: ``steps, unfinished,
    value, low, high, in_the_end``.

    ``unfinished`` is their share of all, ``in_the_end`` how many of the same come right at the last step count. A step
    count at which nothing is unfinished has no row.
    """
    last = rows.filter(pl.col("steps") == pl.col("steps").max()).select(*PICTURE, in_the_end="right")
    rows = rows.join(last, on=PICTURE)
    shares = rows.group_by("steps").agg(unfinished=(~pl.col("alike")).mean())
    open_ = rows.filter(~pl.col("alike"))
    ends = open_.group_by("steps").agg(pl.col("in_the_end").mean())
    found = _over_prompts(open_, "right", ["steps"]).join(shares, on="steps").join(ends, on="steps")
    return found.select("steps", "unfinished", "value", "low", "high", "in_the_end").sort("steps")


def steps_needed(rows: pl.DataFrame) -> pl.DataFrame:
    """Of each picture that is right in the end, the first step count from which it stays so, and stays like its end.

    Rows of ``prompt_id, seed, right, alike``: step counts.
    """
    ends = rows.filter(pl.col("steps") == rows["steps"].max(), pl.col("right")).select(PICTURE)
    backwards = rows.join(ends, on=PICTURE, how="semi").sort("steps", descending=True)
    found = backwards.with_columns(pl.col("right", "alike").cum_min().over(PICTURE))  # false once, false before
    first = [pl.col("steps").filter(pl.col(name)).min().alias(name) for name in ("right", "alike")]
    return found.group_by(PICTURE).agg(first).sort(PICTURE)


def verdicts_title(frame: pl.DataFrame) -> str:
    """The finding of ``verdicts_by_steps``, in a line: whose mean is within a twentieth of its end first, and last."""
    ends = frame.filter(pl.col("steps") == pl.col("steps").max()).select("verdict", end="value")
    near = frame.join(ends, on="verdict").filter(pl.col("value") >= 0.95 * pl.col("end"))
    settled = near.group_by("verdict").agg(pl.col("steps").min()).sort("steps", "verdict")
    (first, early), (last, late) = settled.row(0), settled.row(-1)
    if early == late:
        return f"All are settled by {early} step{'s' * (early != 1)}: {', '.join(settled['verdict'])}"
    return f"First settled: {first}, by {early} step{'s' * (early != 1)}; last: {last}, by {late}"


def first_clock(needed: pl.DataFrame) -> tuple[float, float, float]:
    """By how much more often ``steps_needed`` has truth before resemblance than after it: shares of pictures, with an
    interval over prompts; 1 is always, -1 never."""
    signs = needed.select("prompt_id", sign=(pl.col("alike").cast(pl.Int32) - pl.col("right").cast(pl.Int32)).sign())
    means = signs.group_by("prompt_id").agg(pl.col("sign").mean()).sort("prompt_id")
    return interval(mean, means["sign"].to_numpy().astype(float))


def clocks_title(needed: pl.DataFrame) -> str:
    """The finding of ``steps_needed``, in a line: which clock is ahead, picture by picture, if that is sure."""
    right, alike = needed.select(pl.col("right", "alike").median()).row(0)
    _, low, high = first_clock(needed)
    truth, end = f"half by {right:g} steps", f"half by {alike:g}"
    if low > 0:
        return f"Pictures show what was asked ({truth}) before they are like their own end ({end})"
    if high < 0:
        return f"Pictures are like their own end ({end}) before they show what was asked ({truth})"
    return f"Neither clock is surely ahead: what was asked is shown in {truth}, the end is resembled in {end}"


def clocks_finding(needed: pl.DataFrame, clocks: pl.DataFrame) -> str:
    """One sentence on ``steps_needed`` and ``two_clocks``."""
    right, alike = needed.select(pl.col("right", "alike").median()).row(0)
    correlation = spearman(needed["right"], needed["alike"])
    at = {row["clock"]: row["value"] for row in clocks.filter(steps=17).iter_rows(named=True)}
    said = f"at 17 steps {at[RIGHT]:.0%} show it and {at[RESEMBLES]:.0%} are like their end; " if at else ""
    return (
        f"Of the pictures that come right, half show what was asked by {right:g} steps and are like their own end by "
        f"{alike:g}; {said}the two clocks go together with a rank correlation of {correlation:.2f}"
    )


def unfinished_finding(found: pl.DataFrame) -> str:
    """One sentence on ``unfinished_yet_right``, at the step count that has about half of its pictures unfinished."""
    row = found.sort((pl.col("unfinished") - 0.5).abs()).row(0, named=True)
    return (
        f"At {row['steps']} step{'s' * (row['steps'] != 1)} D-SIM calls {row['unfinished']:.0%} of the pictures "
        f"unfinished; {row['value']:.0%} of those ({row['low']:.0%} to {row['high']:.0%}) show what was asked already"
    )
