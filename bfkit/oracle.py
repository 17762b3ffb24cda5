"""How far predicted steps are from the best: ORACLE, regret, and how much of t* there is to predict at all.

ORACLE is Eq. 7 on the measured curves of the test prompt itself, which nobody has before the picture is drawn.
"""

import itertools
import random

import numpy as np
import polars as pl

from .efficiency import Conditions, check_steps
from .metrics import METRICS
from .mini import world
from .rules import Curves, at_mean_cost, at_steps, loss, quality, steps_by_plateau, steps_by_uniform
from .scores import dense_curves
from .stats import interval, mean, spearman

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

    Rows of ``condition, steps, regret, low, high, dealt, bias, under, over, correlation``: the mean absolute difference
    in steps with its interval; the same had the condition's steps been dealt to the prompts at random, the control; the
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
        rows.append({"condition": condition, "steps": own.mean(), "regret": found, "low": low, "high": high,
                     "dealt": np.abs(own[:, None] - goal).mean(), "bias": (own - goal).mean(),
                     "under": (own < goal * (1 - tolerance)).mean(), "over": (own > goal * (1 + tolerance)).mean(),
                     "correlation": spearman(own, goal) if np.ptp(own) > 1 and np.ptp(goal) else None})  # fmt: skip
    return pl.DataFrame(rows, schema_overrides={"correlation": pl.Float64})


# --- what there is to predict --------------------------------------------------------------------------------------


def _seeds(frame: pl.DataFrame) -> list[int]:
    seeds = frame["seed"].unique().sort().to_list()
    if len(seeds) < 2:
        raise ValueError("the score table has one seed: to tell the prompt's share from the seed's takes two")
    return seeds


def reliability(frame: pl.DataFrame) -> pl.DataFrame:
    """How much of a prompt's measured curve is the prompt's, and how much its seeds': halves of the seeds compared.

    ``frame`` is a score table. Rows of ``quantity, metric, steps, halves, reliability, ceiling``. The quantity is the
    ``plateau`` of a metric, ``steps`` missing, t* being that of ``all``; or the ``loss`` at each step count that was
    drawn. ``halves`` is the correlation over prompts between two halves of the seeds, the mean over all such splits;
    ``reliability`` that of the mean over all seeds (Spearman and Brown); ``ceiling``, its root, is the highest
    correlation with the measured value that any prediction from the prompt can be expected to reach. Raises ValueError
    for fewer than two seeds or three prompts.
    """
    seeds = _seeds(frame)
    if (count := frame["prompt_id"].n_unique()) < 3:
        raise ValueError(f"the score table has {count} prompts: to tell prompts from seeds takes three or more")
    drawn = frame["steps"].unique().sort().to_list()[:-1]  # at the last, the loss is 0
    halves = [half for half in itertools.combinations(seeds, len(seeds) // 2) if len(seeds) % 2 or seeds[0] in half]
    found: dict[tuple[str, str, int | None], list[float]] = {}
    for half in halves:
        mine = pl.col("seed").is_in(half)
        pair = [_quantities(dense_curves(frame.filter(part))[1], drawn) for part in (mine, ~mine)]
        for key, first in pair[0].items():
            found.setdefault(key, []).append(_correlation(first, pair[1][key]))
    rows = []
    for (quantity, metric, steps), each in found.items():
        halves_ = float(np.mean(each))
        whole = 2 * halves_ / (1 + halves_) if halves_ > -1 else -np.inf
        rows.append({"quantity": quantity, "metric": metric, "steps": steps, "halves": halves_, "reliability": whole,
                     "ceiling": np.sqrt(max(whole, 0.0))})  # fmt: skip
    return pl.DataFrame(rows, schema_overrides={"steps": pl.UInt16})


def _quantities(curves: Curves, drawn: list[int]) -> dict[tuple[str, str, int | None], np.ndarray]:
    single = {name: {name: values} for name, values in curves.items()}
    found: dict[tuple[str, str, int | None], np.ndarray] = {}
    for metric, part in {**single, "all": curves}.items():
        found["plateau", metric, None] = steps_by_plateau(part)
        lost = loss(part)
        found |= {("loss", metric, steps): lost[:, steps - 1] for steps in drawn}
    return found


def _correlation(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.corrcoef(first, second)[0, 1]) if np.ptp(first) and np.ptp(second) else 0.0


# --- paraphrases ---------------------------------------------------------------------------------------------------


def paraphrases(scenes: int = 100, wordings: int = 4, seed: int = 12) -> pl.DataFrame:
    """Scenes of the miniature's world, each in several distinct captions, all true of it: ``scene, prompt``.

    A scene with fewer ways to be worded is passed over. Captions differ in their words and their order, and some say
    less than others.
    """
    rng, rows, index = random.Random(seed), [], 0
    for scene in world.sample_scenes(4 * scenes, seed):
        found = dict.fromkeys(world.describe(scene, rng) for _ in range(8 * wordings))
        if len(found) >= wordings:
            rows += [{"scene": index, "prompt": prompt} for prompt in list(found)[:wordings]]
            index += 1
        if index == scenes:
            break
    return pl.DataFrame(rows)


def paraphrase_spread(prompts: pl.DataFrame, plan: pl.DataFrame) -> pl.DataFrame:
    """How much the steps move between wordings of one scene, and how much between scenes.

    ``prompts`` is what ``paraphrases`` returns (``scene, prompt``), ``plan`` what ``StepAdvisor.steps`` makes of its
    prompts, row by row. Rows of ``metric, steps, within, between, share``: standard deviations in steps, within a scene
    and between scenes' true means (one-way random effects, equal group sizes), and the share of the variance that is
    the scene's. ``metric`` is each metric's plateau, and ``t*``.
    """
    if prompts["prompt"].to_list() != plan["prompt"].to_list():
        raise ValueError("the plan is not of these prompts: give advisor.steps of the same prompts, in the same order")
    count, wordings = prompts["scene"].n_unique(), len(prompts) // prompts["scene"].n_unique()
    if count < 2 or wordings < 2 or prompts.group_by("scene").len()["len"].n_unique() > 1:
        raise ValueError("a spread within and between needs two scenes or more, each in the same number of wordings")
    rows = []
    order = prompts.with_row_index("row").sort("scene", "row")["row"].to_numpy()
    for column in plan.columns[1:]:
        groups = plan[column].to_numpy()[order].astype(float).reshape(count, wordings)
        within = groups.var(axis=1, ddof=1).mean()
        between = max(groups.mean(axis=1).var(ddof=1) - within / wordings, 0.0)
        share = between / (within + between) if within + between else None
        rows.append({"metric": "t*" if column == "steps" else METRICS[column].label, "steps": groups.mean(),
                     "within": np.sqrt(within), "between": np.sqrt(between), "share": share})  # fmt: skip
    return pl.DataFrame(rows, schema_overrides={"share": pl.Float64})
