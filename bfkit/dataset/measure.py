"""Draw and measure a shard's prompts: every seed and step count, each compared with its target picture.

A batch holds pictures of several prompts and seeds. Its target pictures come first and are looked at once; all other
step counts follow, each beginning with the target's first evaluation, which they share. Pictures are kept if asked,
written by other threads meanwhile.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from weakref import WeakSet

import numpy as np
import polars as pl
import torch
from diffusers import DiffusionPipeline
from PIL import Image

from bfkit.metrics.scorer import Scorer
from bfkit.profiles import Profile
from bfkit.sampling import generate
from bfkit.sampling.conditioning import Conditioning, embed
from bfkit.sampling.counting import Evaluations, counting
from bfkit.sampling.energy import EnergyMeter
from bfkit.sampling.pixels import to_bytes

from . import looks, truth
from .failures import SCHEMA as FAILURES
from .table import ORDER, SCHEMA
from .truth import Checker

BESIDE = pl.Schema({**looks.SCHEMA, **truth.SCHEMA})  # what a shard's rows hold beside the scores
MEASURED = pl.Schema({**SCHEMA, **BESIDE})
Images = TypeVar("Images", torch.Tensor, torch.Tensor | None)
WEBP: dict[str, Any] = {"quality": 90, "method": 4}
WRITERS = min(8, os.cpu_count() or 1)  # threads that encode pictures

_PROVEN: WeakSet[DiffusionPipeline] = WeakSet()  # that have measured a whole batch


# --- kept pictures --------------------------------------------------------------------------------------------------


def picture_path(folder: Path, prompt_id: int, seed: int, steps: int) -> Path:
    """Where a kept picture lies."""
    return folder / f"{prompt_id:06d}" / f"seed{seed}-steps{steps:04d}.webp"


def _write(pixels: np.ndarray, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **WEBP)


class _Album:
    """Writes pictures in threads, or none where there is no folder; ``_album`` waits for them."""

    def __init__(self, folder: Path | None) -> None:
        self.folder, self.written = folder, list[Future]()
        self.threads = ThreadPoolExecutor(WRITERS) if folder else None

    def keep(self, images: torch.Tensor, keys: Sequence[tuple[int, int, int]]) -> None:
        """Write pictures, by their prompt id, seed and steps."""
        if self.threads and self.folder and keys:
            for pixels, key in zip(to_bytes(images), keys, strict=True):
                self.written.append(self.threads.submit(_write, pixels, picture_path(self.folder, *key)))


@contextmanager
def _album(folder: Path | None) -> Iterator[_Album]:
    """What is to be kept is on the disk when this ends, however it ends; OSError where the disk does not take it."""
    album = _Album(folder)
    try:
        yield album
    finally:
        if album.threads:
            album.threads.shutdown()
    for written in album.written:
        written.result()


# --- a shard's prompts ----------------------------------------------------------------------------------------------


def measure_prompts(
    pipe: DiffusionPipeline,
    scorer: Scorer,
    profile: Profile,
    prompts: Sequence[str],
    first_id: int,
    tflops: float,
    keep: Path | None = None,
    checker: Checker | None = None,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """All rows of a few prompts, in order, and those that are left out, with the reason (``failures.SCHEMA``).

    ``tflops`` is what one evaluation costs, ``keep`` a folder for the pictures, ``checker`` what tells whether they
    show what was asked. A batch that memory does not hold is drawn again in halves, and the size that fits is
    remembered for the pipeline. A picture with values that are no numbers is drawn again in float32; where that does
    not help, it alone is left out. ValueError if not even one picture fits.
    """
    keys = [(first_id + row, prompt, seed) for row, prompt in enumerate(prompts) for seed in profile.seeds]
    conditioning = embed(pipe, profile, [prompt for _, prompt, _ in keys], [seed for *_, seed in keys])

    def measure(part: Sequence[int]) -> tuple[pl.DataFrame, pl.DataFrame]:
        with _album(keep) as album:
            own = [keys[row] for row in part]
            return _measure_batch(pipe, scorer, checker, profile, conditioning.rows(part), own, tflops, album)

    parts = list(generate.drawn_in_parts(measure, range(len(keys)), pipe, profile))
    rows, failures = (pl.concat(frames).sort(ORDER) for frames in zip(*parts, strict=True))
    return rows, failures


def _measure_batch(
    pipe: DiffusionPipeline,
    scorer: Scorer,
    checker: Checker | None,
    profile: Profile,
    conditioning: Conditioning,
    keys: Sequence[tuple[int, str, int]],
    tflops: float,
    album: _Album,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The rows of one batch, and those that are left out; ``keys`` are each picture's prompt id, prompt and seed."""
    if pipe not in _PROVEN:  # one step tells at once what the many steps of the targets would tell much later
        scorer.features(generate.sample(pipe, profile, conditioning, 1))
    ids, texts, seeds = zip(*keys, strict=True)
    target, untold, parts = None, {}, []
    meter = EnergyMeter(pipe.device)
    with counting(pipe, profile, share_first=True) as count:
        for steps in sorted(profile.step_counts, reverse=True):
            drawn = _draw(pipe, profile, conditioning, steps, count, meter)
            seen = scorer.features(drawn.images)
            shown = count.look if target is None else None
            if target is None:
                target, untold = seen, dict.fromkeys(drawn.broken, "the picture that it is compared with is broken")
            scores = scorer.compare(drawn.images, seen, target)
            unscored = ~torch.stack([torch.isfinite(values) for values in scores.values()]).all(dim=0)
            reasons = dict.fromkeys(unscored.nonzero().flatten().tolist(), "its scores are no numbers")
            reasons |= untold | drawn.broken
            whole = [row for row in range(len(keys)) if row not in reasons]
            album.keep(drawn.images[whole], [(ids[row], seeds[row], steps) for row in whole])
            rows = {
                "prompt_id": ids,
                "prompt": texts,
                "seed": seeds,
                "steps": [steps] * len(keys),
                **{name: values.numpy() for name, values in scores.items()},
                "evals": drawn.evals,
                "seconds": drawn.seconds,
                "tflops": [evals * tflops for evals in drawn.evals],
                "joules": drawn.joules,
                looks.LOOK: looks.listed(shown, len(keys)),
                "clip_score": scorer.clip_score(seen, texts).numpy(),
                "verdicts": checker(drawn.images, texts) if checker else [None] * len(keys),
            }
            failures = [(*keys[row], steps, reasons[row]) for row in sorted(reasons)]
            parts.append((pl.DataFrame(rows, MEASURED)[whole], pl.DataFrame(failures, FAILURES, orient="row")))
    _PROVEN.add(pipe)
    rows, failures = (pl.concat(frames) for frames in zip(*parts, strict=True))
    return rows, failures


