"""The best single grid of noise levels, learnt on training prompts: what one spacing for all pictures is worth.

An advisor that gives prompts steps of their own competes with a sampler that takes everybody's steps at better places.
So the opponent is tuned as well: each solver on a few spacings, by the D-SIM of its pictures to the plain pipeline's
last ones.
"""

import math
from collections.abc import Mapping, Sequence
from contextlib import nullcontext

import numpy as np
import polars as pl
import torch
from diffusers import DiffusionPipeline
from tqdm.auto import tqdm

from bfkit.metrics.scorer import Features, Scorer
from bfkit.profiles import Profile
from bfkit.sampling.conditioning import Conditioning, embed
from bfkit.sampling.generate import drawn_in_parts, sample
from bfkit.sampling.grids import SOLVERS, on_grid
from bfkit.sampling.systems import SYSTEMS
from bfkit.stats import interval, mean

RHOS = (1.0, 2.0, 3.0, 5.0, 7.0, math.inf)
LOWEST = (0.03, 0.06, 0.12)
AS_IT_IS = "the pipeline's own spacing"
Spacing = tuple[float, float] | None  # rho and the lowest level; None: as the solver is


def _losses(
    pipe: DiffusionPipeline, scorer: Scorer, profile: Profile, conditioning: Conditioning, targets: Features, steps: int
) -> np.ndarray:
    """D-SIM (N,) of pictures in so many steps to their targets, by whatever is entered."""

    def draw(part: Sequence[int]) -> np.ndarray:
        images = sample(pipe, profile, conditioning.rows(part), steps)
        return scorer.compare(images, scorer.features(images), targets[part])["d_sim"].numpy()

    return np.concatenate(list(drawn_in_parts(draw, range(len(conditioning.states)), pipe, profile)))


@torch.inference_mode()
def search(
    pipe: DiffusionPipeline,
    scorer: Scorer,
    profile: Profile,
    prompts: Sequence[str],
    steps: int,
    rhos: Sequence[float] = RHOS,
    lowest: Sequence[float] = LOWEST,
) -> pl.DataFrame:
    """Every solver on every spacing: rows of ``solver, rho, lowest, steps, loss, low, high``, the best first.

    A picture each prompt and of the profile's seeds; ``loss`` is the mean D-SIM to the plain picture at the last step
    count, with its interval over prompts. ``rho`` and ``lowest`` are null for a solver's own spacing.
    """
    asked = [(prompt, seed) for prompt in prompts for seed in profile.seeds]
    conditioning = embed(pipe, profile, [prompt for prompt, _ in asked], [seed for _, seed in asked])

    def look(part: Sequence[int]) -> Features:
        return scorer.features(sample(pipe, profile, conditioning.rows(part), profile.target_steps))

    targets = Features.joined(list(drawn_in_parts(look, range(len(asked)), pipe, profile)))
    spacings: list[Spacing] = [None, *((rho, low) for rho in rhos for low in lowest)]
    tried = [(solver, spacing) for solver in SOLVERS for spacing in spacings]
    rows = []
    for solver, spacing in tqdm(tried, "grids", mininterval=1.0):
        if spacing is not None:
            entered = on_grid(pipe, solver, *spacing)
        else:
            entered = nullcontext() if solver == "Euler" else SYSTEMS[solver](pipe)
        with entered:
            losses = _losses(pipe, scorer, profile, conditioning, targets, steps)
        rho, low_end = spacing or (None, None)
        value, low, high = interval(mean, losses.reshape(len(prompts), -1).mean(axis=1))
        rows.append({"solver": solver, "rho": rho, "lowest": low_end, "steps": steps, "loss": value, "low": low,
                     "high": high})  # fmt: skip
    return pl.DataFrame(rows, schema_overrides={"rho": pl.Float64, "lowest": pl.Float64}).sort("loss")


def best(found: pl.DataFrame) -> Mapping[str, tuple[float, float]]:
    """``Profile.grids`` by a ``search``: each solver's best rho and lowest level, if any beats its own spacing."""
    firsts = found.unique("solver", keep="first", maintain_order=True)
    return {row["solver"]: (row["rho"], row["lowest"]) for row in firsts.drop_nulls("rho").iter_rows(named=True)}


def search_finding(found: pl.DataFrame) -> str:
    """One sentence on a ``search``: the best, beside the pipeline as it is."""
    first = found.row(0, named=True)
    plain = found.filter(pl.col("solver") == "Euler", pl.col("rho").is_null()).row(0, named=True)
    where = AS_IT_IS if first["rho"] is None else f"levels of rho {first['rho']:g} down to {first['lowest']:g}"
    return (
        f"In {first['steps']} steps {first['solver']} on {where} is {first['loss']:.4f} from the last picture by D-SIM "
        f"({first['low']:.4f} to {first['high']:.4f}); Euler as it is, {plain['loss']:.4f} ({plain['low']:.4f} to "
        f"{plain['high']:.4f})"
    )
