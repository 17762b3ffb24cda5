"""How to spend a budget of evaluations on a data set: many prompts or many seeds, all step counts or a few.

``measure`` trains the predictor on data sets that cost equally much and are made otherwise, taken from a score table;
the miniature's are shipped as ``mini/tables/recipes.csv``. ``best`` of them is what ``bfkit quickstart`` follows.
"""

from collections.abc import Sequence
from dataclasses import dataclass

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

FILE = TABLES / "recipes.csv"
FEW = (1, 3, 5, 9, 17, 33, 129)  # step counts that lie evenly in their logarithm, of those that the paper draws
PROMPTS = 75  # of the dearest recipe: the cheapest then asks for nearly all that there are


@dataclass(frozen=True)
class Recipe:
    """How each prompt is measured."""

    seeds: int
    step_counts: tuple[int, ...]

    @property
    def evaluations(self) -> int:
        """Of the denoiser, for a prompt."""
        return self.seeds * evaluations_a_set(self.step_counts)


RECIPES = tuple(Recipe(seeds, counts) for counts in (paper.STEP_COUNTS, FEW) for seeds in (4, 2, 1))


def measure(
    profile: Profile = PROFILES["mini"],
    prompts: int = PROMPTS,
    recipes: Sequence[Recipe] = RECIPES,
    seed: int = 0,
    device: torch.device | str | None = None,
) -> pl.DataFrame:
    """The errors of predictors whose data sets cost what the first recipe's cost with that many prompts.

    Rows of ``seeds, step_counts, prompts, evaluations, metric, prompt_id, error``: each held-out prompt's mean absolute
    error, measured with all seeds and step counts. A recipe that asks for more prompts than there are is left out.
    Several minutes on two cores. Raises ValueError if the table lacks a recipe's seeds or step counts.
    """
    training, held_out = split_by_prompt(read_scores(profile.scores))
    clip = load_clip(profile.clip, device)
    test_texts, measured = dense_curves(held_out)
    test_rows, test_ids = clip.embed_texts(test_texts), held_out["prompt_id"].unique().sort()
    ids, budget = training["prompt_id"].unique().sort().to_numpy(), prompts * recipes[0].evaluations
    order, frames = np.random.default_rng(seed).permutation(ids), []
    for recipe in recipes:
        count = budget // recipe.evaluations
        if count > len(order):
            continue
        own = _measured_so(training, recipe).filter(pl.col("prompt_id").is_in(order[:count].tolist()))
        texts, curves = dense_curves(own)
        fitted = fit_predictors(clip.embed_texts(texts), curves, profile.predictor, seed)
        for name, errors in absolute_error(fitted(test_rows), measured).items():
            keys = {"seeds": recipe.seeds, "step_counts": " ".join(map(str, recipe.step_counts)), "prompts": count,
                    "evaluations": count * recipe.evaluations, "metric": name}  # fmt: skip
            tested = pl.DataFrame({"prompt_id": test_ids, "error": errors})
            frames.append(tested.select(**{key: pl.lit(value) for key, value in keys.items()}, prompt_id="prompt_id",
                                        error="error"))  # fmt: skip
    if not frames:
        raise ValueError(
            f"{len(order)} prompts are fewer than any recipe asks for: measure more, or name a table that has them"
        )
    return pl.concat(frames)


def _measured_so(frame: pl.DataFrame, recipe: Recipe) -> pl.DataFrame:
    """A score table as it were if a recipe had made it."""
    seeds = frame["seed"].unique().sort().head(recipe.seeds).to_list()
    lacking = set(recipe.step_counts) - set(frame["steps"].unique())
    if len(seeds) < recipe.seeds or lacking:
        what = f"the step counts {sorted(lacking)}" if lacking else f"{recipe.seeds} seeds"
        raise ValueError(f"the score table lacks {what}: recipes are tried on a table that has all of theirs")
    return frame.filter(pl.col("seed").is_in(seeds), pl.col("steps").is_in(recipe.step_counts))


def summary(errors: pl.DataFrame | None = None) -> pl.DataFrame:
    """What each recipe costs and how it errs, the best first: a row a recipe, a column a metric.

    ``relative`` is its error against the first recipe's, the mean over metrics. ``errors`` is what ``measure`` returns
    (default: the shipped ones).
    """
    errors = pl.read_csv(FILE) if errors is None else errors
    keys = ["seeds", "step_counts", "prompts", "evaluations"]
    means = errors.group_by(*keys, "metric", maintain_order=True).agg(pl.col("error").mean())
    wide = means.pivot("metric", index=keys, values="error")
    relative = pl.mean_horizontal(pl.col(name) / pl.col(name).first() for name in paper.METRICS)
    return wide.with_columns(relative.alias("relative")).sort("relative")


def best(errors: pl.DataFrame | None = None) -> Recipe:
    """The recipe of the least error at equal cost."""
    row = summary(errors).row(0, named=True)
    return Recipe(row["seeds"], tuple(int(count) for count in row["step_counts"].split()))
