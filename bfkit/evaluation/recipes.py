"""How to spend a budget of evaluations on a data set: many prompts or seeds, all step counts or a few, alike or not.

``trainings`` train the predictor on data sets that cost equally much and are made otherwise, taken from a score table;
the miniature's are shipped as ``mini/tables/recipes.csv``. ``best`` of them is what ``bfkit quickstart`` follows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl
import torch

from bfkit import paper
from bfkit.dataset.curves import dense_curves
from bfkit.dataset.estimate import evaluations_a_set
from bfkit.dataset.table import read_scores, split_by_prompt
from bfkit.models.clip import load_clip
from bfkit.predictor.model import absolute_error, fit_predictors
from bfkit.profiles import PROFILES, TABLES, Profile

from .pieces import Pieces

FILE = TABLES / "recipes.csv"
FEW = (1, 3, 5, 9, 17, 33, 129)  # step counts that lie evenly in their logarithm, of those that the paper draws
Chosen = Literal["at random", "alike", "far apart"]
PROMPTS = 75  # of the dearest recipe: the cheapest then asks for nearly all that there are


@dataclass(frozen=True)
class Recipe:
    """How each prompt is measured."""

    seeds: int
    step_counts: tuple[int, ...]
    chosen: Chosen = "at random"  # how diverse its prompts are, by CLIP

    @property
    def evaluations(self) -> int:
        """Of the denoiser, for a prompt."""
        return self.seeds * evaluations_a_set(self.step_counts)


RECIPES = (
    *(Recipe(seeds, counts) for counts in (paper.STEP_COUNTS, FEW) for seeds in (4, 2, 1)),
    *(Recipe(4, paper.STEP_COUNTS, chosen) for chosen in ("alike", "far apart")),
)


def trainings(
    profile: Profile = PROFILES["mini"],
    prompts: int = PROMPTS,
    recipes: Sequence[Recipe] = RECIPES,
    seed: int = 0,
    device: torch.device | str | None = None,
) -> Pieces:
    """The errors of predictors whose data sets cost what the first recipe's cost with that many prompts.

    Rows of ``seeds, step_counts, chosen, prompts, evaluations, metric, prompt_id, error``: each held-out prompt's mean
    absolute error, measured with all seeds and step counts. A recipe that asks for more prompts than there are is left
    out. Several minutes on two cores. Raises ValueError if the table lacks a recipe's seeds or step counts.
    """
    training, held_out = split_by_prompt(read_scores(profile.scores))
    clip = load_clip(profile.clip, device)
    test_texts, measured = dense_curves(held_out)
    test_rows, test_ids = clip.embed_texts(test_texts), held_out["prompt_id"].unique().sort()
    by_id = training.select("prompt_id", "prompt").unique().sort("prompt_id")
    ids, everything = by_id["prompt_id"].to_numpy(), clip.embed_texts(by_id["prompt"].to_list())
    order, budget = np.random.default_rng(seed).permutation(len(ids)), prompts * recipes[0].evaluations
    tried = [recipe for recipe in recipes if budget // recipe.evaluations <= len(order)]
    if not tried:
        raise ValueError(
            f"{len(order)} prompts are fewer than any recipe asks for: measure more, or name a table that has them"
        )
    made_so = [_measured_so(training, recipe) for recipe in tried]

    def errors(recipe: Recipe, measured_so: pl.DataFrame) -> pl.DataFrame:
        count = budget // recipe.evaluations
        rows = np.sort(_diverse(everything, order, count, recipe.chosen))
        own = measured_so.filter(pl.col("prompt_id").is_in(ids[rows].tolist()))
        fitted = fit_predictors(everything[rows], dense_curves(own)[1], profile.predictor, seed)
        counts = " ".join(map(str, recipe.step_counts))
        keys = {"seeds": recipe.seeds, "step_counts": counts, "chosen": recipe.chosen, "prompts": count,
                "evaluations": count * recipe.evaluations}  # fmt: skip
        frames = [
            pl.DataFrame({"prompt_id": test_ids, "error": errors}).select(
                *(pl.lit(value).alias(key) for key, value in keys.items()), pl.lit(name).alias("metric"), "prompt_id",
                "error")
            for name, errors in absolute_error(fitted(test_rows), measured).items()
        ]  # fmt: skip
        return pl.concat(frames)

    return {str(recipe): partial(errors, recipe, own) for recipe, own in zip(tried, made_so, strict=True)}


def _measured_so(frame: pl.DataFrame, recipe: Recipe) -> pl.DataFrame:
    """A score table as it were if a recipe had made it."""
    seeds = frame["seed"].unique().sort().head(recipe.seeds).to_list()
    lacking = set(recipe.step_counts) - set(frame["steps"].unique())
    if len(seeds) < recipe.seeds or lacking:
        what = f"the step counts {sorted(lacking)}" if lacking else f"{recipe.seeds} seeds"
        raise ValueError(f"the score table lacks {what}: recipes are tried on a table that has all of theirs")
    return frame.filter(pl.col("seed").is_in(seeds), pl.col("steps").is_in(recipe.step_counts))


def _diverse(embeddings: torch.Tensor, order: np.ndarray, count: int, chosen: Chosen) -> np.ndarray:
    """``count`` rows of unit embeddings (N, D): the first of an order, those most like its first, or each unlike all.

    Far apart is greedy: each next one is the one whose nearest chosen prompt is the furthest away.
    """
    if chosen == "at random":
        return order[:count]
    alike = (embeddings @ embeddings.T).cpu().numpy()
    if chosen == "alike":
        return np.argsort(-alike[order[0]], kind="stable")[:count]
    picked, nearest = [order[0]], alike[order[0]].copy()
    while len(picked) < count:
        nearest[picked[-1]] = np.inf
        picked.append(int(nearest.argmin()))
        nearest = np.maximum(nearest, alike[picked[-1]])
    return np.array(picked)


def read_recipes(path: Path = FILE) -> pl.DataFrame:
    """The shipped errors, as ``trainings`` make them; a file of before had all its prompts at random."""
    errors = pl.read_csv(path)
    return errors if "chosen" in errors.columns else errors.with_columns(chosen=pl.lit("at random"))


def summary(errors: pl.DataFrame | None = None) -> pl.DataFrame:
    """What each recipe costs and how it errs, the best first: a row a recipe, a column a metric.

    ``relative`` is its error against the first recipe's, the mean over metrics. ``errors`` is what ``trainings`` make
    (default: the shipped ones).
    """
    errors = read_recipes() if errors is None else errors
    keys = ["seeds", "step_counts", "chosen", "prompts", "evaluations"]
    means = errors.group_by(*keys, "metric", maintain_order=True).agg(pl.col("error").mean())
    wide = means.pivot("metric", index=keys, values="error")
    relative = pl.mean_horizontal(pl.col(name) / pl.col(name).first() for name in paper.METRICS)
    return wide.with_columns(relative.alias("relative")).sort("relative")


def best(errors: pl.DataFrame | None = None) -> Recipe:
    """The recipe of the least error at equal cost, of those that choose no prompts by their words."""
    row = summary(errors).filter(chosen="at random").row(0, named=True)
    return Recipe(row["seeds"], tuple(int(count) for count in row["step_counts"].split()))
