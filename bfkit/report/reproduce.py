"""Run the notebooks headlessly and gather what they report: figures, tables, one page, and where each came from."""

import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bfkit.dataset.build import build_dataset, dataset_prompts
from bfkit.dataset.table import read_scores
from bfkit.devices import best_device, hardware
from bfkit.explorer.page import write_explorer
from bfkit.extras import extra
from bfkit.predictor.advisor import StepAdvisor, train_advisor
from bfkit.predictor.model import load_predictors
from bfkit.profiles import PROFILES, Profile
from bfkit.provenance import digest, run_key, surroundings, table_digest

from .artifacts import Report
from .manifest import is_current, note_run, read_manifest, write_page

with extra("notebooks"):
    import papermill
    from nbconvert import HTMLExporter

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
# the larger settings of a full run; a notebook opened by hand, or by nbval, uses its own small ones
FULL = {
    "02_generation": {"pictures": 64},
    "03_metrics": {"pictures": 16},
    "07_efficiency": {"timed": 8},
    "10_gallery": {"pictures": 6},
}
EXPLORED = 50  # prompts of the explorer's page
INPUTS = ("scores", "advisor", "systems")  # parameters that name files: what these hold counts, not where they lie


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


def _settings(notebooks: Sequence[Path], profile: Profile, out: Path, given: Mapping[str, Any]) -> dict[str, dict]:
    """Each notebook's parameters. papermill only warns of one that no notebook has; here it is a ValueError."""
    known = {path.stem: set(papermill.inspect_notebook(path)) for path in notebooks}
    if unknown := sorted(set(given) - set().union(*known.values())):
        listed = ", ".join(sorted(set().union(*known.values()) - {"out", "profile"}))
        raise ValueError(f"none of these notebooks has a parameter {unknown[0]!r}: there are {listed}")
    tables = {name: getattr(profile, name) for name in INPUTS}
    own = {name: str(Path(path).resolve()) for name, path in tables.items() if path != _shipped(profile, name)}
    settings = {}
    for name, parameters in known.items():
        offered = {**FULL.get(name, {}), **own, **given}
        settings[name] = {"profile": profile.name, "out": str(out)} | {
            key: value for key, value in offered.items() if key in parameters
        }
    return settings


def _shipped(profile: Profile, name: str) -> str:
    return getattr(PROFILES[profile.name], name)


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


def check(profile: Profile, out: Path, only: Sequence[str], parameters: Mapping[str, Any]) -> None:
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
    _settings(notebooks, profile, out, parameters)
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
) -> Path:
    """Execute notebooks into ``out``, write index.html, explorer.html and manifest.json; returns index.html's path.

    What is up to date is skipped unless ``force`` is set. ``parameters`` go to the notebooks that have them. The
    explorer belongs to a whole run, without ``only``. Raises ValueError for an unknown notebook or parameter, or a
    folder with another profile's report, before anything runs; and ``NotebookError`` when all have run, if some failed:
    the page says where, and has what they reported until then.
    """
    notebooks, out = _leave_out(profile, choose(only), bool(only)), out.resolve()
    settings = _settings(notebooks, profile, out, parameters or {})
    if not only:
        settings["explorer"] = {"prompts": EXPLORED}
    manifest = read_manifest(out, profile, [*(path.stem for path in choose()), "explorer"])
    around = surroundings(profile)
    manifest |= {"surroundings": around, "hardware": hardware(best_device())}
    (out / "notebooks").mkdir(parents=True, exist_ok=True)
    shutil.rmtree(out / "entries", ignore_errors=True)  # of a run that was killed
    sources, failed = {path.stem: path for path in notebooks}, []
    try:
        for number, (name, given) in enumerate(settings.items(), 1):
            source = digest(sources[name]) if name in sources else ""
            shown = {key: value for key, value in given.items() if key not in ("out", *INPUTS)}
            key = run_key(source, shown, around)
            current = not force and is_current(out, manifest, name, key)
            print(f"[{number}/{len(settings)}] {name}{': up to date' * current}", flush=True)
            if current:
                continue
            began = time.perf_counter()
            failure = _execute(sources[name], out, given) if name in sources else _explore(profile, out)
            if failure:
                failed.append(name)
                print(f"{name} stopped in {failure}", flush=True)
            noted = {
                "source": source,
                "parameters": shown,
                "inputs": around["inputs"],
                "key": key,
                "seconds": round(time.perf_counter() - began, 1),
                "pages": [f"notebooks/{name}.html"] if name in sources else ["explorer.html"],
                "failure": failure,
            }
            note_run(out, manifest, name, noted)
    finally:
        shutil.rmtree(out / "entries", ignore_errors=True)
        page = write_page(out, manifest)
    if failed:
        raise NotebookError(f"{len(failed)} of {len(settings)} failed, {', '.join(failed)}: {page} says in which cells")
    return page


def _execute(notebook: Path, out: Path, settings: dict) -> str | None:
    """Run a notebook and keep it as a page; returns the cell that failed and how, if one did."""
    executed, failure = out / "notebooks" / notebook.name, None
    try:
        papermill.execute_notebook(
            notebook,
            executed,
            settings,
            cwd=NOTEBOOKS,
            progress_bar={"mininterval": 1.0},
            kernel_name="python3",
            extra_arguments=["--log-level=CRITICAL"],
        )
    except papermill.PapermillExecutionError as error:
        failure = f"cell {error.exec_count}: {error.ename}: {error.evalue}"
    page, _ = HTMLExporter(exclude_input_prompt=True, exclude_output_prompt=True).from_filename(str(executed))
    executed.with_suffix(".html").write_text(page, encoding="utf-8")
    executed.unlink()
    return failure


def _explore(profile: Profile, out: Path) -> None:
    page = write_explorer(out / "explorer.html", profile, EXPLORED, device=best_device())
    caption = f"{EXPLORED} prompts to touch: drag the weights of Eq. 7, watch the step and the picture move."
    Report("explorer", out, profile).page(page, caption)


# --- somebody's own data --------------------------------------------------------------------------------------------


def make_scores(profile: Profile, folder: Path, count: int | None = None) -> Profile:
    """Draw and measure the profile's prompts anew into ``folder``, resuming; the profile that reads them."""
    device = best_device()
    prompts = dataset_prompts(profile, folder, count=count, device=device)
    build_dataset(profile, prompts, folder, device)
    return replace(profile, scores=str(folder))


def make_advisor(profile: Profile, folder: Path) -> Profile:
    """Train an advisor on the profile's scores into ``folder``, unless it is there; the profile that asks it.

    A shipped advisor may have been trained on prompts that another table holds out.
    """
    try:
        trained, notes = load_predictors(folder)
        current = notes.get("scores") == table_digest(profile.scores) and trained.settings == profile.predictor
    except (FileNotFoundError, ValueError):
        current = False
    if not current:
        train_advisor(profile, folder, device=best_device())
    return replace(profile, advisor=str(folder))
