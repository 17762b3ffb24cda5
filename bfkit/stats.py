"""Intervals, rank correlations and paired tests over prompts."""

from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
import scipy.stats
from numpy.typing import ArrayLike


def interval(
    statistic: Callable[..., np.ndarray], *columns: np.ndarray, level: float = 0.95, draws: int = 4000, seed: int = 0
) -> tuple[float, float, float]:
    """A statistic of prompts and its bootstrap interval; the columns (N,) are resampled together, prompt by prompt.

    ``statistic`` works along the last axis, as ``mean`` does.

    >>> value, low, high = interval(mean, np.array([0.2, 0.4, 0.6, 0.8]))
    >>> low < value < high
    True
    """
    rows = np.random.default_rng(seed).integers(0, len(columns[0]), (draws, len(columns[0])))
    low, high = np.quantile(statistic(*(column[rows] for column in columns)), [(1 - level) / 2, (1 + level) / 2])
    return float(statistic(*columns)), float(low), float(high)


def mean(values: np.ndarray) -> np.ndarray:
    """The mean along the last axis, for ``interval``."""
    return values.mean(axis=-1)


def correlation(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Pearson's along the last axis, for ``interval``; 0 where one of the two is constant.

    >>> float(correlation(np.array([1.0, 2.0, 3.0]), np.array([3.0, 5.0, 7.0])))
    1.0
    """
    a, b = (values - values.mean(axis=-1, keepdims=True) for values in (first, second))
    spread = np.sqrt((a**2).sum(axis=-1) * (b**2).sum(axis=-1))
    return np.where(spread > 0, (a * b).sum(axis=-1) / np.where(spread > 0, spread, 1), 0.0)


def rank_correlation(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Spearman's along the last axis, for ``interval``: ties at their mean rank, 0 where one of the two is constant.

    >>> float(rank_correlation(np.array([1.0, 2.0, 3.0]), np.array([1.0, 4.0, 9.0])))
    1.0
    """
    return correlation(*(scipy.stats.rankdata(values, axis=-1) for values in (first, second)))


def spearman(first: ArrayLike, second: ArrayLike) -> float:
    """Spearman's rank correlation, ties at their mean rank; not a number if one of the two is constant.

    >>> spearman([1, 2, 3, 4], [1, 4, 9, 16])
    1.0
    """
    frame = pl.DataFrame({"first": np.asarray(first, float), "second": np.asarray(second, float)})
    return frame.select(pl.corr("first", "second", method="spearman")).item()


def paired_tests(difference: np.ndarray) -> tuple[float, float]:
    """Two-sided p-values that paired differences centre on zero: Wilcoxon's signed ranks, and Student's t.

    1 where all the differences are zero; not a number for a single prompt.
    """
    count, error = len(difference), difference.std(ddof=1) / np.sqrt(len(difference)) if len(difference) > 1 else np.nan
    if not difference.any():
        return 1.0, 1.0
    with np.errstate(divide="ignore"):  # equal differences have no spread: t is infinite, p is 0
        t = np.abs(difference.mean()) / error
    ranks: Any = scipy.stats.wilcoxon(difference)  # scipy makes its results' classes at run time
    return float(ranks.pvalue), float(2 * scipy.stats.t.sf(t, count - 1))
