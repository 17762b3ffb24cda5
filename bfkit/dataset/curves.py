"""A score table's curves: the mean over seeds (Eq. 5), at the drawn steps or interpolated to all (Section 3.3)."""

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl
from numpy.typing import ArrayLike

from bfkit import paper

ROUNDING = 1e-6  # a distance below this is none


def mean_curves(frame: pl.DataFrame) -> tuple[list[str], dict[str, np.ndarray], tuple[int, ...]]:
    """The mean over seeds (Eq. 5): prompts, each metric's values (prompts, step counts), and the step counts.

    Raises ValueError if a prompt lacks a step count that another has.
    """
    means = frame.group_by("prompt_id", "prompt", "steps").agg(pl.col(paper.METRICS).mean()).sort("prompt_id", "steps")
    steps = tuple(means["steps"].unique().sort().to_list())
    prompts = means.unique("prompt_id", keep="first").sort("prompt_id")["prompt"].to_list()
    if len(means) != len(prompts) * len(steps):
        counts = means.group_by("prompt_id", "prompt").len().filter(pl.col("len") < len(steps))["prompt"]
        raise ValueError(f"{counts[0]!r} lacks some of the step counts {steps}: make the data set again")
    shape = (len(prompts), len(steps))
    return prompts, {name: means[name].to_numpy().reshape(shape) for name in paper.METRICS}, steps


def interpolate(values: ArrayLike, steps: Sequence[int], dense: ArrayLike | None = None) -> np.ndarray:
    """Curves (..., len(steps)) linearly interpolated to every step (Section 3.3); ``dense`` defaults to 1..steps[-1].

    Raises ValueError if steps do not rise or do not match the values.

    >>> interpolate([0.8, 0.2, 0.1], [1, 3, 5])
    array([0.8 , 0.5 , 0.2 , 0.15, 0.1 ])
    """
    values, grid = np.asarray(values, float), np.asarray(steps, float)
    if values.shape[-1] != len(grid):
        raise ValueError(f"{values.shape[-1]} values for {len(grid)} step counts: give one value for each step count")
    if np.any(np.diff(grid) <= 0):
        raise ValueError(f"the step counts {list(steps)} do not rise: sort them, each once")
    wanted = np.arange(1, int(grid[-1]) + 1) if dense is None else np.asarray(dense)
    flat = values.reshape(-1, len(grid))
    return np.stack([np.interp(wanted, grid, row) for row in flat]).reshape(*values.shape[:-1], len(wanted))


def interpolate_losses(losses: np.ndarray, steps: Sequence[int]) -> np.ndarray:
    """Losses (..., G) at every step from 1 to the last: straight in logarithms, and to 0 at the last itself.

    A straight line between two drawn counts lies above a power of the steps, by a fifth at 13 between 9 and 17: it
    would favour whoever stops at the drawn counts, as UNIFORM does.
    """
    logs = interpolate(
        np.log(np.maximum(losses, ROUNDING)), np.log(steps).tolist(), np.log(np.arange(1, steps[-1] + 1))
    )
    straight = interpolate(losses, steps)
    return np.concatenate([np.exp(logs[..., : steps[-2]]), straight[..., steps[-2] :]], axis=-1)


def dense_curves(frame: pl.DataFrame) -> tuple[list[str], dict[str, np.ndarray]]:
    """``mean_curves`` linearly interpolated to every step from 1 on (Section 3.3): values (prompts, last step)."""
    prompts, curves, steps = mean_curves(frame)
    return prompts, {name: interpolate(values, steps) for name, values in curves.items()}


def long_curves(prompts: Sequence[str], curves: Mapping[str, np.ndarray]) -> pl.DataFrame:
    """Curves (N, T) a metric as rows of ``prompt, metric, steps, value``, steps counted from 1."""
    frames = [
        pl.DataFrame({"prompt": prompt, "metric": name, "steps": np.arange(1, rows.shape[1] + 1), "value": rows[i]})
        for i, prompt in enumerate(prompts)
        for name, rows in curves.items()
    ]
    return pl.concat(frames)
