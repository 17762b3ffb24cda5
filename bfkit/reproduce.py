"""Run the notebooks headlessly and gather what they report: figures, tables, one page, and where each came from."""

import hashlib
import importlib.metadata
import json
import os
import platform
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import papermill
import polars as pl
import torch
from nbconvert import HTMLExporter

from .profiles import Profile
from .report import digest

ROOT = Path(__file__).parent.parent
NOTEBOOKS = ROOT / "notebooks"
# the larger settings of a full run; a notebook opened by hand, or by nbval, uses its own small ones
FULL = {
    "02_generation": {"pictures": 64},
    "03_metrics": {"pictures": 16},
    "07_efficiency": {"timed": 8},
    "10_gallery": {"pictures": 6},
}
PACKAGES = ("torch", "diffusers", "transformers", "open_clip_torch", "polars", "altair", "papermill")


def _check_parameters(notebook: Path, parameters: Mapping[str, Any]) -> None:
    """papermill only warns of a parameter that a notebook does not have; ValueError names it and those there are."""
    known = papermill.inspect_notebook(notebook)
    if unknown := sorted(set(parameters) - set(known)):
        raise ValueError(f"notebook {notebook.stem} has no parameter {unknown[0]!r}: it has {', '.join(known)}")


def choose(names: Sequence[str] = ()) -> list[Path]:
    """The numbered notebooks, or those whose names begin with ``names``; ValueError for a name that fits none."""
    notebooks = sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))
    if not notebooks:
        raise ValueError(f"no notebooks in {NOTEBOOKS}: run from a checkout of the repository")
    for name in names:
        if not any(path.stem.startswith(name) for path in notebooks):
            raise ValueError(f"no notebook {name!r}: choose from {', '.join(path.stem for path in notebooks)}")
    return [path for path in notebooks if not names or path.stem.startswith(tuple(names))]


def run(profile: Profile, out: Path, only: Sequence[str] = (), parameters: Mapping[str, Any] | None = None) -> Path:
    """Execute notebooks into ``out`` and write its index.html and manifest.json; returns the page's path.

    ``parameters`` go to every notebook run. Raises ValueError for an unknown notebook or parameter before anything
    runs, and papermill's error, naming the cell, if one fails: what the others wrote stays.
    """
    notebooks = choose(only)
    out = out.resolve()
    given = dict(parameters or {})
    for notebook in notebooks:
        _check_parameters(notebook, given)
    (out / "notebooks").mkdir(parents=True, exist_ok=True)
    runs = {}
    for number, notebook in enumerate(notebooks, 1):
        print(f"[{number}/{len(notebooks)}] {notebook.stem}", flush=True)
        began = time.perf_counter()
        settings = {"profile": profile.name, "out": str(out), **FULL.get(notebook.stem, {}), **given}
        executed = out / "notebooks" / notebook.name
        papermill.execute_notebook(
            notebook,
            executed,
            settings,
            cwd=NOTEBOOKS,
            progress_bar={"mininterval": 1.0},
            kernel_name="python3",
            extra_arguments=["--log-level=CRITICAL"],
        )
        page, _ = HTMLExporter(exclude_input_prompt=True, exclude_output_prompt=True).from_filename(str(executed))
        executed.with_suffix(".html").write_text(page)
        executed.unlink()
        shown = {key: value for key, value in settings.items() if key != "out"}
        runs[notebook.stem] = {
            "source": digest(notebook),
            "parameters": shown,
            "seconds": round(time.perf_counter() - began, 1),
        }
    manifest = _gather(profile, out, runs)
    (out / "index.html").write_text(_page(manifest, out))
    return out / "index.html"


def _gather(profile: Profile, out: Path, runs: dict) -> dict:
    """Put the notebooks' notes together with where they come from; notes of notebooks not run now are kept."""
    path = out / "manifest.json"
    old = json.loads(path.read_text()) if path.is_file() else {"artifacts": [], "notebooks": {}}
    fresh = [entry for name in sorted(runs) for entry in _entries(out, name)]
    kept = [entry for entry in old["artifacts"] if entry["notebook"] not in runs]
    inputs = {name: Path(getattr(profile, name)) for name in ("scores", "pipeline", "clip", "perceptual", "advisor")}
    manifest = {
        "profile": profile.name,
        "hardware": _hardware(),
        "python": platform.python_version(),
        "packages": {name: importlib.metadata.version(name) for name in PACKAGES},
        "inputs": {name: _inputs_digest(where) for name, where in inputs.items()},
        "notebooks": dict(sorted({**old["notebooks"], **runs}.items())),
        "artifacts": sorted(kept + fresh, key=lambda entry: (entry["notebook"], entry["kind"], entry["name"])),
    }
    path.write_text(json.dumps(manifest, indent=2) + "\n")
    shutil.rmtree(out / "entries", ignore_errors=True)
    return manifest


def _entries(out: Path, name: str) -> list[dict]:
    path = out / "entries" / f"{name}.json"
    return json.loads(path.read_text()) if path.is_file() else []


def _inputs_digest(where: Path) -> str:
    files = [where] if where.is_file() else sorted(where.rglob("*.safetensors"))
    return hashlib.sha256("".join(map(digest, files)).encode()).hexdigest()[:16] if files else str(where)


def _hardware() -> str:
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"CPU, {platform.machine()}, {os.cpu_count()} cores"


def _page(manifest: dict, out: Path) -> str:
    """index.html: every figure and table with its caption, the notebook behind it, and the provenance."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("bfkit"), autoescape=True, undefined=jinja2.StrictUndefined
    )
    artifacts = [
        {**entry, "rows": pl.read_csv(out / next(iter(entry["files"]))) if entry["kind"] == "table" else None}
        for entry in manifest["artifacts"]
    ]
    return environment.get_template("report.html").render(manifest=manifest, artifacts=artifacts)
