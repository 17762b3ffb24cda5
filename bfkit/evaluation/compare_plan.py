"""What all parts of a comparison must agree on, before anything is drawn: OURS' steps, and what each system's cost."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import polars as pl
import torch
from diffusers import DiffusionPipeline

from bfkit.dataset.shards import configuration
from bfkit.files import write_file
from bfkit.predictor.advisor import StepAdvisor
from bfkit.profiles import Profile
from bfkit.provenance import model_digest
from bfkit.sampling.systems import SYSTEMS, Cost, systems_of

from .compare import LineUp, combination_entries, count_costs, table2_entries
from .compare_pictures import Pairs
from .error_control import tuned

PLAN = "plan.json"
PICTURES = 64  # a block, at most, where one prompt has not more
NOT_ASKED = "not asked for"


def settle(
    profile: Profile,
    prompts: Mapping[int, str],
    advisor: str,
    folder: Path,
    device: torch.device | str,
    systems: Sequence[str],
    load: Callable[[], DiffusionPipeline],
) -> tuple[dict[str, int], LineUp]:
    """OURS' steps of each prompt, and all that draw: decided once, then read from ``folder/plan.json``.

    Predicted steps may round otherwise on other hardware, and counting draws, by the pipeline that ``load`` gives; so
    does setting the tolerance of the error-controlled sampler, on prompts that the advisor was trained on. Of several
    runs that decide at the same time, the first to finish does.
    """
    known = systems_of(profile)
    source = {
        "configuration": configuration(profile),
        "advisor": model_digest(advisor),
        "prompts": [[number, prompt] for number, prompt in prompts.items()],
        "settings": {name: dict(known[name].settings) for name in systems},
    }
    path = folder / PLAN
    plan, first = _settled(path, source), not path.exists()
    if plan is None:
        read = StepAdvisor.from_pretrained(advisor, device)
        chosen = read.steps(list(prompts.values()))
        costs, absent = count_costs(load(), profile, {name: known[name] for name in systems})
        goal = float(chosen["steps"].cast(pl.Float64).mean())  # pyright: ignore[reportArgumentType]
        alone = [known[name] for name in costs if name in known and known[name].alone]
        fitted = [tuned(load(), profile, system, read.examples, goal) for system in alone]
        plan = {
            "source": source,
            "steps": dict(chosen.select("prompt", "steps").iter_rows()),
            "costs": {name: asdict(cost) for name, cost in costs.items()},
            "settings": {system.name: dict(system.settings) for system in fitted},
            "absent": absent,
        }
        write_file(path, json.dumps(plan, indent=1).encode(), keep_old=first)
        plan = _settled(path, source) or plan
    costs = {name: Cost(tuple(noted["cycle"]), noted["devices"]) for name, noted in plan["costs"].items()}
    known |= {name: replace(known[name], settings=own) for name, own in plan.get("settings", {}).items()}
    found = table2_entries(costs, plan["steps"], known)
    unasked = dict.fromkeys((name for name in SYSTEMS if name not in systems), NOT_ASKED)
    absent = plan["absent"] | dict(found.absent) | unasked
    entries = (*found.entries, *combination_entries(costs, plan["steps"], known))
    return plan["steps"], LineUp(entries, {name: absent[name] for name in SYSTEMS if name in absent})


def _read(path: Path) -> dict[str, Any]:
    """An earlier run's plan; empty if there is none, or it is damaged."""
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}


def _settled(path: Path, source: dict[str, Any]) -> dict[str, Any] | None:
    """What an earlier run decided from this source; None if it did from another."""
    plan = _read(path)
    return plan if plan.get("source") == source else None


def earlier_configuration(folder: Path) -> dict[str, Any] | None:
    """What an earlier run in a folder drew with; None where there was none."""
    return _read(folder / PLAN).get("source", {}).get("configuration")


def blocks(prompts: Mapping[int, str], steps: Mapping[str, int], seeds: Sequence[int]) -> list[Pairs]:
    """Pairs of prompts that OURS draws in alike many steps, so that its batches are full."""
    order = sorted(prompts, key=lambda number: (steps[prompts[number]], number))
    each = max(1, PICTURES // len(seeds))
    parts = (order[start : start + each] for start in range(0, len(order), each))
    return [[(number, prompts[number], seed) for number in part for seed in seeds] for part in parts]
