"""Speed, measured side by side: ours beside what one would write first, in one run, on the hardware it names.

Both of a pair do the same work and are called in turn after a warm-up; what counts is the ratio, pair by pair.
"""

import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from tqdm.auto import tqdm

from . import generate, metrics, paper, plateau, predictor, prompts, scores
from .advisor import StepAdvisor
from .pipelines import load_pipeline
from .profiles import get_profile

REPEATS = 3
ROWS = paper.IMAGES


def side_by_side(ours: Callable[[], Any], plain: Callable[[], Any], repeats: int = REPEATS) -> dict[str, float]:
    """Median seconds of both, called in turn, and the median ratio plain / ours with its least and most."""
    ours(), plain()
    pairs = []
    for _ in range(repeats):
        times = []
        for run in (ours, plain):
            began = time.perf_counter()
            run()
            times.append(time.perf_counter() - began)
        pairs.append(times)
    ratios = sorted(plain_ / ours_ for ours_, plain_ in pairs)
    return {
        "ours_seconds": statistics.median(pair[0] for pair in pairs),
        "plain_seconds": statistics.median(pair[1] for pair in pairs),
        "ratio": statistics.median(ratios),
        "least": ratios[0],
        "most": ratios[-1],
    }


# --- one function a pair: what it is, beside what, and how large -------------------------------------------------------


def generation(count: int = 4, step_counts: tuple[int, ...] = (1, 2, 3, 5, 9, 17)) -> dict[str, Any]:
    """The engine's way to draw all step counts of some prompts and seeds, and diffusers' plain call for each picture."""
    profile = get_profile("mini")
    pipe = load_pipeline(profile)
    texts = list(prompts.mini_captions(count))
    pairs = [(text, seed) for text in texts for seed in profile.seeds]

    def ours() -> None:
        conditions = generate.embed(pipe, profile, [text for text, _ in pairs], [seed for _, seed in pairs])
        with generate.counting(pipe, profile, share_first=True) as count:
            for steps in reversed(step_counts):
                generate.sample(pipe, profile, conditions, steps)
                count.take()

    def plain() -> None:
        for text, seed in pairs:
            for steps in step_counts:
                pipe(text, num_inference_steps=steps, generator=torch.Generator().manual_seed(seed),
                     guidance_scale=profile.guidance, output_type="pt")  # fmt: skip

    pictures = len(pairs) * len(step_counts)
    return {"what": "generation", "plain": "diffusers, picture by picture", "size": f"{pictures} miniature pictures",
            **side_by_side(ours, plain)}  # fmt: skip


def layout(count: int = 2) -> dict[str, Any]:
    """D-SIM of a picture set: each of the twelve pictures embedded once, and dreamsim's model called pair by pair."""
    raise NotImplementedError


def l_snr(count: int = 12, size: int = paper.IMAGE_SIZE) -> dict[str, Any]:
    """Eq. 2 on a batch, and scipy's Gaussian picture by picture."""
    from scipy.ndimage import gaussian_filter

    images = torch.rand((count, 3, size, size), generator=torch.Generator().manual_seed(0))

    def plain() -> list[float]:
        found = []
        for image in images:
            gray = metrics.luminance(image[None])[0, 0].numpy()
            residual = gray - gaussian_filter(gray, paper.GAUSSIAN_SIGMA, mode="mirror")
            found.append(residual.var() / (gray.var() + metrics.VISIBLE))
        return found

    np.testing.assert_allclose(metrics.l_snr(images).numpy(), plain(), atol=1e-4)
    return {"what": "L-SNR", "plain": "scipy.ndimage, picture by picture", "size": f"{count} pictures of {size} x {size}",
            **side_by_side(lambda: metrics.l_snr(images), plain)}  # fmt: skip


def selection(rows: int = 20_000, width: int = 512) -> dict[str, Any]:
    """Eq. 1 in blocks, and the loop that compares one caption at a time with all kept so far."""
    raise NotImplementedError


def prediction(count: int = 256) -> dict[str, Any]:
    """Curves and steps of prompts all at once, and prompt by prompt."""
    advisor = StepAdvisor.from_pretrained("mini")
    texts = list(prompts.mini_captions(count))
    return {"what": "predicting steps", "plain": "one prompt at a time", "size": f"{count} prompts",
            **side_by_side(lambda: advisor.steps(texts), lambda: [advisor.steps([text]) for text in texts])}  # fmt: skip


def _many_rows(rows: int) -> pl.DataFrame:
    """A score table of that many rows, with made-up values: only its size counts here."""
    rng, counts, seeds = np.random.default_rng(0), paper.STEP_COUNTS, paper.SEEDS
    number = np.arange(rows)
    prompt = number // (len(counts) * seeds)
    return pl.DataFrame(
        {
            "prompt_id": prompt,
            "prompt": pl.Series([f"caption {i}" for i in range(prompt[-1] + 1)]).gather(prompt),
            "seed": number // len(counts) % seeds,
            "steps": np.asarray(counts)[number % len(counts)],
            **{name: rng.random(rows, dtype=np.float32) for name in paper.METRICS},
            "evals": 0,
            "seconds": 0.0,
            "tflops": 0.0,
        }
    ).cast(dict(scores.SCHEMA))


def queries(rows: int = ROWS) -> Iterator[dict[str, Any]]:
    """What is asked of a score table of the paper's size: mean curves, one prompt's rows, the split; beside pandas."""
    import pandas as pd

    ours = _many_rows(rows)
    plain = pd.DataFrame({name: ours[name].to_numpy() for name in ours.columns})
    names = list(paper.METRICS)
    pairs = {
        "mean curves of every prompt": (
            lambda: scores.mean_curves(ours),
            lambda: plain.groupby(["prompt_id", "prompt", "steps"])[names].mean(),
        ),
        "mean over the table at each step count": (
            lambda: ours.group_by("steps").agg(pl.col(names).mean()),
            lambda: plain.groupby("steps")[names].mean(),
        ),
        "one prompt's rows": (
            lambda: ours.filter(pl.col("prompt_id") == 777),
            lambda: plain[plain["prompt_id"] == 777],
        ),
        "split by prompt": (
            lambda: scores.split(ours),
            lambda: plain["prompt_id"].isin(plain["prompt_id"].drop_duplicates().sample(frac=0.1)),
        ),
    }
    for name, (one, other) in pairs.items():
        yield {"what": f"query: {name}", "plain": "pandas", "size": f"{rows:,} rows", **side_by_side(one, other)}
