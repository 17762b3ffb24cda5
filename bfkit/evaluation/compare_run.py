"""Make a comparison, in one process or in several, on one machine or in parts on many. Its files tell what is finished.

A block's plain pictures are looked at once, and kept beside the rows of every system.
"""

import random
import signal
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import polars as pl
import torch
from tqdm.auto import tqdm

from bfkit.dataset.executors.local import in_processes
from bfkit.dataset.executors.work import signals
from bfkit.dataset.shards import as_before, configuration
from bfkit.dataset.table import read_metadata, write_table
from bfkit.dataset.truth import load_checker
from bfkit.devices import choose_device, hardware
from bfkit.files import remove_leftovers
from bfkit.memory import attempt, release
from bfkit.metrics.inception import load_classifier
from bfkit.metrics.scorer import Features, load_scorer
from bfkit.models.pipelines import denoiser, load_pipeline, make_room
from bfkit.profiles import Profile
from bfkit.provenance import model_digest
from bfkit.sampling.systems import SYSTEMS

from .compare import Entry
from .compare_pictures import Lab, Pairs, measure, plain_targets, without_broken
from .compare_plan import blocks, earlier_configuration, settle


@dataclass(frozen=True)
class Comparison:
    """What a run leaves: all rows, or None while ``missing`` jobs are other parts' to do; and who does not draw.

    ``configuration`` is what decided the pictures. ``broken`` names those that are no numbers; their pairs of prompt
    and seed are left out of every system.
    """

    rows: pl.DataFrame | None
    absent: Mapping[str, str]
    configuration: Mapping[str, Any]
    missing: int = 0
    broken: tuple[str, ...] = ()


# --- what a worker does ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Setup:
    """What a worker has to know beside its job."""

    profile: Profile
    device: str
    compiled: bool
    offload: bool


_LABS: dict[str, Lab] = {}  # a process loads its models once


def _load(setup: Setup) -> Lab:
    key = repr((setup, configuration(setup.profile)))
    if key not in _LABS:
        profile, device = setup.profile, setup.device
        pipe = load_pipeline(profile, device, setup.offload)
        compiled = torch.compile(denoiser(pipe, profile).forward) if setup.compiled else None
        scorer, classify, checker = attempt(
            lambda: (load_scorer(profile, device), load_classifier(profile, device), load_checker(profile, device)),
            f"the models that score pictures for {profile.name}",
            device,
            relief=lambda: make_room(pipe, profile),
        )
        _LABS[key] = Lab(pipe, scorer, classify, checker, profile, compiled)
    return _LABS[key]


@dataclass(frozen=True)
class Job:
    """A block's plain pictures, or with an entry one system's rows of the block, and the file that they go into."""

    path: Path
    noted: Mapping[str, Any]  # all that decides the file's content
    pairs: Pairs
    entry: Entry | None = None
    targets: "Job | None" = None  # the block's plain pictures, as the scorer sees them

    def is_complete(self) -> bool:
        """True if the file is undamaged and holds what is asked for."""
        try:
            there = read_metadata(self.path) if self.path.is_file() else {}
            return there | {"hardware": None} == {**self.noted, "hardware": None}  # whatever it was drawn on
        except ValueError:
            return False

    def is_ready(self) -> bool:
        """True if all that it builds on is there."""
        return self.targets is None or self.targets.is_complete()

    def make(self, lab: Lab) -> None:
        """Draw, look and write; targets that nobody has finished, as in a run that was killed, are made first."""
        if self.entry is None or self.targets is None:
            rows = _as_rows(plain_targets(lab, self.pairs))
        else:
            if not self.is_ready():
                self.targets.make(lab)
            targets = _as_features(pl.read_parquet(self.targets.path), lab.scorer.clip.device)
            rows = measure(lab, self.entry, self.pairs, targets)
        write_table(rows, self.path, {**self.noted, "hardware": hardware(lab.pipe.device)})


def _as_rows(seen: Features) -> pl.DataFrame:
    columns = {"perceptual": seen.perceptual, "semantic": seen.semantic}  # what a picture is compared by
    return pl.DataFrame({name: values.float().cpu().numpy() for name, values in columns.items()})


def _as_features(rows: pl.DataFrame, device: torch.device) -> Features:
    perceptual, semantic = (torch.tensor(rows[name].to_numpy()).to(device) for name in ("perceptual", "semantic"))
    return Features(perceptual, semantic, semantic[:, :0], ())


def work(job: Job, setup: Setup) -> None:
    """Do a job, unless another run has."""
    if not job.is_complete():
        job.make(_load(setup))


