"""The most that any choice of steps can save of UNIFORM's loss, by knowing the prompt and by knowing the picture.

A picture's loss is the quality that a step count still lacks, compared with its own last one. Whoever knows the prompt
knows the part of it that all seeds share; the rest is the noise's. Where the distance to a picture's own end falls as
a power of the steps, a_i n^-b, with log-normal a_i of variance s^2, the best allocation of a total saves a share of
1 - exp(-(s^2 / 2) b / (1 + b)) of the mean loss; to whoever knows the prompt alone, s^2 is the prompts' part of it.
Beside that stands what was found, with half of the seeds or in hindsight.
"""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import polars as pl

from bfkit import paper
from bfkit.dataset.curves import ROUNDING, interpolate_losses
from bfkit.dataset.table import complete_prompts
from bfkit.metrics.registry import METRICS
from bfkit.predictor.rules import at_mean_cost, at_steps, steps_by_uniform
from bfkit.stats import interval

DISTANCE = (
    "d_sim"  # to a picture's own end: never below 0, and so a power of the steps, where the others come to both sides
)
BUDGETS = (9, 17, 33)
NOTHING = 0.005  # a share whose interval begins below this is none


def picture_curves(frame: pl.DataFrame) -> tuple[dict[str, np.ndarray], list[int]]:
    """Each metric's values of every picture, (prompts, seeds, step counts), of a score table; and the step counts.

    Prompts that lack pictures are left out, with a warning. Raises ValueError for fewer than two seeds or three
    prompts: nothing could be told apart.
    """
    whole = complete_prompts(frame).sort("prompt_id", "seed", "steps")
    shape = tuple(whole[name].n_unique() for name in ("prompt_id", "seed", "steps"))
    if shape[0] < 3 or shape[1] < 2:
        raise ValueError(
            f"the score table has {shape[0]} prompts and {shape[1]} seeds: to tell the prompt's share from the seed's "
            "takes three and two"
        )
    steps = whole["steps"].unique().sort().to_list()
    return {name: whole[name].to_numpy().reshape(shape).astype(float) for name in paper.METRICS}, steps


def lost(values: np.ndarray, metric: str) -> np.ndarray:
    """What each step count (..., steps) still lacks of the last one's quality, by one metric."""
    falls = values - values[..., -1:]
    return falls if METRICS[metric].lower_is_better else -falls


# --- whose it is ----------------------------------------------------------------------------------------------------


def _prompts_part(means: np.ndarray, spreads: np.ndarray, seeds: int) -> np.ndarray:
    """The variance of prompts' true means, from ``means`` and variances within (..., N): one-way random effects."""
    return np.maximum(means.var(axis=-1, ddof=1) - spreads.mean(axis=-1) / seeds, 0)


def _share(means: np.ndarray, spreads: np.ndarray, seeds: int) -> np.ndarray:
    between, within = _prompts_part(means, spreads, seeds), spreads.mean(axis=-1)
    return between / np.maximum(between + within, np.finfo(float).tiny)


def shares(frame: pl.DataFrame) -> pl.DataFrame:
    """The prompt's share of the loss's variance over pictures, by metric and step count.

    ``frame`` is a score table. Rows of ``metric, steps, loss`` (the mean), ``spread`` (standard deviation), ``share,
    low, high`` with the ends of its interval over prompts, and ``scale``: spread and share are of the loss itself, and
    once more of its logarithm where it is a distance. Raises ValueError for too few prompts or seeds.
    """
    curves, steps = picture_curves(frame)
    rows = []
    for metric, values in curves.items():
        losses = lost(values, metric)
        scales = {"loss": losses}
        if metric == DISTANCE:
            scales["log loss"] = np.log(np.maximum(losses, ROUNDING))
        for scale, each in scales.items():
            for place, count in enumerate(steps[:-1]):  # at the last, the loss is 0
                here = each[..., place]
                seeds = here.shape[1]
                share, low, high = interval(
                    lambda means, spreads, seeds=seeds: _share(means, spreads, seeds),
                    here.mean(axis=1),
                    here.var(axis=1, ddof=1),
                )
                rows.append({"metric": metric, "steps": count, "scale": scale, "loss": losses[..., place].mean(),
                             "spread": here.std(), "share": share, "low": low, "high": high})  # fmt: skip
    return pl.DataFrame(rows, schema_overrides={"steps": pl.UInt16})


