"""Run the notebooks headlessly and gather what they report: figures, tables, one page, and where each came from."""

import os
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from bfkit.dataset.build import build_dataset, dataset_prompts
from bfkit.dataset.executors.work import forget_models
from bfkit.dataset.table import read_scores
from bfkit.devices import choose_device
from bfkit.evaluation import table1
from bfkit.explorer.page import write_explorer
from bfkit.extras import extra
from bfkit.predictor.advisor import StepAdvisor
from bfkit.predictor.model import load_predictors
from bfkit.predictor.training import train_advisor
from bfkit.profiles import Profile, get_profile
from bfkit.provenance import digest, run_key, surroundings, table_digest

from .artifacts import Report
from .lessons import run_lesson
from .manifest import is_current, left_out_of, measured_on, measured_pictures, note_run, read_manifest
from .page import write_page

with extra("notebooks"):
    import papermill

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
# the larger settings of a full run; a notebook opened by hand, or by nbval, uses its own small ones
FULL = {
    "02_generation": {"pictures": 64},
    "03_metrics": {"pictures": 16},
    "05_predictor": {"epochs": 40},
    "07_efficiency": {"timed": 8},
    "12_gallery": {"pictures": 6},
}
EXPLORED = 50  # prompts of the explorer's page
INPUTS = (
    "scores",
    "advisor",
    "systems",
    "networks",
)  # parameters that name files: what these hold counts, not where they lie


class NotebookError(Exception):
    """Some notebooks failed; the others' results are there."""


# --- what is to run -------------------------------------------------------------------------------------------------


def choose(names: Sequence[str] = ()) -> list[Path]:
    """The numbered notebooks, or those whose names begin with ``names``; ValueError for a name that fits none."""
    notebooks = sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))
    if not notebooks:
        raise ValueError(f"no notebooks in {NOTEBOOKS}: run from a checkout of the repository")
    for name in names:
        if not name or not any(path.stem.startswith(name) for path in notebooks):
            raise ValueError(f"no notebook {name!r}: choose from {', '.join(path.stem for path in notebooks)}")
    return [path for path in notebooks if not names or path.stem.startswith(tuple(names))]


def _settings(
    notebooks: Sequence[Path], profile: Profile, out: Path, given: Mapping[str, Any], device: torch.device
) -> dict[str, dict]:
    """Each notebook's parameters. papermill only warns of one that no notebook has; here it is a ValueError."""
    if options := [name for name in ("profile", "out", "device", *INPUTS) if name in given]:
        raise ValueError(f"{options[0]} is no --parameter but an option of its own: --{options[0]}")
    known = {path.stem: set(papermill.inspect_notebook(path)) for path in notebooks}
    if unknown := sorted(set(given) - set().union(*known.values())):
        listed = ", ".join(sorted(set().union(*known.values()) - {"profile", "out", "device", *INPUTS}))
        raise ValueError(f"none of these notebooks has a parameter {unknown[0]!r}: there are {listed or 'none'}")
    tables = {name: getattr(profile, name) for name in INPUTS}
    own = {name: str(Path(path).resolve()) for name, path in tables.items() if path != _shipped(profile, name)}
    settings = {}
    for name, parameters in known.items():
        always = {"profile": profile.source, "out": str(out), "device": str(device)}
        offered = {**always, **FULL.get(name, {}), **own, **given}
        settings[name] = {key: value for key, value in offered.items() if key in parameters}
    return settings


def _shipped(profile: Profile, name: str) -> str:
    return getattr(get_profile(profile.source), name)


def _leave_out(profile: Profile, notebooks: Sequence[Path], asked: bool) -> list[Path]:
    """The notebooks that can run: those that read a comparison cannot where none was made. Says so, or raises."""
    if profile.scores and not profile.advisor:
        raise ValueError(
            f"{profile.name} has no advisor of its own: train one with `bfkit train --profile {profile.name} --scores "
            f"{profile.scores} --out FOLDER`, and name the folder with --advisor"
        )
    if not profile.scores:
        raise ValueError(
            f"{profile.name} has no scores of its own: make them with `bfkit dataset --profile {profile.name} --out "
            "FOLDER`, and name the folder with --scores"
        )
    if profile.systems:
        return list(notebooks)
    lacking = [path for path in notebooks if "systems" in papermill.inspect_notebook(path)]
    said = (
        f"{', '.join(path.stem for path in lacking)}: left out, for want of a comparison of systems; make one with "
        f"`bfkit compare --profile {profile.name} --table FILE`, and name it with --systems"
    )
    if lacking and asked:
        raise ValueError(said)
    if lacking:
        print(said)
    return [path for path in notebooks if path not in lacking]


def check(
    profile: Profile, out: Path, only: Sequence[str], parameters: Mapping[str, Any], device: torch.device
) -> None:
    """Refuse what ``run`` would refuse, and your own files that cannot be read, before hours of drawing.

    Raises ValueError or FileNotFoundError; neither scores nor an advisor that are still to be made are missed.
    """
    notebooks = choose(only)
    if profile.scores != _shipped(profile, "scores"):
        read_scores(profile.scores)
    if profile.advisor != _shipped(profile, "advisor"):
        StepAdvisor.from_pretrained(Path(profile.advisor))  # no name of a profile: notebooks get a path
    if profile.systems != _shipped(profile, "systems"):
        from bfkit.evaluation import table2  # wants another extra than notebooks do

        table2.read(profile.systems)
    if profile.networks != _shipped(profile, "networks"):
        table1.read(profile.networks)
    _settings(notebooks, profile, out, parameters, device)
    read_manifest(out, profile, ())
    if only:
        _leave_out(
            replace(profile, scores=profile.scores or "made", advisor=profile.advisor or "made"), notebooks, True
        )


