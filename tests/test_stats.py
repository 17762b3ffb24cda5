import numpy as np
import pytest
import scipy.stats

from bfkit import stats


def test_spearman_agrees_with_scipy_ties_included():
    rng = np.random.default_rng(0)
    first, second = rng.integers(0, 6, 50), rng.normal(size=50)
    assert stats.spearman(first, second) == pytest.approx(scipy.stats.spearmanr(first, second).statistic)


def test_the_bootstrap_interval_covers_the_mean_and_narrows_with_more_rows():
    rng = np.random.default_rng(1)
    few, many = rng.normal(3, 1, 20), rng.normal(3, 1, 2000)
    mean, low, high = stats.interval(stats.mean, few)
    assert mean == pytest.approx(few.mean()) and low < mean < high
    _, narrow_low, narrow_high = stats.interval(stats.mean, many)
    assert narrow_high - narrow_low < (high - low) / 5
    standard_error = many.std() / np.sqrt(len(many))
    assert narrow_high - narrow_low == pytest.approx(2 * 1.96 * standard_error, rel=0.1)
