"""What the answers say: who is left out by which rule, shares with their errors, just-noticeable differences."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import scipy.stats
from statsmodels.stats.power import TTestPower

from .design import OURS, REFERENCE

JND = 0.75  # the share that is one just-noticeable difference; 25% is one the other way


class Interval(NamedTuple):
    """A number between the ends of its interval."""

    value: float
    low: float
    high: float

    def map(self, function) -> "Interval":
        """A rising function of all three."""
        return Interval(*(float(function(number)) for number in self))


@dataclass(frozen=True)
class Rules:
    """Who is left out. State them before the answers are seen; these defaults were.

    Kept are participants who passed at least ``checks`` of the attention checks, answered at least ``answered`` of the
    main trials, answered at most ``fast`` of them in under ``fast_ms`` milliseconds, and chose one side at most
    ``one_side`` of the time. Of a participant who came twice, the first session counts. A rule without data (no
    checks, no times) leaves nobody out.
    """

    checks: float = 0.75
    answered: float = 0.9
    fast: float = 0.1
    fast_ms: float = 300.0
    one_side: float = 0.9


def check_unmixed(rows: pl.DataFrame) -> bool:
    """True if all answers are simulated, False if none is; ValueError for a mixture or nothing."""
    kinds = rows["simulated"].unique().to_list()
    if not kinds:
        raise ValueError("there are no answers to analyse")
    if len(kinds) > 1:
        raise ValueError("answers of people and simulated ones are mixed: analyse them apart, filter(simulated=False)")
    return kinds[0]


def by_participant(rows: pl.DataFrame, rules: Rules = Rules()) -> pl.DataFrame:
    """One row a protocol, participant and session: what the rules look at, and the share of OURS in the main trials.

    ``consistency`` is the share of repeats answered as the first time. Null where there is nothing to count.
    """
    main, check = pl.col("kind") == "main", pl.col("kind") == "check"
    mine = pl.col("chosen") == OURS
    first = rows.filter(main).select("session", "prompt", "seed", before="chosen")
    again = rows.filter(kind="repeat").join(first, on=["session", "prompt", "seed"])
    again = again.group_by("session").agg(consistency=(pl.col("chosen") == pl.col("before")).mean())
    people = rows.group_by("study", "protocol", "participant", "session").agg(
        trials=main.sum(), ours=(main & mine).sum(),
        left=(pl.col("choice") == "A").filter(main).mean(),
        checks=(pl.col("chosen") == REFERENCE).filter(check).mean(),
        fast=(pl.col("rt_ms") < rules.fast_ms).filter(main).mean(),
        median_ms=pl.col("rt_ms").filter(main).median(),
        began=pl.col("shown_at").min(),
        simulated=pl.col("simulated").any(),
    )  # fmt: skip
    people = people.join(again, on="session", how="left").filter(pl.col("trials") > 0)
    return people.with_columns(
        share=pl.col("ours") / pl.col("trials"),
        answered=pl.col("trials") / pl.col("trials").max().over("study", "protocol"),
    ).sort("protocol", "participant", "began", "session")


def apply_rules(rows: pl.DataFrame, rules: Rules = Rules()) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The answers of those who are kept, and a frame of who is not: ``protocol, participant, session, reason``."""
    people = by_participant(rows, rules)
    came_before = pl.int_range(pl.len()).over("study", "protocol", "participant") > 0
    reasons = pl.concat_list(
        _reason(came_before, "a second session"),
        _reason(pl.col("checks") < rules.checks, "attention checks missed"),
        _reason(pl.col("answered") < rules.answered, "too few trials"),
        _reason(pl.col("fast") > rules.fast, "too many fast answers"),
        _reason(pl.max_horizontal("left", 1 - pl.col("left")) > rules.one_side, "one side only"),
    ).list.drop_nulls()
    judged = people.with_columns(reason=reasons.list.join(", "))
    excluded = judged.filter(pl.col("reason") != "").select("protocol", "participant", "session", "reason")
    kept = rows.join(judged.filter(reason="").select("session", "protocol"), on=["session", "protocol"], how="semi")
    return kept.sort("protocol", "participant", "session", "position"), excluded


def _reason(broken: pl.Expr, text: str) -> pl.Expr:
    return pl.when(broken.fill_null(False)).then(pl.lit(text))


# --- shares ----------------------------------------------------------------------------------------------------------