# --- what it is worth -----------------------------------------------------------------------------------------------


def best_saving(variance: float | np.ndarray, exponent: float | np.ndarray) -> np.ndarray:
    """The share of UNIFORM's mean loss that the best allocation saves of a_i n^-b: log a_i has this variance, b is
    ``exponent``.

    >>> round(float(best_saving(1.5**2, 1.6)), 2), round(float(best_saving(0.6**2, 1.6)), 2)
    (0.5, 0.1)
    """
    b = np.asarray(exponent, float)
    return 1 - np.exp(-np.asarray(variance) / 2 * b / (1 + b))


def exponent(log_losses: np.ndarray, steps: Sequence[int]) -> np.ndarray:
    """b of a_i n^-b: minus the slope of each picture's log losses (..., G) over the log steps (G,)."""
    across = np.log(np.asarray(steps, float))
    across = across - across.mean()
    return -(log_losses @ across) / (across @ across)


def ceilings(frame: pl.DataFrame, budgets: Sequence[float] = BUDGETS) -> pl.DataFrame:
    """How much of UNIFORM's mean D-SIM loss could be saved at equal steps, knowing the prompt, or the picture.

    ``frame`` is a score table, ``budgets`` are mean steps. Rows of ``budget, knows, how, saved, low, high``, shares of
    UNIFORM's loss with an interval over prompts. ``knows`` is the prompt or the picture, ``how`` one of

    - ``power law``: the closed form, with the exponent and the variance from half the budget to twice;
    - ``half the seeds``: the price's steps on the mean curve of one half of the seeds, judged on the other half, the
      mean over all halves: what a table of measured curves is worth as it is, luck and all;
    - ``half, shrunk``: the same by a_i n^-b, each prompt's a_i drawn to the mean of all as far as it is luck (the best
      linear predictor). Whoever saw more seeds would do better;
    - ``hindsight``: the price's steps on each picture's own curve, judged on that curve. Nobody does better.

    Only D-SIM is a distance; the others come to their end from both sides. Raises ValueError for too few prompts or
    seeds, or a budget for which the table has not two step counts from half of it to twice.
    """
    curves, steps = picture_curves(frame)
    losses = lost(curves[DISTANCE], DISTANCE)
    dense = interpolate_losses(losses, steps)
    rows = []
    for budget in budgets:
        near = [place for place, count in enumerate(steps[:-1]) if budget / 2 <= count <= 2 * budget]
        if len(near) < 2:
            raise ValueError(
                f"a budget of {budget:g} steps cannot be judged: of half as many to twice, the score table has not two "
                f"step counts among {', '.join(map(str, steps))}"
            )
        law = _Law([steps[place] for place in near], np.log(np.maximum(losses[..., near], ROUNDING)))
        found = {
            ("prompt", "power law"): law.saving(prompt=True),
            ("prompt", "half the seeds"): _two_halves(dense, budget, lambda half: dense[:, half].mean(axis=1)),
            ("prompt", "half, shrunk"): _two_halves(dense, budget, partial(law.shrunk, last=steps[-1])),
            ("picture", "power law"): law.saving(prompt=False),
            ("picture", "hindsight"): _hindsight(dense, budget),
        }
        rows += [
            {"budget": float(budget), "knows": knows, "how": how, "saved": saved, "low": low, "high": high}
            for (knows, how), (saved, low, high) in found.items()
        ]
    return pl.DataFrame(rows)


