"""Draw and measure a shard's prompts: every seed and step count, each compared with its target picture."""

import time
from collections.abc import Sequence

import polars as pl
import torch
from diffusers import DiffusionPipeline

from . import generate
from .metrics import Judges
from .profiles import Profile
from .scores import ORDER, SCHEMA


def measure_prompts(
    pipe: DiffusionPipeline, judges: Judges, profile: Profile, prompts: Sequence[str], first_id: int, tflops: float
) -> pl.DataFrame:
    """All rows of a few prompts: their target pictures first, then every step count measured against them."""
    pairs = [(row, seed) for row in range(len(prompts)) for seed in profile.seeds]
    embeddings = generate.embed_prompts(pipe, prompts, profile.guidance)
    frames = []
    for start in range(0, len(pairs), profile.batch):
        part = pairs[start : start + profile.batch]
        texts = embeddings.rows([row for row, _ in part])
        latents = generate.noise(pipe, [seed for _, seed in part], profile.image_size)
        target = None
        for steps in sorted(profile.step_counts, reverse=True):
            began = time.perf_counter()
            with generate.EvaluationCounter(pipe) as counter:
                images = generate.sample(pipe, texts, latents, steps, profile.guidance)
            seconds = (time.perf_counter() - began) / len(part)
            seen = judges.look(images)
            target = seen if target is None else target
            scores = judges.compare(images, seen, target)
            for name, values in scores.items():
                if not torch.isfinite(values).all():
                    row = part[int(torch.nonzero(~torch.isfinite(values))[0])][0]
                    raise ValueError(
                        f"{name} of {prompts[row]!r} at {steps} steps is not a number: the picture is broken"
                    )
            rows = {
                "prompt_id": [first_id + row for row, _ in part],
                "prompt": [prompts[row] for row, _ in part],
                "seed": [seed for _, seed in part],
                "steps": [steps] * len(part),
                **{name: values.numpy() for name, values in scores.items()},
                "evals": [counter.calls] * len(part),
                "seconds": [seconds] * len(part),
                "tflops": [counter.calls * tflops] * len(part),
            }
            frames.append(pl.DataFrame(rows, schema=SCHEMA))
    return pl.concat(frames).sort(ORDER)
