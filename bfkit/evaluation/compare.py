"""Table 2: every system draws the same prompts and seeds for the cost of OURS, and is measured against its reference.

OURS, UNIFORM and REFERENCE are compared with the plain pipeline's picture at the profile's last step count, as in the
paper; every other system with a picture of its own at REFERENCE's cost. All are compared with the plain picture as
well, which other samplers of the same equation come near.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import torch
from diffusers import DiffusionPipeline
from tqdm.auto import tqdm

from bfkit import paper
from bfkit.dataset.shards import configuration
from bfkit.dataset.table import read_metadata, write_table
from bfkit.devices import hardware
from bfkit.metrics.scorer import Features, Scorer
from bfkit.predictor.rules import deal_evenly
from bfkit.profiles import Profile
from bfkit.sampling import cost, generate
from bfkit.sampling.counting import counting
from bfkit.sampling.systems import SYSTEMS, Cost, System, count_cost

SCHEMA = pl.Schema(
    {
        "system": pl.String,
        "share": pl.Float32,  # of OURS' steps, in a combination; null for the systems of Table 2
        "prompt_id": pl.UInt32,
        "prompt": pl.String,
        "seed": pl.Int64,
        "steps": pl.UInt16,
        "reference_steps": pl.UInt16,
        "l_snr": pl.Float32,
        "d_sim": pl.Float32,  # to the system's own reference, and i_clip
        "i_clip": pl.Float32,
        "d_sim_plain": pl.Float32,  # to the plain pipeline's picture at the last step count, and i_clip_plain
        "i_clip_plain": pl.Float32,
        "evals": pl.UInt16,
        "seconds": pl.Float32,
        "joules": pl.Float32,  # null where nothing measures them
        "tflops": pl.Float32,
        "logits": pl.List(pl.Float32),  # of the classifier behind the inception score
    }
)
COMBINED = ("DPM-Solver++ 2M", "DeepCache", "ToMe")  # what the advisor's steps are combined with
SHARES = (0.25, 0.5, 1.0)
Pairs = Sequence[tuple[int, str, int]]  # prompt id, prompt, seed


@dataclass(frozen=True)
class Entry:
    """How one system draws: the steps of each prompt, and of its reference; 0 if that is the plain picture."""

    system: str
    steps: Mapping[str, int]
    reference_steps: int
    cost: Cost
    draws: System | None = None  # by which the pipeline draws; None: as it is
    share: float | None = None


@dataclass(frozen=True)
class Lab:
    """What a comparison is made with."""

    pipe: DiffusionPipeline
    scorer: Scorer
    classify: Callable[[torch.Tensor], torch.Tensor]  # pictures to logits
    profile: Profile


def uniform_steps(steps: Mapping[str, int]) -> dict[str, int]:
    """UNIFORM: the same total number of steps, dealt out as evenly as whole numbers allow."""
    return dict(zip(steps, deal_evenly(sum(steps.values()), len(steps)).tolist(), strict=True))


def table2_entries(pipe: DiffusionPipeline, profile: Profile, ours: Mapping[str, int]) -> list[Entry]:
    """OURS as given, UNIFORM at its mean, REFERENCE, and the other systems at the same counted cost a picture."""
    plain = count_cost(pipe, profile)
    budget = plain.tflops(1) * float(np.mean(list(ours.values())))
    entries = [
        Entry("OURS", ours, 0, plain),
        Entry("UNIFORM", uniform_steps(ours), 0, plain),
        Entry("REFERENCE", dict.fromkeys(ours, paper.REFERENCE_STEPS), 0, plain),
    ]
    for name, system in SYSTEMS.items():
        own = count_cost(pipe, profile, system)
        reference = own.steps(plain.tflops(paper.REFERENCE_STEPS))
        entries.append(Entry(name, dict.fromkeys(ours, own.steps(budget)), reference, own, system))
    return entries


def combination_entries(pipe: DiffusionPipeline, profile: Profile, ours: Mapping[str, int]) -> list[Entry]:
    """OURS and UNIFORM, each drawn by the plain pipeline and by ``COMBINED``, at shares of OURS' steps.

    A system is named ``OURS + ToMe``; all are measured against the plain picture.
    """
    costs = {name: (SYSTEMS.get(name), count_cost(pipe, profile, SYSTEMS.get(name))) for name in ("plain", *COMBINED)}
    entries = []
    for share in SHARES:
        fewer = {prompt: max(1, round(share * steps)) for prompt, steps in ours.items()}
        for dealt, steps in (("OURS", fewer), ("UNIFORM", uniform_steps(fewer))):
            entries += [
                Entry(f"{dealt} + {name}", steps, 0, own, system, share) for name, (system, own) in costs.items()
            ]
    return entries


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


@torch.inference_mode()
def plain_targets(lab: Lab, pairs: Pairs) -> Features:
    """What the scorer sees in the plain pipeline's pictures at the last step count, one row a pair."""
    batch, seen = lab.profile.batch, []
    for start in tqdm(range(0, len(pairs), batch), "plain pictures", mininterval=1.0):
        rows = range(start, min(start + batch, len(pairs)))
        seen.append(lab.scorer.features(_draw(lab, pairs, rows, lab.profile.target_steps)))
    return Features(torch.cat([part.perceptual for part in seen]), torch.cat([part.semantic for part in seen]), ())


@torch.inference_mode()
def measure(lab: Lab, entry: Entry, pairs: Pairs, targets: Features) -> pl.DataFrame:
    """All pictures of one system, drawn and measured: rows of ``SCHEMA``."""
    frames, meter = [], cost.EnergyMeter(lab.pipe.device)
    parts = list(_parts(pairs, entry.steps, lab.profile.batch))
    with entry.draws(lab.pipe) if entry.draws else nullcontext():
        for steps, rows in tqdm(parts, entry.system, mininterval=1.0):
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


def compare(lab: Lab, ours: Mapping[int, tuple[str, int]], folder: Path) -> pl.DataFrame:
    """Every system and combination on the same prompts (id: text and OURS' steps) and the profile's seeds; resumes.

    A system that is finished lies in a file of its own in ``folder``; one made otherwise, or for other steps, is
    made again. Returns all rows, systems in the table's order.
    """
    pairs = [(number, prompt, seed) for number, (prompt, _) in ours.items() for seed in lab.profile.seeds]
    steps = dict(ours.values())
    entries = table2_entries(lab.pipe, lab.profile, steps) + combination_entries(lab.pipe, lab.profile, steps)
    folder.mkdir(parents=True, exist_ok=True)
    targets, frames = None, []
    for entry in entries:
        share = "" if entry.share is None else f"-{entry.share:g}"
        path = folder / f"{entry.system.replace(' ', '')}{share}.parquet"
        noted = {
            "configuration": configuration(lab.profile),
            "steps": dict(entry.steps),
            "reference": entry.reference_steps,
        }
        if not path.is_file() or {**read_metadata(path), "hardware": None} != {**noted, "hardware": None}:
            targets = plain_targets(lab, pairs) if targets is None else targets
            write_table(measure(lab, entry, pairs, targets), path, {**noted, "hardware": hardware(lab.pipe.device)})
        frames.append(pl.read_parquet(path))
    return pl.concat(frames)
