"""A comparison's pictures: drawn by each system, looked at, and written as rows."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import polars as pl
import torch
from diffusers import DiffusionPipeline

from bfkit.dataset.truth import Checker
from bfkit.metrics.registry import METRICS
from bfkit.metrics.scorer import Features, Scorer
from bfkit.models.pipelines import denoiser
from bfkit.profiles import Profile
from bfkit.sampling import generate
from bfkit.sampling.conditioning import Conditioning, embed
from bfkit.sampling.counting import counting
from bfkit.sampling.energy import EnergyMeter
from bfkit.sampling.hooks import replaced

from .compare import SCHEMA, Entry

Pairs = Sequence[tuple[int, str, int]]  # prompt id, prompt, seed


@dataclass(frozen=True)
class Lab:
    """What a comparison is made with."""

    pipe: DiffusionPipeline
    scorer: Scorer
    classify: Callable[[torch.Tensor], torch.Tensor]  # pictures to logits
    checker: Checker | None
    profile: Profile
    compiled: Callable[..., Any] | None = None  # the denoiser's forward, compiled


def _by_steps(pairs: Pairs, steps: Mapping[str, int]) -> list[tuple[int, list[int]]]:
    """Step counts, rising, with the pictures that are drawn in as many, as indices into the pairs."""
    groups: dict[int, list[int]] = {}
    for index, (_, prompt, _) in enumerate(pairs):
        groups.setdefault(steps[prompt], []).append(index)
    return sorted(groups.items())


def _embed(lab: Lab, pairs: Pairs) -> Conditioning:
    return embed(lab.pipe, lab.profile, [text for _, text, _ in pairs], [seed for *_, seed in pairs])


def _draw(lab: Lab, pairs: Pairs, steps: int) -> torch.Tensor:
    """Pictures of all pairs, by whatever is entered; those of no numbers drawn again in float32."""
    conditioning = _embed(lab, pairs)
    return generate.mended(lab.pipe, lab.profile, conditioning, steps, _sample(lab, conditioning, steps))


def _sample(lab: Lab, conditioning: Conditioning, steps: int) -> torch.Tensor:
    return generate.sample(lab.pipe, lab.profile, conditioning, steps)


@contextmanager
def _compiled(lab: Lab, entry: Entry | None = None) -> Iterator[None]:
    """Draw with the compiled denoiser, if there is one and the system does not change what a step computes."""
    if lab.compiled is None or (entry and entry.draws and entry.draws.in_denoiser):
        yield
        return
    with replaced(denoiser(lab.pipe, lab.profile), "forward", lab.compiled):
        yield


@contextmanager
def _drawing(lab: Lab, entry: Entry) -> Iterator[None]:
    """Draw by the entry's system; entered anew for every batch, since one that memory ends leaves a system midway."""
    with entry.draws(lab.pipe) if entry.draws else nullcontext(), _compiled(lab, entry):
        yield


@torch.inference_mode()
def plain_targets(lab: Lab, pairs: Pairs) -> Features:
    """What the scorer sees in the plain pipeline's pictures at the last step count, one row a pair; NaN if broken."""

    def look(rows: Sequence[int]) -> Features:
        with _compiled(lab):
            images = _draw(lab, [pairs[row] for row in rows], lab.profile.target_steps)
        return _seen(lab, images)

    seen = list(generate.drawn_in_parts(look, range(len(pairs)), lab.pipe, lab.profile))
    return Features.joined(seen)


def _seen(lab: Lab, images: torch.Tensor) -> Features:
    """What the scorer sees, which in broken pictures is nothing: NaN."""
    whole = generate.are_whole(images)
    images[~whole] = 0
    found = lab.scorer.features(images)
    found.perceptual[~whole] = found.semantic[~whole] = torch.nan
    return found


@torch.inference_mode()
def measure(lab: Lab, entry: Entry, pairs: Pairs, targets: Features) -> pl.DataFrame:
    """All pictures of one system, drawn and measured: rows of ``SCHEMA``; scores of broken pictures are NaN."""
    frames = []
    batch = 1 if entry.draws and entry.draws.alone else None
    for steps, rows in _by_steps(pairs, entry.steps):
        draw = partial(_measure, lab, entry, pairs, targets, steps)
        frames += generate.drawn_in_parts(draw, rows, lab.pipe, lab.profile, batch)
    return pl.concat(frames).sort("prompt_id", "seed")


def _measure(lab: Lab, entry: Entry, pairs: Pairs, targets: Features, steps: int, rows: Sequence[int]) -> pl.DataFrame:
    """One batch of a system's pictures, all in equally many steps."""
    chosen, meter, size = [pairs[row] for row in rows], EnergyMeter(lab.pipe.device), len(rows)
    plain = targets[rows]
    with _drawing(lab, entry):
        own = _seen(lab, _draw(lab, chosen, entry.reference_steps)) if entry.reference_steps else plain
        conditioning = _embed(lab, chosen)
        with counting(lab.pipe, lab.profile) as count, meter as used:
            images = _sample(lab, conditioning, steps)
        images = generate.mended(lab.pipe, lab.profile, conditioning, steps, images)
    taken = count.made if entry.draws and entry.draws.alone else steps
    seen = _seen(lab, images)
    scores = lab.scorer.compare(images, seen, own)
    to_plain = lab.scorer.compare(images, seen, plain)
    ids, texts, seeds = zip(*chosen, strict=True)
    frame = {
        "system": [entry.system] * size,
        "share": [entry.share] * size,
        "prompt_id": ids,
        "prompt": texts,
        "seed": seeds,
        "steps": [taken] * size,
        "reference_steps": [entry.reference_steps or lab.profile.target_steps] * size,
        **{name: values.numpy() for name, values in scores.items()},
        "d_sim_plain": to_plain["d_sim"].numpy(),
        "i_clip_plain": to_plain["i_clip"].numpy(),
        "evals": [count.made] * size,
        "seconds": [used.seconds / size] * size,
        "joules": [None if used.joules is None else used.joules / size] * size,
        "tflops": [entry.cost.tflops(taken)] * size,
        "clip_score": lab.scorer.clip_score(seen, texts).numpy(),
        "verdicts": lab.checker(images, texts) if lab.checker else [None] * size,
        "logits": lab.classify(images).float().cpu().tolist(),
    }
    return pl.DataFrame(frame, schema=SCHEMA)


def without_broken(frame: pl.DataFrame) -> tuple[pl.DataFrame, list[str]]:
    """The rows of pairs that every system has drawn whole, and in a sentence each, the pictures that are not."""
    scores = (*METRICS, "d_sim_plain", "i_clip_plain")
    rows = frame.filter(~pl.all_horizontal(pl.col(scores).is_finite()))
    said = [
        f"the picture of {row['prompt']!r}, seed {row['seed']}, {row['steps']} steps by {row['system']}, or the one it "
        "is compared with, has values that are no numbers, drawn in float32 too"
        for row in rows.iter_rows(named=True)
    ]
    return frame.join(rows.select("prompt_id", "seed").unique(), on=["prompt_id", "seed"], how="anti"), said
