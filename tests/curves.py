"""Curves and scores with known properties, for the tests of what is computed from curves alone."""

import numpy as np
import polars as pl

from bfkit import paper

STEPS = np.arange(1, 130)
DRAWN = (1, 2, 3, 5, 9, 17, 33)


def falling_curves(count: int, seed: int = 0, noise: float = 0.0) -> dict[str, np.ndarray]:
    """Curves of the three metrics, (count, 129), each prompt with a height and a rate of its own."""
    rng = np.random.default_rng(seed)
    curves = {}
    for name in paper.METRICS:
        height, rate = rng.uniform(0.1, 0.6, (count, 1)), rng.uniform(2, 30, (count, 1))
        curves[name] = height * np.exp(-(STEPS - 1) / rate) + 0.1 + noise * rng.normal(size=(count, 129))
    return curves | {"i_clip": 1 - curves["i_clip"]}


def drawn_curves(count: int, seed: int = 0) -> dict[str, np.ndarray]:
    """The same with bumps and straight pieces, as measured curves have them between the step counts that were drawn."""
    dense = falling_curves(count, seed, noise=0.01)
    knots = np.array(paper.STEP_COUNTS)
    return {
        name: np.stack([np.interp(STEPS, knots, row[knots - 1]) for row in values]) for name, values in dense.items()
    }


def score_table(prompt_share: float, prompts: int = 300, seeds: int = 4, rng_seed: int = 0) -> pl.DataFrame:
    """Scores whose losses differ by prompt and by seed, with a given share of the variance owed to the prompt."""
    rng = np.random.default_rng(rng_seed)
    rows = []
    for prompt in range(prompts):
        common = {name: rng.normal(size=len(DRAWN)) for name in paper.METRICS}
        for seed in range(seeds):
            own = {
                name: 0.3 + 0.02 * (prompt_share**0.5 * common[name] + (1 - prompt_share) ** 0.5 * rng.normal(size=7))
                for name in paper.METRICS
            }
            for k, steps in enumerate(DRAWN):
                values = {name: own[name][k] if k < 6 else 0.0 for name in paper.METRICS}
                values["i_clip"] = 1 - values["i_clip"]
                rows.append({"prompt_id": prompt, "prompt": str(prompt), "seed": seed, "steps": steps, **values})
    return pl.DataFrame(rows, schema_overrides={"steps": pl.UInt16})
