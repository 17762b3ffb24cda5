"""Observers with a known sensitivity, for teaching and for testing. Everything they say is marked as simulated."""

from dataclasses import dataclass

import numpy as np
import polars as pl
import scipy.stats

from .design import OURS, REFERENCE, Study
from .records import SCHEMA, trial_table


@dataclass(frozen=True)
class Observers:
    """A crowd that prefers OURS with a sensitivity ``d_prime``: on average in a share Phi(d'/sqrt 2) of the trials.

    ``between`` and ``prompts`` are the standard deviations of people and of prompts around that, ``left`` pushes
    towards the left picture; all three in units of the noise of a single decision. ``lapse`` is the share of trials
    answered blindly, checks included.
    """

    d_prime: float
    participants: int = 40
    between: float = 0.3
    prompts: float = 0.3
    left: float = 0.0
    lapse: float = 0.0


def simulate(study: Study, observers: Observers, seed: int = 0) -> pl.DataFrame:
    """Answers of simulated observers to a study, in the columns of ``SCHEMA``, with ``simulated`` true in every row.

    Participant i sees order i (modulo the number of orders), as many as the study has.
    """
    if observers.participants < 1 or not 0 <= observers.lapse <= 1 or min(observers.between, observers.prompts) < 0:
        raise ValueError(f"no such crowd: {observers} (participants from 1, lapse in [0, 1], deviations from 0)")
    rng = np.random.default_rng(seed)
    people = pl.DataFrame({"number": np.arange(observers.participants)}).with_columns(
        order=(pl.col("number") % len(study.orders)).cast(pl.UInt16),
        participant=pl.format("simulated-{}", pl.col("number").cast(pl.String).str.zfill(4)),
        session=pl.Series([rng.bytes(16).hex() for _ in range(observers.participants)]),
    )
    rows = people.join(trial_table(study), on="order").sort("number", "position")
    codes = rows["prompt"].rank("dense").to_numpy() - 1
    effects = rng.normal(0, observers.between, observers.participants)[rows["number"].to_numpy()]
    effects = effects + rng.normal(0, observers.prompts, codes.max() + 1)[codes]
    # Averaged over people and prompts, Phi(m + effect) is Phi(m / sqrt(1 + variance of the effects)).
    widened = np.sqrt(1 + observers.between**2 + observers.prompts**2)
    first_left = (
        rows["left_condition"].is_in([OURS]).to_numpy()
        | ((rows["left_condition"] == REFERENCE) & rows["kind"].is_in(["check", "practice"])).to_numpy()
    )
    easy = rows["kind"].is_in(["check", "practice"]).to_numpy()
    towards = np.where(easy, 4.0, observers.d_prime / np.sqrt(2) * widened + effects)
    chance = scipy.stats.norm.cdf(towards + np.where(first_left, 1, -1) * observers.left)
    chance = np.where(rng.random(len(rows)) < observers.lapse, 0.5, chance)
    is_first = rng.random(len(rows)) < chance
    rows = rows.with_columns(
        choice=pl.when(pl.Series(is_first == first_left)).then(pl.lit("A")).otherwise(pl.lit("B")),
        rt_ms=pl.Series(np.round(rng.lognormal(np.log(1400), 0.4, len(rows)), 1)),
        input=pl.lit("key"), hidden=pl.lit(False), picture_px=pl.lit(400.0),
        shown_at=pl.col("position").cast(pl.Int64) * 2500,
        prolific_study=pl.lit(None), prolific_session=pl.lit(None), simulated=pl.lit(True),
    )  # fmt: skip
    chosen = pl.when(pl.col("choice") == "A").then("left_condition").otherwise("right_condition")
    return rows.with_columns(chosen=chosen).select(*SCHEMA).cast(SCHEMA)
