"""Table 2: every system draws the same prompts and seeds for the cost of OURS, and is measured against its reference.

OURS, UNIFORM and REFERENCE are compared with the plain pipeline's picture at the profile's last step count, as in the
paper; every other system with a picture of its own at REFERENCE's cost. All are compared with the plain picture as
well, which other samplers of the same equation come near. A system that a pipeline cannot draw by is left out by name.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl
from diffusers import DiffusionPipeline

from bfkit import paper
from bfkit.dataset import truth
from bfkit.predictor.rules import deal_evenly
from bfkit.profiles import Profile
from bfkit.sampling.generate import MAX_STEPS
from bfkit.sampling.hooks import DoesNotApply
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
        **truth.SCHEMA,
    }
)
LATER = tuple(truth.SCHEMA)  # columns that comparisons of before do not have
COMBINED = (
    "DPM-Solver++ 2M",
    "DPM-Solver++ 2M on a grid",
    "DeepCache",
    "ToMe",
)  # what the advisor's steps are combined with
SHARES = (0.25, 0.5, 1.0)
PLAIN = "plain"  # the pipeline as it is, among the costs


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
class LineUp:
    """All that draw, in the table's order, and why each of the other systems does not."""

    entries: tuple[Entry, ...]
    absent: Mapping[str, str]


def uniform_steps(steps: Mapping[str, int]) -> dict[str, int]:
    """UNIFORM: the same total number of steps, dealt out as evenly as whole numbers allow."""
    return dict(zip(steps, deal_evenly(sum(steps.values()), len(steps)).tolist(), strict=True))


def count_costs(
    pipe: DiffusionPipeline, profile: Profile, systems: Mapping[str, System] = SYSTEMS
) -> tuple[dict[str, Cost], dict[str, str]]:
    """What a picture costs by the pipeline (``PLAIN``) and by each system, and why the others do not apply to it."""
    costs, absent = {PLAIN: count_cost(pipe, profile)}, {}
    for name, system in systems.items():
        try:
            costs[name] = count_cost(pipe, profile, system)
        except DoesNotApply as reason:
            absent[name] = str(reason)
    return costs, absent


def random_steps(steps: Mapping[str, int], seed: int = 0) -> dict[str, int]:
    """RANDOM: the same step counts, dealt to the prompts without looking at a single word."""
    return dict(zip(steps, np.random.default_rng(seed).permutation(list(steps.values())).tolist(), strict=True))


def table2_entries(
    costs: Mapping[str, Cost], ours: Mapping[str, int], systems: Mapping[str, System] = SYSTEMS
) -> LineUp:
    """OURS as given, UNIFORM at its mean, RANDOM, REFERENCE, and the others at the same counted cost a picture."""
    plain = costs[PLAIN]
    budget = plain.tflops(1) * float(np.mean(list(ours.values())))
    entries = [
        Entry("OURS", ours, 0, plain),
        Entry("UNIFORM", uniform_steps(ours), 0, plain),
        Entry("RANDOM", random_steps(ours), 0, plain),
        Entry("REFERENCE", dict.fromkeys(ours, paper.REFERENCE_STEPS), 0, plain),
    ]
    absent = {}
    for name, own in costs.items():
        if name == PLAIN:
            continue
        try:
            steps, reference = steps_at(budget, own, ours), own.steps(plain.tflops(paper.REFERENCE_STEPS))
        except DoesNotApply as reason:
            absent[name] = str(reason)
        else:
            entries.append(Entry(name, steps, reference, own, systems[name]))
    return LineUp(tuple(entries), absent)


def steps_at(budget: float, cost: Cost, prompts: Iterable[str]) -> dict[str, int]:
    """Two step counts next to each other, dealt to prompts so that a picture costs ``budget`` TFLOPs on average.

    To within half a step of one prompt, and one count for all where the next is out of reach. ``DoesNotApply`` for a
    budget that pays for no step.
    """
    prompts, few = list(prompts), cost.steps(budget)
    if few == MAX_STEPS:
        return dict.fromkeys(prompts, few)
    more = (budget - cost.tflops(few)) / (cost.tflops(few + 1) - cost.tflops(few))
    dealt = few + deal_evenly(round(min(1.0, more) * len(prompts)), len(prompts))
    return dict(zip(prompts, dealt.tolist(), strict=True))


def combination_entries(
    costs: Mapping[str, Cost], ours: Mapping[str, int], systems: Mapping[str, System] = SYSTEMS
) -> list[Entry]:
    """OURS and UNIFORM, each drawn by the plain pipeline and by those of ``COMBINED``, at shares of OURS' steps.

    A system is named ``OURS + ToMe``; all are measured against the plain picture.
    """
    known = [name for name in (PLAIN, *COMBINED) if name in costs]
    entries = []
    for share in SHARES:
        fewer = {prompt: max(1, round(share * steps)) for prompt, steps in ours.items()}
        for dealt, steps in (("OURS", fewer), ("UNIFORM", uniform_steps(fewer))):
            entries += [Entry(f"{dealt} + {name}", steps, 0, costs[name], systems.get(name), share) for name in known]
    return entries