@dataclass(frozen=True)
class _Law:
    """a_i n^-b about one budget: the step counts (G,) and the log losses (N, S, G) of N prompts' S pictures."""

    steps: list[int]
    logs: np.ndarray

    def saving(self, prompt: bool) -> tuple[float, float, float]:
        """The closed form, by the prompt's variance or by all of it."""
        seeds, levels = self.logs.shape[1], self.logs.mean(axis=-1)

        def share(slopes: np.ndarray, means: np.ndarray, spreads: np.ndarray) -> np.ndarray:
            variance = _prompts_part(means, spreads, seeds) + (0 if prompt else spreads.mean(axis=-1))
            return best_saving(variance, slopes.mean(axis=-1))

        slopes = exponent(self.logs, self.steps).mean(axis=1)
        return interval(share, slopes, levels.mean(axis=1), levels.var(axis=1, ddof=1))

    def shrunk(self, half: Sequence[int], last: int) -> np.ndarray:
        """Curves (N, last) of a_i n^-b from some of the seeds, log a_i being the best linear predictor."""
        own = self.logs[:, half]
        levels = own.mean(axis=-1)
        means, luck = levels.mean(axis=1), levels.var(axis=1, ddof=1).mean() / len(half) if len(half) > 1 else None
        if luck is None:  # one seed tells nothing of its luck: all the seeds do
            luck = self.logs.mean(axis=-1).var(axis=1, ddof=1).mean()
        kept = max(0.0, 1 - luck / max(means.var(ddof=1), np.finfo(float).tiny))
        b = exponent(own, self.steps).mean()
        return np.exp(kept * (means - means.mean()))[:, None] * np.arange(1, last + 1.0) ** -b


def _saved(chosen: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    return 1 - chosen.mean(axis=-1) / uniform.mean(axis=-1)


def _two_halves(
    dense: np.ndarray, budget: float, curves: Callable[[list[int]], np.ndarray]
) -> tuple[float, float, float]:
    """Steps by what ``curves`` makes of some seeds, judged with the others; ``dense`` are losses (N, S, T)."""
    seeds, own, even = range(dense.shape[1]), [], []
    for half in itertools.combinations(seeds, len(seeds) // 2):
        judged = dense[:, [seed for seed in seeds if seed not in half]].mean(axis=1)
        seen = {DISTANCE: curves(list(half))}
        own.append(at_steps(judged, at_mean_cost("price", seen, budget)))
        even.append(at_steps(judged, steps_by_uniform(seen, budget)))
    return interval(_saved, np.mean(own, axis=0), np.mean(even, axis=0))


def _hindsight(dense: np.ndarray, budget: float) -> tuple[float, float, float]:
    """Pictures' steps from their own curves, judged on these; prompts are resampled with all their pictures."""
    count, seeds, last = dense.shape
    pictures = dense.reshape(-1, last)
    both = (rule({DISTANCE: pictures}, budget) for rule in (partial(at_mean_cost, "price"), steps_by_uniform))
    return interval(_saved, *(at_steps(pictures, each).reshape(count, seeds).mean(axis=1) for each in both))


def ceiling_finding(frame: pl.DataFrame, budget: float) -> str:
    """One sentence on ``ceilings``: what the prompt alone can save at most, and what the picture."""

    def said(knows: str, how: str) -> str:
        saved, low, high = frame.filter(budget=budget, knows=knows, how=how).select("saved", "low", "high").row(0)
        return f"{saved:.0%} ({low:.0%} to {high:.0%})"

    return (
        f"Of UNIFORM's D-SIM loss at {budget:g} steps the prompt alone can save at most {said('prompt', 'power law')} "
        f"here, the picture {said('picture', 'power law')}, as far as losses are powers of the steps; prompts measured "
        f"with half of the seeds saved {said('prompt', 'half, shrunk')} on the other half, and nobody saves more than "
        f"{said('picture', 'hindsight')}, with each picture's own curve in hindsight"
    )


def ceiling_title(frame: pl.DataFrame, budget: float) -> str:
    """The finding of ``ceilings`` at one budget, in a line: what knowing prompt or picture saves, by the law."""
    said = []
    for knows in ("prompt", "picture"):
        saved, low, high = (
            frame.filter(budget=budget, knows=knows, how="power law").select("saved", "low", "high").row(0)
        )
        said.append(f"{saved:.0%} ({low:.0%} to {high:.0%})" if low > NOTHING else f"nothing sure (up to {high:.0%})")
    return f"At {budget:g} steps words could save {said[0]} of the loss, knowing the picture {said[1]}"
