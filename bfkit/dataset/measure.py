"""Draw and measure a shard's prompts: every seed and step count, each compared with its target picture.

A batch holds pictures of several prompts and seeds. Its target pictures come first and are looked at once; all other
step counts follow, each beginning with the target's first evaluation, which they share. Pictures are kept if asked.
"""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import polars as pl
import torch
from diffusers import DiffusionPipeline
from PIL import Image

from bfkit.devices import synchronize
from bfkit.metrics.scorer import Scorer
from bfkit.profiles import Profile
from bfkit.sampling import generate
from bfkit.sampling.counting import counting
from bfkit.sampling.generate import Conditioning

from .table import ORDER, SCHEMA

WEBP: dict[str, Any] = {"quality": 90, "method": 4}

_FITTING: WeakKeyDictionary[DiffusionPipeline, int] = WeakKeyDictionary()  # batches that memory was found to hold


class BrokenPicture(ValueError):
    """A picture or its scores have values that are not numbers; other pictures may well be whole."""


def picture_path(folder: Path, prompt_id: int, seed: int, steps: int) -> Path:
    """Where a kept picture lies."""
    return folder / f"{prompt_id:06d}" / f"seed{seed}-steps{steps:04d}.webp"


def _keep(images: torch.Tensor, paths: Sequence[Path]) -> None:
    pixels = (images.clamp(0, 1).permute(0, 2, 3, 1) * 255).round().byte().cpu().numpy()
    for picture, path in zip(pixels, paths, strict=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(path, **WEBP)


def fitting_batch(pipe: DiffusionPipeline, profile: Profile) -> int:
    """How many pictures are drawn at once: the profile's batch, or what memory was found to hold of it."""
    return min(profile.batch, _FITTING.get(pipe, profile.batch))


def _out_of_memory(error: RuntimeError) -> bool:
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def _check_finite(images: torch.Tensor, scores: dict[str, torch.Tensor], names: Sequence[str]) -> None:
    broken = ~torch.isfinite(images).flatten(1).all(dim=1).cpu()
    for values in scores.values():
        broken |= ~torch.isfinite(values)
    if broken.any():
        name = names[int(broken.nonzero()[0])]
        raise BrokenPicture(f"the picture of {name} is broken: not all its values are numbers")


def measure_prompts(
    pipe: DiffusionPipeline,
    scorer: Scorer,
    profile: Profile,
    prompts: Sequence[str],
    first_id: int,
    tflops: float,
    keep: Path | None = None,
) -> pl.DataFrame:
    """All rows of a few prompts, in order; ``tflops`` is what one evaluation costs, ``keep`` a folder for the pictures.

    A batch that memory does not hold is drawn again in halves, and the size that fits is remembered for the pipeline.
    Raises ``BrokenPicture`` if a picture has values that are not finite, ValueError if not even one picture fits.
    """
    pairs = [(row, seed) for row in range(len(prompts)) for seed in profile.seeds]
    conditions = generate.embed(pipe, profile, [prompts[row] for row, _ in pairs], [seed for _, seed in pairs])
    frames, start = [], 0
    while start < len(pairs):
        size = _FITTING.get(pipe, profile.batch)
        part = range(start, min(start + size, len(pairs)))
        keys = [(first_id + pairs[i][0], prompts[pairs[i][0]], pairs[i][1]) for i in part]
        try:
            frames.extend(_measure_batch(pipe, scorer, profile, conditions.rows(part), keys, tflops, keep))
            start = part.stop
        except RuntimeError as error:
            if not _out_of_memory(error):
                raise
            if len(part) == 1:
                raise ValueError(
                    f"{pipe.device} has too little memory for one picture of {profile.name} at {profile.image_size} "
                    f"pixels: use a larger device, a smaller profile, or dtype float16"
                ) from None
            _FITTING[pipe] = len(part) // 2
        if size != _FITTING.get(pipe, profile.batch) and torch.cuda.is_available():
            torch.cuda.empty_cache()  # once the failed attempt's tensors are let go
    return pl.concat(frames).sort(ORDER)


def _measure_batch(
    pipe: DiffusionPipeline,
    scorer: Scorer,
    profile: Profile,
    conditions: Conditioning,
    keys: Sequence[tuple[int, str, int]],
    tflops: float,
    keep: Path | None,
) -> list[pl.DataFrame]:
    """The rows of one batch, a frame a step count; ``keys`` are each picture's prompt id, prompt and seed."""
    ids, texts, seeds = zip(*keys, strict=True)
    target, frames = None, []
    with counting(pipe, profile, share_first=True) as count:
        for steps in sorted(profile.step_counts, reverse=True):
            synchronize(pipe.device)
            began = time.perf_counter()
            images = generate.sample(pipe, profile, conditions, steps)
            synchronize(pipe.device)
            seconds, evals = (time.perf_counter() - began) / len(keys), count.take()
            seen = scorer.features(images)
            target = seen if target is None else target
            scores = scorer.compare(images, seen, target)
            names = [f"{text!r}, seed {seed}, {steps} steps" for text, seed in zip(texts, seeds, strict=True)]
            _check_finite(images, scores, names)
            if keep is not None:
                _keep(images, [picture_path(keep, i, seed, steps) for i, seed in zip(ids, seeds, strict=True)])
            rows = {
                "prompt_id": ids,
                "prompt": texts,
                "seed": seeds,
                "steps": [steps] * len(keys),
                **{name: values.numpy() for name, values in scores.items()},
                "evals": [evals] * len(keys),
                "seconds": [seconds] * len(keys),
                "tflops": [evals * tflops] * len(keys),
            }
            frames.append(pl.DataFrame(rows, schema=SCHEMA))
    return frames
