"""How much of t* there is to predict at all: halves of the seeds compared, and wordings of one scene."""

import itertools
import random
from functools import partial

import numpy as np
import polars as pl

from bfkit.dataset.curves import dense_curves
from bfkit.metrics.registry import METRICS
from bfkit.mini import world
from bfkit.predictor.rules import Curves, loss, steps_by_plateau
from bfkit.stats import interval


def _seeds(frame: pl.DataFrame) -> list[int]:
    seeds = frame["seed"].unique().sort().to_list()
    if len(seeds) < 2:
        raise ValueError("the score table has one seed: to tell the prompt's share from the seed's takes two")
    return seeds


def reliability(frame: pl.DataFrame, draws: int = 400) -> pl.DataFrame:
    """How much of a prompt's measured curve is the prompt's, and how much its seeds': halves of the seeds compared.

    ``frame`` is a score table. Rows of ``quantity, metric, steps, halves, reliability, low, high, ceiling, ceiling_low,
    ceiling_high``, intervals over prompts. The quantity is the ``plateau`` of a metric, ``steps`` missing, t* being
    that of ``all``; or the ``loss`` at each step count that was drawn. ``halves`` is the correlation over prompts
    between two halves of the seeds, the mean over all such splits; ``reliability`` that of the mean over all seeds
    (Spearman and Brown); ``ceiling``, its root, is the highest correlation with the measured value that any prediction
    from the prompt can be expected to reach. Raises ValueError for fewer than two seeds or three prompts.
    """
    seeds = _seeds(frame)
    if (count := frame["prompt_id"].n_unique()) < 3:
        raise ValueError(f"the score table has {count} prompts: to tell prompts from seeds takes three or more")
    drawn = frame["steps"].unique().sort().to_list()[:-1]  # at the last, the loss is 0
    halves = [half for half in itertools.combinations(seeds, len(seeds) // 2) if len(seeds) % 2 or seeds[0] in half]
    found: dict[tuple[str, str, int | None], list[tuple[np.ndarray, np.ndarray]]] = {}
    for half in halves:
        mine = pl.col("seed").is_in(half)
        pair = [_quantities(dense_curves(frame.filter(part))[1], drawn) for part in (mine, ~mine)]
        for key, first in pair[0].items():
            found.setdefault(key, []).append((first, pair[1][key]))
    rng, rows = np.random.default_rng(0), []
    shares = np.vstack([np.full(count, 1 / count), rng.multinomial(count, np.full(count, 1 / count), draws) / count])
    for (quantity, metric, steps), pairs in found.items():
        first, second = (np.stack(values, axis=1) for values in zip(*pairs, strict=True))
        between = _correlations(first, second, shares).mean(axis=1)
        whole = 2 * between / np.maximum(1 + between, 1e-9)
        value, *ends = (max(float(at), -1.0) for at in (whole[0], *np.quantile(whole[1:], [0.025, 0.975])))
        keys = {"quantity": quantity, "metric": metric, "steps": steps, "halves": float(between[0])}
        found_ = dict(zip(("", "_low", "_high"), (value, *ends), strict=True))
        roots = {f"ceiling{end}": np.sqrt(max(at, 0.0)) for end, at in found_.items()}
        rows.append(keys | {"reliability": value, "low": ends[0], "high": ends[1]} | roots)
    return pl.DataFrame(rows, schema_overrides={"steps": pl.UInt16})


def _quantities(curves: Curves, drawn: list[int]) -> dict[tuple[str, str, int | None], np.ndarray]:
    single = {name: {name: values} for name, values in curves.items()}
    found: dict[tuple[str, str, int | None], np.ndarray] = {}
    for metric, part in {**single, "all": curves}.items():
        found["plateau", metric, None] = steps_by_plateau(part)
        lost = loss(part)
        found |= {("loss", metric, steps): lost[:, steps - 1] for steps in drawn}
    return found


def _correlations(first: np.ndarray, second: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Pearson's between columns (N, K), the rows counting by ``shares`` (D, N): (D, K); 0 where nothing varies."""
    a, b = (values - values.mean(axis=0) for values in (first.astype(float), second.astype(float)))
    mean_a, mean_b = shares @ a, shares @ b
    spread = (shares @ a**2 - mean_a**2) * (shares @ b**2 - mean_b**2)
    varied = spread > 1e-20 * np.maximum((a.var(axis=0) * b.var(axis=0)), 1e-30)
    return np.where(varied, (shares @ (a * b) - mean_a * mean_b) / np.sqrt(np.where(varied, spread, 1)), 0.0)


def reliability_title(found: pl.DataFrame) -> str:
    """The finding of ``reliability``, in a line: up to which step count most of a loss is surely the prompt's."""
    said = []
    for name, info in METRICS.items():
        own = found.filter(quantity="loss", metric=name).sort("steps")
        sure = own.filter(pl.col("low") > 0.5)["steps"]
        said.append(f"up to {sure.max()} on {info.label}" if len(sure) else f"nowhere on {info.label}")
    return f"The prompt surely decides more than half, by steps: {', '.join(said)}"


def ceiling_of_t_star(found: pl.DataFrame) -> str:
    """One sentence on ``reliability``: how much of t* is the prompt's."""
    row = found.filter(quantity="plateau", metric="all").row(0, named=True)
    if row["low"] <= 0:
        return (
            "That prompts differ in their measured t* at all cannot be told from chance: "
            f"at most {max(row['high'], 0):.0%} of the differences are theirs"
        )
    return (
        f"Of the differences in measured t*, {row['reliability']:.0%} ({row['low']:.0%} to {row['high']:.0%}) are the "
        f"prompts'; a prediction from the words can correlate with it by {row['ceiling']:.2f} "
        f"({row['ceiling_low']:.2f} to {row['ceiling_high']:.2f}) at most"
    )


# --- wordings of one scene ------------------------------------------------------------------------------------------


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
    prompts, row by row. Rows of ``metric, steps, within, between, share, low, high``: standard deviations in steps,
    within a scene and between scenes' true means (one-way random effects, equal group sizes), and the share of the
    variance that is the scene's, with its interval over scenes. ``metric`` is each metric's plateau, and ``t*``.
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
        within = groups.var(axis=1, ddof=1)
        between = max(groups.mean(axis=1).var(ddof=1) - within.mean() / wordings, 0.0)
        share = (
            interval(partial(_share, wordings), groups.mean(axis=1), within, draws=1000)
            if np.ptp(groups)
            else (None,) * 3
        )
        rows.append({"metric": "t*" if column == "steps" else METRICS[column].label, "steps": groups.mean(),
                     "within": np.sqrt(within.mean()), "between": np.sqrt(between),
                     **dict(zip(("share", "low", "high"), share, strict=True))})  # fmt: skip
    return pl.DataFrame(rows, schema_overrides=dict.fromkeys(("share", "low", "high"), pl.Float64))


def _share(wordings: int, means: np.ndarray, within: np.ndarray) -> np.ndarray:
    """The part of the variance that lies between groups, along the last axis; 0 where nothing varies."""
    inside = within.mean(axis=-1)
    between = np.maximum(means.var(axis=-1, ddof=1) - inside / wordings, 0)
    return between / np.maximum(between + inside, np.finfo(float).tiny)


def paraphrase_finding(spread: pl.DataFrame) -> str:
    """One sentence on ``paraphrase_spread``: whether t* follows the scene or its wording."""
    row = spread.filter(metric="t*").row(0, named=True)
    if row["share"] is None:
        return "Every wording of every scene gets the same t*"
    verdict = "most" if row["low"] > 0.5 else "less than half" if row["high"] < 0.5 else "about half"
    return (
        f"Of the differences in t*, {verdict} are the scene's: {row['share']:.0%} ({row['low']:.0%} to "
        f"{row['high']:.0%}); the rest is its wording"
    )
