"""How the predictor's error falls with the number of prompts it learns from, measured on the miniature.

``trainings`` train it on ever larger parts of a score table; their errors are shipped as ``learning_curve.csv``. The
curve a + b * n ** -c through them says what to expect of more prompts. It is the miniature's: other models' errors may
lie elsewhere, and fall otherwise.
"""

from collections.abc import Sequence
from functools import partial

import numpy as np
import polars as pl
import torch

from bfkit import paper
from bfkit.dataset.curves import dense_curves
from bfkit.dataset.table import read_scores, split_by_prompt
from bfkit.models.clip import load_clip
from bfkit.predictor.model import absolute_error, fit_predictors
from bfkit.predictor.rules import steps_by_plateau
from bfkit.profiles import PROFILES, TABLES, Profile

from .pieces import Pieces

CURVE = TABLES / "learning_curve.csv"
SIZES = (68, 137, 273, 547)  # training prompts; the last are all that the miniature's split leaves
PARTS = 3  # disjoint sets of training prompts of each size, as far as there are enough
EXPONENTS = np.linspace(0.05, 2, 79)


def trainings(
    profile: Profile = PROFILES["mini"],
    sizes: Sequence[int] = SIZES,
    seed: int = 0,
    device: torch.device | str | None = None,
) -> Pieces:
    """Train on ever more prompts, test on the same held-out ones.

    Rows of ``metric, prompts, part, prompt_id, error, steps``: a held-out prompt's mean absolute error, and its t*.
    Several minutes on two cores; ``bfkit learning-curve`` makes the shipped file again. Raises ValueError for a table
    of too few prompts.
    """
    training, held_out = split_by_prompt(read_scores(profile.scores))
    clip = load_clip(profile.clip, device)
    texts, curves = dense_curves(training)
    test_texts, measured = dense_curves(held_out)
    rows, test_rows = clip.embed_texts(texts), clip.embed_texts(test_texts)
    ids = held_out["prompt_id"].unique().sort()
    order = np.random.default_rng(seed).permutation(len(texts))
    if len(order) < min(sizes):
        raise ValueError(
            f"{len(texts)} prompts to learn from are fewer than {min(sizes)}, with which the curve begins: measure more"
        )

    def errors(size: int, part: int) -> pl.DataFrame:
        chosen = np.sort(order[part * size : (part + 1) * size])
        own = {name: values[chosen] for name, values in curves.items()}
        predicted = fit_predictors(rows[chosen], own, profile.predictor, seed)(test_rows)
        steps = steps_by_plateau(predicted)
        frames = [
            pl.DataFrame({"prompt_id": ids, "error": errors, "steps": steps}).with_columns(
                metric=pl.lit(name), prompts=pl.lit(size), part=pl.lit(part)
            )
            for name, errors in absolute_error(predicted, measured).items()
        ]
        return pl.concat(frames).select("metric", "prompts", "part", "prompt_id", "error", "steps")

    kinds = [(size, part) for size in sizes for part in range(min(PARTS, len(order) // size))]
    return {f"{size} prompts, part {part + 1}": partial(errors, size, part) for size, part in kinds}


def fit_power(sizes: np.ndarray, errors: np.ndarray) -> np.ndarray:
    """Least squares a + b * n ** -c with a, b >= 0 for each row of errors (N, sizes): (N, 3) of a, b, c."""
    best, found = np.full(len(errors), np.inf), np.zeros((len(errors), 3))
    for exponent in EXPONENTS:
        basis = (sizes / sizes[0]) ** -exponent
        spread = basis - basis.mean()
        slope = np.maximum(0, (errors * spread).sum(axis=1) / (spread**2).sum())
        floor = errors.mean(axis=1) - slope * basis.mean()
        through_zero = floor < 0  # then the best curve within bounds has a = 0
        slope = np.where(through_zero, (errors * basis).sum(axis=1) / (basis**2).sum(), slope)
        floor = np.where(through_zero, 0, floor)
        loss = ((floor[:, None] + slope[:, None] * basis - errors) ** 2).sum(axis=1)
        better = loss < best
        best[better] = loss[better]
        found[better] = np.stack([floor, slope * sizes[0] ** exponent, np.full_like(floor, exponent)], axis=1)[better]
    return found


def expect(
    counts: Sequence[int], errors: pl.DataFrame | None = None, level: float = 0.9, draws: int = 1000, seed: int = 0
) -> pl.DataFrame:
    """The error to expect after learning from that many prompts: rows of ``metric, prompts, error, low, high``.

    ``errors`` is what ``trainings`` make (default: the shipped ones). The interval is the fit's: held-out prompts and
    training sets are drawn anew with replacement, and the curve is fitted to each draw.
    """
    errors = pl.read_csv(CURVE) if errors is None else errors
    generator, frames = np.random.default_rng(seed), []
    for name in paper.METRICS:
        own = errors.filter(metric=name)
        sizes = own["prompts"].unique().sort().to_numpy()
        parts = [
            own.filter(prompts=size)
            .sort("part", "prompt_id")["error"]
            .to_numpy()
            .reshape(own.filter(prompts=size)["part"].n_unique(), -1)
            for size in sizes
        ]
        drawn = generator.integers(parts[0].shape[1], size=(draws, parts[0].shape[1]))
        means = np.stack([p[generator.integers(len(p), size=(draws, 1)), drawn].mean(axis=1) for p in parts], axis=1)
        all_of_them = np.stack([p.mean() for p in parts])[None]
        curves = [
            a[:, None] + b[:, None] * np.asarray(counts, float) ** -c[:, None]
            for a, b, c in (fit_power(sizes, values).T for values in (all_of_them, means))
        ]
        low, high = np.quantile(curves[1], [(1 - level) / 2, (1 + level) / 2], axis=0)
        frames.append(
            pl.DataFrame({"prompts": counts, "error": curves[0][0], "low": low, "high": high}).select(
                pl.lit(name).alias("metric"), pl.all()
            )
        )
    return pl.concat(frames)
