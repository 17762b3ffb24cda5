"""A comparison's pictures: drawn by each system, looked at, and written as rows."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import polars as pl
import torch
from diffusers import DiffusionPipeline

from bfkit.metrics.registry import METRICS
from bfkit.metrics.scorer import Features, Scorer
from bfkit.models.pipelines import denoiser
from bfkit.profiles import Profile
from bfkit.sampling import cost, generate
from bfkit.sampling.counting import counting

from .compare import SCHEMA, Entry

Pairs = Sequence[tuple[int, str, int]]  # prompt id, prompt, seed


@dataclass(frozen=True)
class Lab:
    """What a comparison is made with."""

    pipe: DiffusionPipeline
    scorer: Scorer
    classify: Callable[[torch.Tensor], torch.Tensor]  # pictures to logits
    profile: Profile
    compiled: Callable[..., Any] | None = None  # the denoiser's forward, compiled


def _parts(pairs: Pairs, steps: Mapping[str, int], batch: int) -> Iterator[tuple[int, list[int]]]:
    """Batches of pictures that are drawn in equally many steps, as indices into the pairs."""
    groups: dict[int, list[int]] = {}
    for index, (_, prompt, _) in enumerate(pairs):
        groups.setdefault(steps[prompt], []).append(index)
    for count, members in sorted(groups.items()):
        for start in range(0, len(members), batch):
            yield count, members[start : start + batch]


def _draw(lab: Lab, pairs: Pairs, rows: Sequence[int], steps: int) -> torch.Tensor:
    chosen = [pairs[row] for row in rows]
    conditions = generate.embed(lab.pipe, lab.profile, [text for _, text, _ in chosen], [seed for *_, seed in chosen])
    return generate.sample(lab.pipe, lab.profile, conditions, steps)


def _rows_of(features: Features, rows: Sequence[int]) -> Features:
    return Features(features.perceptual[list(rows)], features.semantic[list(rows)], ())


@contextmanager
def _compiled(lab: Lab, entry: Entry | None = None) -> Iterator[None]:
    """Draw with the compiled denoiser, if there is one and the system does not change what a step computes."""
    if lab.compiled is None or (entry and entry.draws and entry.draws.in_denoiser):
        yield
        return
    module = denoiser(lab.pipe, lab.profile)
    own, module.forward = module.forward, lab.compiled
    try:
        yield
    finally:
        module.forward = own


@torch.inference_mode()
def plain_targets(lab: Lab, pairs: Pairs) -> Features:
    """What the scorer sees in the plain pipeline's pictures at the last step count, one row a pair."""
    batch, seen = lab.profile.batch, []
    with _compiled(lab):
        for start in range(0, len(pairs), batch):
            rows = range(start, min(start + batch, len(pairs)))
            seen.append(lab.scorer.features(_draw(lab, pairs, rows, lab.profile.target_steps)))
    return Features(torch.cat([part.perceptual for part in seen]), torch.cat([part.semantic for part in seen]), ())


@torch.inference_mode()
def measure(lab: Lab, entry: Entry, pairs: Pairs, targets: Features) -> pl.DataFrame:
    """All pictures of one system, drawn and measured: rows of ``SCHEMA``."""
    frames, meter = [], cost.EnergyMeter(lab.pipe.device)
    with entry.draws(lab.pipe) if entry.draws else nullcontext(), _compiled(lab, entry):
        for steps, rows in _parts(pairs, entry.steps, lab.profile.batch):
            plain = _rows_of(targets, rows)
            own = (
                lab.scorer.features(_draw(lab, pairs, rows, entry.reference_steps)) if entry.reference_steps else plain
            )
            with counting(lab.pipe, lab.profile) as count, meter as used:
                images = _draw(lab, pairs, rows, steps)
            seen = lab.scorer.features(images)
            scores = lab.scorer.compare(images, seen, own)
            to_plain = lab.scorer.compare(images, seen, plain)
            ids, texts, seeds = zip(*(pairs[row] for row in rows), strict=True)
            size = len(rows)
            frame = {
                "system": [entry.system] * size,
                "share": [entry.share] * size,
                "prompt_id": ids,
                "prompt": texts,
                "seed": seeds,
                "steps": [steps] * size,
                "reference_steps": [entry.reference_steps or lab.profile.target_steps] * size,
                **{name: values.numpy() for name, values in scores.items()},
                "d_sim_plain": to_plain["d_sim"].numpy(),
                "i_clip_plain": to_plain["i_clip"].numpy(),
                "evals": [count.made] * size,
                "seconds": [used.seconds / size] * size,
                "joules": [None if used.joules is None else used.joules / size] * size,
                "tflops": [entry.cost.tflops(steps)] * size,
                "logits": lab.classify(images).float().cpu().tolist(),
            }
            frames.append(pl.DataFrame(frame, schema=SCHEMA))
    return pl.concat(frames).sort("prompt_id", "seed")


def broken(frame: pl.DataFrame) -> str | None:
    """What is wrong with the first row whose scores are not all numbers, in a sentence; None where all are."""
    scores = (*METRICS, "d_sim_plain", "i_clip_plain")
    rows = frame.filter(~pl.all_horizontal(pl.col(scores).is_finite()))
    if not len(rows):
        return None
    row = rows.row(0, named=True)
    return (
        f"the picture of {row['prompt']!r}, seed {row['seed']}, {row['steps']} steps by {row['system']} is broken: not "
        "all its values are numbers"
    )
