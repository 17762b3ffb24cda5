"""A useful advisor within an hour: how many prompts the time pays for, by the best recipe, then all in one go."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import polars as pl
import torch

from bfkit import paper
from bfkit.dataset.build import build_dataset, dataset_prompts
from bfkit.dataset.estimate import Price, evaluations_a_set, probe
from bfkit.dataset.executors.work import forget_models
from bfkit.dataset.table import read_scores, split_by_prompt
from bfkit.devices import choose_device
from bfkit.files import write_file
from bfkit.memory import release
from bfkit.models.clip import load_clip
from bfkit.models.hub import is_local
from bfkit.predictor.model import load_predictors
from bfkit.predictor.training import train_advisor
from bfkit.profiles import PROFILES, Profile

from . import recipes
from .learning_curve import expect
from .prediction import prediction_errors

DRAWING = 0.8  # of the hours; loading, choosing prompts and training take the rest
FEWEST = 20  # prompts from which anything can be learnt
PLAN = "quickstart.json"


@dataclass(frozen=True)
class Plan:
    """What will be measured of how many prompts, and what a prompt costs: seconds on one device, and who says so."""

    prompts: int
    seeds: int
    step_counts: tuple[int, ...]
    seconds: float | None
    how: str

    def apply(self, profile: Profile) -> Profile:
        """The profile that measures so and learns as the miniature's does, whose few prompts are of that order."""
        return replace(
            profile,
            prompts=self.prompts,
            seeds=tuple(range(self.seeds)),
            step_counts=self.step_counts,
            predictor=replace(PROFILES["mini"].predictor, grid=self.step_counts),
        )


def settle(
    profile: Profile,
    folder: Path,
    hours: float,
    prompts: int | None = None,
    device: torch.device | str | None = None,
    workers: int = 1,
) -> Plan:
    """The plan of an earlier run in the folder, or a new one: as many prompts as ``hours`` pay for, or ``prompts``.

    What a picture costs is measured by a short run. Raises ValueError where nothing can be measured and no number of
    prompts is given, or where the time pays for fewer than ``FEWEST``.
    """
    if (plan := _read(folder)) and prompts in (None, plan.prompts):
        return plan
    recipe, device = recipes.best(), choose_device(device)
    if prompts is None and device.type != "cuda" and not is_local(profile.pipeline):
        raise ValueError(f"there is no GPU here to measure what {profile.name} costs: give the number of --prompts")
    plan = Plan(prompts or 0, recipe.seeds, recipe.step_counts, None, "there is no GPU here")
    if device.type == "cuda" or is_local(profile.pipeline):
        price = probe(plan.apply(profile), device)
        release()
        seconds = _seconds(price, recipe)
        affordable = int(DRAWING * hours * 3600 * workers / seconds)
        plan = replace(plan, prompts=prompts or affordable, seconds=seconds, how=price.how)
    if plan.prompts < FEWEST:
        raise ValueError(
            f"{plan.prompts} prompts, of {plan.seconds or 0:.1f} s each, are too few to learn from: give more --hours, "
            f"or at least {FEWEST} --prompts"
        )
    write_file(folder / PLAN, json.dumps(asdict(plan), indent=1).encode())
    return plan


def _read(folder: Path) -> Plan | None:
    try:
        noted = json.loads((folder / PLAN).read_bytes())
        return Plan(**{**noted, "step_counts": tuple(noted["step_counts"])})
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _seconds(price: Price, recipe: recipes.Recipe) -> float:
    """What a prompt takes on one device."""
    one_seed = evaluations_a_set(recipe.step_counts) * (price.evaluation or 0)
    return recipe.seeds * (one_seed + len(recipe.step_counts) * price.besides)


def describe(plan: Plan, workers: int = 1) -> str:
    """A plan in words: what is measured, what it costs, and what error to expect, by the miniature's learning curve."""
    pictures = plan.prompts * plan.seeds * len(plan.step_counts)
    counts = " ".join(map(str, plan.step_counts))
    lines = [
        f"{plan.prompts} prompts x {plan.seeds} seed{'s' * (plan.seeds != 1)} x {len(plan.step_counts)} step counts "
        f"({counts}): {pictures:,} pictures",
        f"drawing: not measured ({plan.how})"
        if plan.seconds is None
        else f"drawing: {plan.prompts * plan.seconds / workers / 60:.0f} minutes at {plan.seconds:.2f} s a prompt "
        f"({plan.how})",
        "the predictor's error to expect, by the miniature's learning curve (90% intervals; other models may differ):",
    ]
    for name, _, error, low, high in expect([max(1, round((1 - paper.TEST_SHARE) * plan.prompts))]).iter_rows():
        lines.append(f"  {name}: {error:.4f} ({low:.4f} to {high:.4f})")
    return "\n".join(lines)


def follow(
    profile: Profile,
    plan: Plan,
    folder: Path,
    device: torch.device | str | None = None,
    workers: int = 1,
    compiled: bool = False,
    *,
    offload: bool = False,
) -> tuple[Mapping[str, Any], pl.DataFrame]:
    """Choose prompts, draw, measure and train into ``folder/scores`` and ``folder/advisor``; resumes.

    Returns what is noted beside the advisor, and its errors on held-out prompts beside those of two baselines
    (``prediction_errors``).
    """
    profile = replace(plan.apply(profile), scores=str(folder / "scores"))
    prompts = dataset_prompts(profile, folder / "scores", count=plan.prompts, device=device)
    build_dataset(profile, prompts, folder / "scores", device, workers, compiled, offload=offload)
    forget_models()
    notes = train_advisor(profile, folder / "advisor", device=device)
    training, held_out = split_by_prompt(read_scores(profile.scores))
    trained = load_predictors(folder / "advisor")[0]
    clip = load_clip(profile.clip, device)
    return notes, prediction_errors(trained.to(clip.device), clip, training, held_out)