# --- running --------------------------------------------------------------------------------------------------------


def run(
    profile: Profile,
    out: Path,
    only: Sequence[str] = (),
    parameters: Mapping[str, Any] | None = None,
    force: bool = False,
    device: torch.device | str | None = None,
) -> Path:
    """Execute notebooks into ``out``, write index.html, explorer.html and manifest.json; returns index.html's path.

    All that is computed is computed on ``device``; the manifest notes for each part what its models really ran on.
    What is up to date is skipped unless ``force`` is set. ``parameters`` go to the notebooks that have them. The
    explorer belongs to a whole run, without ``only``. Raises ValueError for an unknown notebook, parameter or
    device, or a folder with another profile's report, before anything runs; and ``NotebookError`` when all have run, if
    some failed: the page says where, and has what they reported until then.
    """
    device = choose_device(device)
    notebooks, out = _leave_out(profile, choose(only), bool(only)), out.resolve()
    settings = _settings(notebooks, profile, out, parameters or {}, device)
    if not only:
        settings["explorer"] = {"profile": profile.source, "device": str(device), "prompts": EXPLORED}
    manifest = read_manifest(out, profile, [*(path.stem for path in choose()), "explorer"])
    around = surroundings(profile)
    manifest |= {"surroundings": around, "measured_on": measured_on(profile), "left_out": left_out_of(profile)}
    manifest["measured"] = measured_pictures(profile)
    (out / "notebooks").mkdir(parents=True, exist_ok=True)
    shutil.rmtree(out / "entries", ignore_errors=True)  # of a run that was killed
    sources, failed = {path.stem: path for path in notebooks}, []
    try:
        for number, (name, given) in enumerate(settings.items(), 1):
            source = digest(sources[name]) if name in sources else ""
            shown = {key: value for key, value in given.items() if key not in ("out", *INPUTS)}
            shown["profile"] = profile.name  # where a file of one's own lies does not count
            key = run_key(source, shown, around)
            current = not force and is_current(out, manifest, name, key)
            print(f"[{number}/{len(settings)}] {name}{': up to date' * current}", flush=True)
            if current:
                continue
            began = time.perf_counter()
            failure = (
                run_lesson(sources[name], out, given, profile) if name in sources else _explore(profile, out, device)
            )
            if failure:
                failed.append(name)
                print(f"{name} stopped in {failure}", flush=True)
            noted = {
                "source": source,
                "parameters": shown,
                "inputs": around["inputs"],
                "key": key,
                "seconds": round(time.perf_counter() - began, 1),
                "pages": [f"notebooks/{name}.ipynb"] if name in sources else ["explorer.html"],
                "failure": failure,
            }
            note_run(out, manifest, name, noted)
    finally:
        shutil.rmtree(out / "entries", ignore_errors=True)
        page = write_page(out, manifest, _where_lessons_are(out))
    if failed:
        raise NotebookError(f"{len(failed)} of {len(settings)} failed, {', '.join(failed)}: {page} says in which cells")
    return page


def _where_lessons_are(out: Path) -> str:
    """The repository's lessons for a report within it, as a clone has them; else the executed ones beside the page."""
    inside = out.is_relative_to(NOTEBOOKS.parent.resolve())
    return f"{os.path.relpath(NOTEBOOKS.resolve(), out) if inside else 'notebooks'}/{{}}.ipynb"


def _explore(profile: Profile, out: Path, device: torch.device) -> None:
    page = write_explorer(out / "explorer.html", profile, EXPLORED, device=device)
    caption = f"{EXPLORED} prompts to touch: drag the weights of Eq. 7, watch the step and the picture move."
    Report("explorer", out, profile).page(page, caption)


# --- somebody's own data --------------------------------------------------------------------------------------------


def make_scores(
    profile: Profile, folder: Path, count: int | None = None, device: torch.device | str | None = None
) -> Profile:
    """Draw and measure the profile's prompts anew into ``folder``, resuming; the profile that reads them."""
    prompts = dataset_prompts(profile, folder, count=count, device=device)
    build_dataset(profile, prompts, folder, device)
    forget_models()  # the notebooks load their own
    return replace(profile, scores=str(folder))


def make_advisor(profile: Profile, folder: Path, device: torch.device | str | None = None) -> Profile:
    """Train an advisor on the profile's scores into ``folder``, unless it is there; the profile that asks it.

    A shipped advisor may have been trained on prompts that another table holds out.
    """
    try:
        trained, notes = load_predictors(folder)
        current = notes.get("scores") == table_digest(profile.scores) and trained.settings == profile.predictor
    except (FileNotFoundError, ValueError):
        current = False
    if not current:
        train_advisor(profile, folder, device=device)
    return replace(profile, advisor=str(folder))