@dataclass(frozen=True)
class _Drawn:
    """Pictures of one step count, with what each of them took; a broken one is black, with a reason."""

    images: torch.Tensor
    evals: list[int]
    seconds: list[float]
    joules: list[float | None]
    broken: dict[int, str]


@torch.inference_mode()
def _draw(
    pipe: DiffusionPipeline,
    profile: Profile,
    conditioning: Conditioning,
    steps: int,
    count: Evaluations,
    meter: EnergyMeter,
) -> _Drawn:
    """Draw a batch; then, in float32 and one by one, those of its pictures that are no numbers."""

    def metered(draw: Callable[..., Images], rows: Conditioning) -> tuple[Images, int, float, float | None]:
        with meter as used:
            drawn = draw(pipe, profile, rows, steps)
        return drawn, count.take(), used.seconds, used.joules

    images, made, took, used = metered(generate.sample, conditioning)
    size, broken = len(images), {}
    evals, seconds, joules = [made] * size, [took / size] * size, [None if used is None else used / size] * size
    for row in (~generate.are_whole(images)).nonzero().flatten().tolist():
        with count.apart():
            again, evals[row], seconds[row], joules[row] = metered(generate.sample_in_float32, conditioning.rows([row]))
        images[row] = 0
        if again is None:
            broken[row] = "it has values that are no numbers, and memory does not hold it in float32"
        elif not generate.are_whole(again).all():
            broken[row] = "it has values that are no numbers, drawn in float32 too"
        else:
            images[row] = again[0]
    return _Drawn(images, evals, seconds, joules, broken)
