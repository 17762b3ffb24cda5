"""A hierarchical estimate: people and prompts as crossed random effects on the log-odds of choosing OURS."""

from dataclasses import dataclass

import numpy as np
import polars as pl
import scipy.sparse
import scipy.special
import scipy.stats
from statsmodels.genmod.bayes_mixed_glm import BinomialBayesMixedGLM

from .analysis import Interval
from .design import OURS


@dataclass(frozen=True)
class Mixed:
    """The share of OURS over all people and prompts, and how far either strays, in log-odds.

    ``left`` is what standing on the left adds to the log-odds; None where sides were not recorded.
    """

    share: Interval
    people: float
    prompts: float
    left: Interval | None


def is_mixed(main: pl.DataFrame) -> bool:
    """True if main trials come from several people and prompts and differ in their answers."""
    return all(main[name].n_unique() > 1 for name in ("participant", "prompt", "chosen"))


def mixed_share(rows: pl.DataFrame, level: float = 0.95) -> Mixed:
    """Fit statsmodels' BinomialBayesMixedGLM, with crossed random intercepts, to the main trials of one protocol.

    GEE takes clusters of one kind only, and answers here are clustered by people and by prompts. The deviations come
    from variational Bayes, whose factorised posterior makes the mean look too certain; its error is therefore that of
    the joint curvature of all effects at those deviations (Laplace). Shares are averaged over both random effects.
    Raises ValueError if there are fewer than two people or prompts, or all answered alike.
    """
    main = rows.filter(kind="main")
    if not is_mixed(main):
        raise ValueError("a mixed model wants two people, two prompts, and answers that differ: take crossed()")
    sided = main["left_condition"].is_not_null().all()
    first_left = [(main["left_condition"] == OURS).to_numpy() - 0.5] if sided else []
    fixed = np.column_stack([np.ones(len(main)), *first_left])
    groups = [main[name] for name in ("participant", "prompt")]
    effects = scipy.sparse.csr_matrix(scipy.sparse.hstack([_indicators(group) for group in groups]))
    kind = np.repeat([0, 1], [group.n_unique() for group in groups])
    chosen = (main["chosen"] == OURS).to_numpy().astype(float)
    model = BinomialBayesMixedGLM(chosen, fixed, effects, kind, vcp_p=1, fe_p=2)
    # Start from no effects: the default start is drawn at random, and the same answers shall give the same numbers.
    size = fixed.shape[1] + 2 + len(kind)
    fitted = model.fit_vb(mean=np.zeros(size), sd=np.full(size, 0.5))
    deviations = np.exp(fitted.vcp_mean)
    mean, error = _at_deviations(chosen, fixed, effects, deviations[kind])
    reach = scipy.stats.norm.ppf((1 + level) / 2) * error
    ends = [Interval(m, m - r, m + r) for m, r in zip(mean, reach, strict=True)]
    total = float(np.hypot(*deviations))
    share = ends[0].map(lambda center: _averaged(center, total))
    return Mixed(share, float(deviations[0]), float(deviations[1]), ends[1] if sided else None)


def _indicators(values: pl.Series) -> scipy.sparse.csr_matrix:
    codes = values.rank("dense").to_numpy() - 1
    return scipy.sparse.csr_matrix((np.ones(len(codes)), (np.arange(len(codes)), codes)))


def _at_deviations(
    chosen: np.ndarray, fixed: np.ndarray, effects: scipy.sparse.csr_matrix, deviations: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Fixed effects and their errors with the random effects' deviations given: Newton's method on all effects."""
    design = scipy.sparse.hstack([fixed, effects]).tocsr()
    prior = np.concatenate([np.full(fixed.shape[1], 1 / 2**2), deviations**-2.0])
    values = np.zeros(len(prior))
    for _ in range(50):
        chance = scipy.special.expit(design @ values)
        curvature = (design.T @ design.multiply((chance * (1 - chance))[:, None])).toarray() + np.diag(prior)
        step = np.linalg.solve(curvature, design.T @ (chosen - chance) - prior * values)
        values += step
        if np.abs(step).max() < 1e-8:
            break
    error = np.sqrt(np.diag(np.linalg.inv(curvature)))
    return values[: fixed.shape[1]], error[: fixed.shape[1]]


def _averaged(center: float, deviation: float) -> float:
    """The mean of the logistic function over a normal distribution, by Gauss-Hermite quadrature."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(31)
    return float(weights @ scipy.special.expit(center + deviation * nodes) / weights.sum())