# --- what there is to do --------------------------------------------------------------------------------------------


def _jobs(folder: Path, profile: Profile, entries: Iterable[Entry], block: int, pairs: Pairs) -> list[Job]:
    """A block's jobs: its plain pictures first, then every system's rows."""
    common = {
        "configuration": configuration(profile),
        "classifier": model_digest(profile.classifier),
        "pairs": [list(pair) for pair in pairs],
    }
    first = Job(folder / f"targets-{block:04d}.parquet", {**common, "steps": profile.target_steps}, pairs)
    jobs = [first]
    for entry in entries:
        share = "" if entry.share is None else f"-{entry.share:g}"
        own = replace(entry, steps={prompt: entry.steps[prompt] for _, prompt, _ in pairs})
        settings = dict(entry.draws.settings) if entry.draws else {}
        noted = {**common, "steps": own.steps, "reference": entry.reference_steps, "settings": settings}
        path = folder / f"{entry.system.replace(' ', '')}{share}-{block:04d}.parquet"
        jobs.append(Job(path, noted, pairs, own, first))
    return jobs


# --- the run --------------------------------------------------------------------------------------------------------


def compare(
    profile: Profile,
    prompts: Mapping[int, str],
    advisor: str | Path,
    folder: Path,
    device: torch.device | str | None = None,
    workers: int = 1,
    compiled: bool = False,
    *,
    offload: bool = False,
    part: tuple[int, int] = (1, 1),
    systems: Sequence[str] | None = None,
) -> Comparison:
    """Every system and combination on the same prompts (id: text) and the profile's seeds; resumes.

    ``workers`` processes share the work as they do in ``build_dataset``; ``part`` (3, 16) does the third sixteenth of
    the blocks alone. ``systems`` names those beside OURS, UNIFORM and REFERENCE (default: all). With ``offload``, a
    pipeline's models take turns on a GPU that does not hold them all. Raises ValueError for bad input before anything
    is drawn, and for pictures that are all broken; OSError if the disk is full.
    """
    number, parts = part
    if not 1 <= number <= parts:
        raise ValueError(f"part {number}/{parts} does not exist: count from 1/{parts} to {parts}/{parts}")
    names = list(SYSTEMS) if systems is None else list(systems)
    if unknown := [name for name in names if name not in SYSTEMS]:
        raise ValueError(f"unknown system {unknown[0]!r}: choose from {', '.join(SYSTEMS)}")
    device = choose_device(device)
    folder = Path(folder).absolute()
    remove_leftovers(folder)
    profile = as_before(profile, earlier_configuration(folder))
    setup = Setup(profile, str(device), compiled, offload)
    steps, found = settle(profile, prompts, str(advisor), folder, device, names, lambda: _load(setup).pipe)
    each = enumerate(blocks(prompts, steps, profile.seeds))
    jobs = [_jobs(folder, profile, found.entries, block, pairs) for block, pairs in each]
    mine = jobs[number - 1 :: parts]
    if workers > 1:
        _LABS.clear()  # the workers have models of their own
        release()
    random.SystemRandom().shuffle(mine)  # two runs in one folder rarely meet
    ordered = [targets for targets, *_ in mine] + [job for _, *others in mine for job in others]
    _do(ordered, setup, workers, f"{len(found.entries)} systems")
    rest = [job for _, *others in jobs for job in others]
    if missing := sum(not job.is_complete() for job in rest):
        return Comparison(None, found.absent, configuration(profile), missing)
    by_system = zip(*([pl.read_parquet(job.path) for job in others] for _, *others in jobs), strict=True)
    rows, said = without_broken(pl.concat([pl.concat(own).sort("prompt_id", "seed") for own in by_system]))
    if not len(rows):
        raise ValueError(f"no pair of prompt and seed is left: {said[0]}; see to the models or their dtype")
    return Comparison(rows, found.absent, configuration(profile), broken=tuple(said))


def _do(jobs: Sequence[Job], setup: Setup, workers: int, label: str) -> None:
    """Do what is not done yet."""
    missing = [job for job in jobs if not job.is_complete()]

    def outcomes() -> Generator[None]:
        if min(workers, len(missing)) > 1:
            yield from in_processes(missing, setup, min(workers, len(missing)), work, Job.is_ready)
        else:
            for job in missing:
                work(job, setup)
                yield

    with signals(_interrupt, signal.SIGTERM), closing(outcomes()) as found:
        for _ in tqdm(found, label, len(jobs), initial=len(jobs) - len(missing), unit="job", mininterval=1.0):
            pass


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt
