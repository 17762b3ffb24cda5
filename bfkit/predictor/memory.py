"""What an advisor remembers: measured curves of earlier prompts, which correct what is predicted of them and of others.

A Gaussian process over what the prediction missed. Two texts' misses go together by c exp(-(1 - cosine) / reach), and
by the whole variance where they are the same text; what seeds' luck makes of a measured curve is its noise. So a prompt
that was measured before is believed as far as its seeds agree, one like it in part, and a strange one is left to the
network.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl

from bfkit.dataset.curves import dense_curves
from bfkit.dataset.table import complete_prompts

from .rules import Curves

REACHES = (0.02, 0.05, 0.1, 0.2, 0.4, 0.8)
SHARED = (0.0, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0)  # of what is missed, what neighbours can share
SAME = 1 - 1e-4  # cosine of embeddings that are of one text
MOST = 4000  # prompts: the work grows with their cube


@dataclass(frozen=True)
class MetricMemory:
    """One metric's: how far texts tell of each other, and the weights (M, T) of the M remembered texts."""

    reach: float
    shared: float
    weights: np.ndarray

    def correction(self, cosines: np.ndarray) -> np.ndarray:
        """What to add to curves (N, T), from cosines (N, M) to the remembered texts."""
        return _kernel(cosines, self.reach, self.shared) @ self.weights


@dataclass(frozen=True)
class Memory:
    """Texts' embeddings (M, P), normalised, and what each metric remembers of them."""

    texts: np.ndarray
    metrics: Mapping[str, MetricMemory]

    def __call__(self, texts: np.ndarray, curves: Curves) -> dict[str, np.ndarray]:
        """Predicted curves (N, T) of texts (N, P), corrected, within [0, 1]."""
        cosines = _unit(texts) @ self.texts.T
        return {
            name: np.clip(rows + self.metrics[name].correction(cosines), 0, 1).astype(np.float32)
            for name, rows in curves.items()
        }


def _unit(texts: np.ndarray) -> np.ndarray:
    rows = np.asarray(texts, float)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def _kernel(cosines: np.ndarray, reach: float, shared: float) -> np.ndarray:
    """In shares of the variance of what a prediction misses; 1 for the same text."""
    return np.where(cosines > SAME, 1.0, shared * np.exp(-(1 - cosines) / reach))


def measured_curves(scores: pl.DataFrame) -> tuple[list[str], dict[str, np.ndarray], dict[str, float]]:
    """A score table's prompts, dense curves (N, T), and the variance that luck leaves in each, a number a metric.

    With one seed nothing tells luck from the prompt: half of all is then taken for luck, told by not a number.
    Raises ValueError for more prompts than can be remembered.
    """
    whole = complete_prompts(scores)
    prompts, curves = dense_curves(whole)
    if len(prompts) > MOST:
        raise ValueError(f"{len(prompts):,} prompts are more than can be remembered: give {MOST:,} of them")
    seeds = whole["seed"].n_unique()
    spread = whole.group_by("prompt_id", "steps").agg(pl.col(*curves).cast(pl.Float64).var().fill_null(float("nan")))
    luck = {name: float(spread[name].to_numpy().mean()) / seeds for name in curves}
    return prompts, curves, luck


def remember(texts: np.ndarray, predicted: Curves, measured: Curves, luck: Mapping[str, float]) -> Memory:
    """A memory of M texts' embeddings (M, P): what was predicted of them, what was measured, and the luck in that.

    How far a text tells of its neighbours is chosen by what each text's curve would be by all the others.
    """
    rows = _unit(texts)
    cosines = rows @ rows.T
    found = {name: _fit(cosines, np.asarray(measured[name], float) - predicted[name], luck[name]) for name in predicted}
    return Memory(rows, found)


def _fit(cosines: np.ndarray, missed: np.ndarray, luck: float) -> MetricMemory:
    variance = float((missed**2).mean())
    noise = 1.0 if np.isnan(luck) else luck / max(variance - luck, 0.1 * variance, np.finfo(float).tiny)
    tried = {}
    for shared in SHARED:
        for reach in REACHES if shared else REACHES[:1]:
            inverse = np.linalg.inv(_kernel(cosines, reach, shared) + noise * np.eye(len(missed)))
            weights = inverse @ missed
            without = weights / np.diag(inverse)[:, None]  # what is missed of each by all the others
            tried[reach, shared] = (float((without**2).mean()), weights)
    reach, shared = min(tried, key=lambda key: tried[key][0])
    return MetricMemory(reach, shared, tried[reach, shared][1])
