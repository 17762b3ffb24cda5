"""Where results come from: hashes of what they were made of, and the hardware. Equal hashes, equal results."""

import hashlib
import importlib.metadata
import json
import platform
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from bfkit.profiles import Profile

PACKAGES = ("torch", "diffusers", "transformers", "open_clip_torch", "numpy", "scipy", "polars", "altair",
            "vl-convert-python", "torchmetrics", "statsmodels", "papermill")  # fmt: skip
MODELS = ("pipeline", "clip", "perceptual", "classifier", "advisor")  # fields of a profile
TABLES = ("scores", "systems", "networks", "knowing", "dense")
DECIDING = {".safetensors", ".json", ".txt", ".model"}  # files of a model's folder: weights, settings, vocabularies
SOURCES = {".py", ".js", ".css", ".html", ".csv"}  # our own code, and the small tables that lessons read


# --- hashes ---------------------------------------------------------------------------------------------------------


@cache
def _sha256(path: Path, size: int, changed: int) -> str:
    """A file's SHA-256, read once a process; size and time of change are there to tell when it is another one."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest(path: Path) -> str:
    """The first 16 hex digits of a file's SHA-256."""
    stat = path.stat()
    return _sha256(path.resolve(), stat.st_size, stat.st_mtime_ns)[:16]


def folder_digest(folder: Path, suffixes: set[str]) -> str:
    """A short hash of the files below a folder that have one of the suffixes: of their names and of what they hold."""
    whole = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if path.suffix in suffixes and path.is_file() and not any(part.startswith(".") for part in name.parts):
            stat = path.stat()
            content = _sha256(path.resolve(), stat.st_size, stat.st_mtime_ns)
            whole.update(f"{name.as_posix()} {content}\n".encode())
    return whole.hexdigest()[:16]


def model_digest(model: str) -> str:
    """A short hash of all that decides what a model in a local folder does, or the id itself for a hub id."""
    return folder_digest(Path(model), DECIDING) if model and Path(model).is_dir() else model


def table_digest(source: str) -> str:
    """A short hash of a table's file, or of the shards in a folder; an empty string for no table."""
    path = Path(source)
    if not source or path.is_dir():
        return folder_digest(path, {".parquet"}) if source else ""
    return digest(path)


def settings_digest(profile: Profile) -> str:
    """A short hash of a profile's settings; what its models and tables hold has digests of its own."""
    without_paths = replace(profile, file="", **dict.fromkeys((*MODELS, *TABLES), ""))
    return hashlib.sha256(repr(without_paths).encode()).hexdigest()[:16]


# --- a run ----------------------------------------------------------------------------------------------------------


def surroundings(profile: Profile) -> dict[str, Any]:
    """All that decides a notebook's results besides itself: what it reads, Python, packages, and our own code."""
    models = {name: model_digest(getattr(profile, name)) for name in MODELS}
    return {
        "profile": profile.name,
        "settings": settings_digest(profile),
        "inputs": models | {name: table_digest(getattr(profile, name)) for name in TABLES},
        "python": platform.python_version(),
        "packages": {name: importlib.metadata.version(name) for name in PACKAGES},
        "bfkit": folder_digest(Path(__file__).parent, SOURCES),
    }


def run_key(source: str, parameters: Mapping[str, Any], around: Mapping[str, Any]) -> str:
    """One hash for one run: of a notebook's own hash, its parameters, and its ``surroundings``."""
    return hashlib.sha256(json.dumps([source, parameters, around], sort_keys=True).encode()).hexdigest()[:16]