def counts(rows: pl.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Main trials of one protocol as two matrices, participants x prompts: how often OURS was chosen, and shown."""
    main = rows.filter(kind="main")
    person = main["participant"].rank("dense").to_numpy() - 1
    prompt = main["prompt"].rank("dense").to_numpy() - 1
    shape = person.max() + 1, prompt.max() + 1
    chosen, shown = np.zeros(shape), np.zeros(shape)
    np.add.at(chosen, (person, prompt), (main["chosen"] == OURS).to_numpy())
    np.add.at(shown, (person, prompt), 1)
    return chosen, shown


def mean_share(rows: pl.DataFrame) -> tuple[float, float]:
    """The mean over participants of their shares of OURS, and its standard error.

    Of which kind the paper's ± is, it does not say; a standard error it cannot be. Not a number for the
    error of a single participant.
    """
    chosen, shown = (matrix.sum(1) for matrix in counts(rows))
    shares = chosen / shown
    error = shares.std(ddof=1) / np.sqrt(len(shares)) if len(shares) > 1 else np.nan
    return float(shares.mean()), float(error)


def bootstrap(rows: pl.DataFrame, level: float = 0.95, draws: int = 4000, seed: int = 0) -> Interval:
    """The share of OURS, participants resampled whole: says what another crowd would answer about these prompts."""
    chosen, shown = (matrix.sum(1) for matrix in counts(rows))
    weights = np.random.default_rng(seed).multinomial(len(shown), np.full(len(shown), 1 / len(shown)), draws)
    shares = weights @ chosen / (weights @ shown)
    low, high = np.quantile(shares, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(chosen.sum() / shown.sum()), float(low), float(high))


def crossed(rows: pl.DataFrame, level: float = 0.95) -> Interval:
    """The share of OURS, for other participants and other prompts alike: two-way clustered errors.

    The variance is that of the clusters of people plus that of prompts minus the trials' own, which both contain
    (Cameron, Gelbach and Miller 2011), and no less than either; the interval is Student's on the probit scale, with
    the smaller number of clusters less one as degrees of freedom. Nothing is known from a single cluster: [0, 1].
    """
    chosen, shown = counts(rows)
    total = shown.sum()
    share = np.clip(chosen.sum() / total, 0.5 / total, 1 - 0.5 / total)  # half a trial from certainty
    residual = chosen - share * shown
    people, prompts = residual.shape
    if min(people, prompts) < 2:
        return Interval(float(chosen.sum() / total), 0.0, 1.0)
    of_people = (residual.sum(1) ** 2).sum() * people / (people - 1)
    of_prompts = (residual.sum(0) ** 2).sum() * prompts / (prompts - 1)
    variance = max(of_people + of_prompts - (residual**2).sum(), of_people, of_prompts) / total**2
    z = scipy.stats.norm.ppf(share)
    reach = scipy.stats.t.ppf((1 + level) / 2, min(people, prompts) - 1) * np.sqrt(variance) / scipy.stats.norm.pdf(z)
    return Interval(float(z), float(z - reach), float(z + reach)).map(scipy.stats.norm.cdf)


def d_prime(share: float) -> float:
    """The sensitivity behind a share in 2AFC: sqrt(2) z(share)."""
    return float(np.sqrt(2) * scipy.stats.norm.ppf(share))


def jnd(share: float) -> float:
    """A share as Thurstone's Case V reads it, in just-noticeable differences: 75% is 1, 50% is 0, 25% is -1."""
    return float(scipy.stats.norm.ppf(share) / scipy.stats.norm.ppf(JND))


# --- planning and checking -------------------------------------------------------------------------------------------


def spread(rows: pl.DataFrame) -> float:
    """The standard deviation of participants' true shares: what their shares vary beyond the chance of their trials."""
    chosen, shown = (matrix.sum(1) for matrix in counts(rows))
    shares = chosen / shown
    chance = (shares * (1 - shares) / np.maximum(shown - 1, 1)).mean()
    return float(np.sqrt(max(0.0, shares.var(ddof=1) - chance))) if len(shares) > 1 else float("nan")


def participants_needed(
    share: float, trials: int, between: float, *, against: float = 0.5, power: float = 0.8, level: float = 0.95
) -> int:
    """How many participants a two-sided t-test of their shares needs to tell ``share`` from ``against``.

    Each answers ``trials`` trials, and true shares differ between people with the standard deviation ``between``
    (``spread`` of a pilot). The prompts are taken as given: more people do not make up for few prompts.
    """
    if not (0 < share < 1 and 0 < against < 1) or share == against or trials < 1 or between < 0:
        raise ValueError(
            f"no study can tell {share:.0%} from {against:.0%} in {trials} trials with spread {between}: "
            "take two different shares between 0 and 1, at least one trial, and a spread from 0"
        )
    deviation = np.sqrt(between**2 + share * (1 - share) / trials)
    effect = abs(share - against) / deviation
    if TTestPower().power(effect, 3, 1 - level) >= power:
        return 3
    return int(np.ceil(TTestPower().solve_power(effect, None, 1 - level, power)))


def side_bias(rows: pl.DataFrame) -> tuple[Interval, float] | None:
    """The mean share of left choices in the main trials with Student's 95% interval over participants, and its p-value.

    None where sides were not recorded, or of fewer than two participants.
    """
    left = rows.filter(pl.col("kind") == "main", pl.col("choice").is_not_null())
    left = left.group_by("participant").agg(share=(pl.col("choice") == "A").mean())["share"].to_numpy()
    if len(left) < 2:
        return None
    if not left.std() > 0:
        return Interval(left[0], left[0], left[0]), float(left[0] == 0.5)
    test: Any = scipy.stats.ttest_1samp(left, 0.5)  # scipy makes its results' classes at run time
    return Interval(float(left.mean()), *map(float, test.confidence_interval(0.95))), float(test.pvalue)


def time_on_trial(rows: pl.DataFrame) -> pl.DataFrame:
    """Seconds a main trial took by its place in the order: ``place, median, low, high, simulated``; low and high
    are the quartiles."""
    main = rows.filter(pl.col("kind") == "main", pl.col("rt_ms").is_not_null()).sort("session", "position")
    main = main.with_columns(place=pl.int_range(1, pl.len() + 1).over("session"), seconds=pl.col("rt_ms") / 1000)
    return main.group_by("place").agg(
        median=pl.col("seconds").median(), low=pl.col("seconds").quantile(0.25), high=pl.col("seconds").quantile(0.75),
        simulated=pl.col("simulated").any(),
    ).sort("place")  # fmt: skip
