"""How much of t* there is to predict at all: halves of the seeds compared, and wordings of one scene."""

import itertools
import random

import numpy as np
import polars as pl

from bfkit.dataset.curves import dense_curves
from bfkit.metrics.registry import METRICS
from bfkit.mini import world
from bfkit.predictor.rules import Curves, loss, steps_by_plateau


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


def paraphrase_spread(prompts: pl.DataFrame, chosen: pl.DataFrame) -> pl.DataFrame:
    """How much the steps move between wordings of one scene, and how much between scenes.

    ``prompts`` is what ``paraphrases`` returns (``scene, prompt``), ``chosen`` what ``StepAdvisor.steps`` makes of its
    prompts, row by row. Rows of ``metric, steps, within, between, share``: standard deviations in steps, within a scene
    and between scenes' true means (one-way random effects, equal group sizes), and the share of the variance that is
    the scene's. ``metric`` is each metric's plateau, and ``t*``.
    """
    if prompts["prompt"].to_list() != chosen["prompt"].to_list():
        raise ValueError("the steps are of other prompts: give advisor.steps of the same prompts, in the same order")
    count, wordings = prompts["scene"].n_unique(), len(prompts) // prompts["scene"].n_unique()
    if count < 2 or wordings < 2 or prompts.group_by("scene").len()["len"].n_unique() > 1:
        raise ValueError("a spread within and between needs two scenes or more, each in the same number of wordings")
    rows = []
    order = prompts.with_row_index("row").sort("scene", "row")["row"].to_numpy()
    for column in chosen.columns[1:]:
        groups = chosen[column].to_numpy()[order].astype(float).reshape(count, wordings)
        within = groups.var(axis=1, ddof=1).mean()
        between = max(groups.mean(axis=1).var(ddof=1) - within / wordings, 0.0)
        share = between / (within + between) if within + between else None
        rows.append({"metric": "t*" if column == "steps" else METRICS[column].label, "steps": groups.mean(),
                     "within": np.sqrt(within), "between": np.sqrt(between), "share": share})  # fmt: skip
    return pl.DataFrame(rows, schema_overrides={"share": pl.Float64})
