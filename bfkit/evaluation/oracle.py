"""How far predicted steps are from the best: ORACLE, regret, and how much of t* there is to predict at all.

ORACLE is Eq. 7 on the measured curves of the test prompt itself, which nobody has before the picture is drawn.
"""

import numpy as np
import polars as pl

from bfkit.predictor.rules import Curves, at_mean_cost, at_steps, quality, steps_by_plateau, steps_by_uniform
from bfkit.stats import interval, mean, spearman

from .efficiency import Conditions, check_steps

TOLERANCE = 0.2  # a step count within a fifth of ORACLE's is neither under- nor over-generation


def oracles(measured: Curves, mean_steps: float) -> dict[str, np.ndarray]:
    """Three readings of ORACLE, steps (N,) each, all of them off the measured curves.

    ``ORACLE``: Eq. 7 at the paper's weights, at whatever cost that has. ``ORACLE, equal cost``: Eq. 7 with its weights
    shifted so that it spends ``mean_steps``. ``BEST``: the price at the same total. No allocation loses less, but for
    the prompt that the total stops on its way (``rules.at_mean_cost``).
    """
    return {
        "ORACLE": steps_by_plateau(measured),
        "ORACLE, equal cost": at_mean_cost("plateau", measured, mean_steps),
        "BEST": at_mean_cost("price", measured, mean_steps),
    }


def coverage(ours: np.ndarray, measured: Curves) -> pl.DataFrame:
    """The share of the way from UNIFORM to each oracle that OURS covers, by each metric and by their mean, ``all``.

    Rows of ``oracle, metric, steps, uniform, ours, best`` (mean qualities), ``headroom, headroom_low, headroom_high``
    (the oracle's quality above UNIFORM's, paired), ``covered, low, high`` and ``note``. UNIFORM spends what OURS
    spends. The share is left out, and the note says why, where the oracle is not better than UNIFORM or where the
    interval of its headroom reaches down to 0: a ratio to nothing has no meaning. Below 0, OURS is worse than UNIFORM.
    """
    check_steps({"OURS": ours}, measured)
    values = quality(measured)
    values["all"] = np.mean(list(values.values()), axis=0)
    uniform = steps_by_uniform(measured, float(ours.mean()))
    rows = []
    for oracle, steps in oracles(measured, float(ours.mean())).items():
        for metric, curves in values.items():
            base, own, best = (at_steps(curves, each) for each in (uniform, ours, steps))
            headroom = interval(mean, best - base)
            covered, note = (None, None, None), ""
            if headroom[0] <= 0:
                note = f"{oracle} is not better than UNIFORM"
            elif headroom[1] <= 0:
                note = f"{oracle} is not surely better than UNIFORM"
            else:
                covered = interval(_ratio_of_means, own - base, best - base)
            rows.append({"oracle": oracle, "metric": metric, "steps": steps.mean(), "uniform": base.mean(),
                         "ours": own.mean(), "best": best.mean(),
                         **dict(zip(("headroom", "headroom_low", "headroom_high"), headroom, strict=True)),
                         **dict(zip(("covered", "low", "high"), covered, strict=True)), "note": note})  # fmt: skip
    return pl.DataFrame(rows, schema_overrides=dict.fromkeys(("covered", "low", "high"), pl.Float64))


def _ratio_of_means(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return part.mean(axis=-1) / whole.mean(axis=-1)


def regret(steps: Conditions, oracle: np.ndarray, tolerance: float = TOLERANCE) -> pl.DataFrame:
    """How far each condition's steps are from the oracle's, prompt by prompt.

    Rows of ``condition, steps, regret, low, high, dealt, nearer, nearer_low, nearer_high, bias, under, over,
    correlation``: the mean absolute difference in steps with its interval; the same had the condition's steps been
    dealt to the prompts at random, the control, and how much nearer the condition is than that, with its interval; the
    mean signed difference; the shares of prompts below and above the oracle's steps by more than ``tolerance`` of
    them; Spearman's correlation, missing where all the prompts get the same, or a mix of two neighbours. Raises
    ValueError for unequal prompts.
    """
    rows = []
    for condition, own in steps.items():
        if np.shape(own) != np.shape(oracle):
            raise ValueError(
                f"{condition} has {np.size(own)} prompts, the oracle {np.size(oracle)}: compare the same prompts"
            )
        own, goal = np.asarray(own, float), np.asarray(oracle, float)
        found, low, high = interval(mean, np.abs(own - goal))
        dealt = np.abs(own[:, None] - goal).mean(axis=0)  # of each goal, over all that could have been dealt to it
        nearer, least, most = interval(mean, dealt - np.abs(own - goal))
        rows.append({"condition": condition, "steps": own.mean(), "regret": found, "low": low, "high": high,
                     "dealt": dealt.mean(), "nearer": nearer, "nearer_low": least, "nearer_high": most,
                     "bias": (own - goal).mean(),
                     "under": (own < goal * (1 - tolerance)).mean(), "over": (own > goal * (1 + tolerance)).mean(),
                     "correlation": spearman(own, goal) if np.ptp(own) > 1 and np.ptp(goal) else None})  # fmt: skip
    return pl.DataFrame(rows, schema_overrides={"correlation": pl.Float64})


def regret_finding(frame: pl.DataFrame) -> str:
    """The finding of ``regret`` on OURS, in a line: how far it is, and whether it is nearer than a random deal."""
    row = frame.row(by_predicate=pl.col("condition") == "OURS", named=True)
    if row["nearer_low"] > 0:
        said = f"{row['nearer']:.1f} nearer than dealt at random"
    elif row["nearer_high"] < 0:
        said = f"{-row['nearer']:.1f} farther than dealt at random"
    else:
        said = f"as dealt at random ({row['dealt']:.1f}), as far as can be told"
    return f"OURS' steps are {row['regret']:.1f} from ORACLE's, {said}"


def coverage_finding(frame: pl.DataFrame) -> str:
    """One sentence on ``coverage``, all metrics together: what each oracle is worth above UNIFORM."""
    said = []
    for row in frame.filter(metric="all").iter_rows(named=True):
        low, high = row["headroom_low"], row["headroom_high"]
        worth = "is better than" if low > 0 else "is worse than" if high < 0 else "cannot be told from"
        said.append(f"{row['oracle']} {worth} UNIFORM ({row['headroom']:+.4f}, {low:+.4f} to {high:+.4f})")
    return "; ".join(said)
