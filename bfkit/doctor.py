"""What this machine has of all that a profile needs: packages, devices, models; and a first picture, if it can be."""

import importlib.metadata
import os
import platform
import re
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Literal

import open_clip
import torch
from huggingface_hub import constants, scan_cache_dir, try_to_load_from_cache
from huggingface_hub.errors import CacheNotFound

from bfkit.devices import choose_device, device_name
from bfkit.metrics.scorer import DREAMSIM
from bfkit.models.clip import HUB
from bfkit.models.hub import is_local
from bfkit.models.pipelines import load_pipeline
from bfkit.profiles import Profile
from bfkit.sampling.energy import measures_energy
from bfkit.sampling.generate import are_whole, generate

GIB = 2**30
FIRST = "a red circle on a white wall"  # words that every stack knows, the miniature's too
FIRST_STEPS = 2
CORE = ("torch", "torchvision", "diffusers", "transformers", "open_clip_torch", "polars")


@dataclass(frozen=True)
class Finding:
    """One thing looked at: ``ok``, ``missing`` what this profile needs, or a ``note`` on what it can do without."""

    what: str
    state: Literal["ok", "missing", "note"]
    said: str


def examine(profile: Profile, device: torch.device | str | None = None) -> Iterator[Finding]:
    """What there is and what is missing for a profile, one finding after the other; fetches nothing.

    Last comes a first picture, if the pipeline is on this machine. Raises ValueError for a device that is not there.
    """
    chosen = choose_device(device)
    yield from _packages()
    yield from _devices(chosen)
    pipeline = _pipeline(profile)
    models = [pipeline, _clip(profile), _perceptual(profile), _classifier(profile), *_advisor(profile)]
    yield from models
    free = shutil.disk_usage(_existing(Path(constants.HF_HUB_CACHE))).free
    yield Finding("disk", "ok", f"{free / GIB:.0f} GiB free where models are kept, {constants.HF_HUB_CACHE}")
    if pipeline.state == "ok":
        yield _first_picture(profile, chosen)


# --- packages and devices -------------------------------------------------------------------------------------------


def _packages() -> Iterator[Finding]:
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in CORE)
    yield Finding("packages", "ok", f"Python {platform.python_version()}, {versions}")
    for name, lacking in missing_extras().items():
        said = f"lacks {', '.join(lacking)}: `pip install 'bfkit[{name}]'` adds them" if lacking else "whole"
        yield Finding(f"extra {name}", "note" if lacking else "ok", said)


def missing_extras() -> dict[str, list[str]]:
    """For each extra of bfkit, which of its packages are not installed."""
    lacking: dict[str, list[str]] = {}
    for requirement in importlib.metadata.requires("bfkit") or ():
        named = re.fullmatch(r"(?P<package>[\w.-]+).*;.*extra == ['\"](?P<extra>\w+)['\"]", requirement)
        if named is None or named["package"] == "bfkit":
            continue
        missing = lacking.setdefault(named["extra"], [])
        try:
            importlib.metadata.version(named["package"])
        except PackageNotFoundError:
            missing.append(named["package"])
    return lacking


def _devices(chosen: torch.device) -> Iterator[Finding]:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GIB
    yield Finding("cpu", "ok", f"{device_name(torch.device('cpu'))}, {memory:.0f} GiB")
    for number in range(torch.cuda.device_count()):
        free, total = torch.cuda.mem_get_info(number)
        name, device = device_name(torch.device("cuda", number)), torch.device("cuda", number)
        energy = "energy measured by NVML" if measures_energy(device) else "energy not measured: NVML does not answer"
        yield Finding(f"cuda:{number}", "ok", f"{name}, {free / GIB:.0f} of {total / GIB:.0f} GiB free, {energy}")
    if not torch.cuda.device_count():
        yield Finding("cuda", "note", f"torch {torch.__version__} finds no CUDA device: all is computed on the CPU")
    yield Finding("device", "ok", f"{chosen} is what would be used")


# --- models ---------------------------------------------------------------------------------------------------------


def _existing(path: Path) -> Path:
    return path if path.exists() else _existing(path.parent)


def _size(repository: str) -> str:
    try:
        held = {one.repo_id: one.size_on_disk for one in scan_cache_dir().repos}
    except CacheNotFound:
        return ""
    return f", {held[repository] / GIB:.1f} GiB" if repository in held else ""


def _on_hub(what: str, repository: str, file: str, revision: str = "") -> Finding:
    """Whether a repository's file has been fetched, and so, one may hope, the rest of it."""
    path = try_to_load_from_cache(repository, file, revision=revision or None)
    if isinstance(path, str):
        return Finding(what, "ok", f"{repository} at {Path(path).parent.name[:12]}{_size(repository)}")
    return Finding(what, "missing", f"{repository} is not on this machine: fetch it with `hf download {repository}`")


def _folder(what: str, folder: Path, files: tuple[str, ...]) -> Finding:
    missing = [name for name in files if not (folder / name).is_file()]
    if missing:
        return Finding(what, "missing", f"{folder} lacks {', '.join(missing)}: name another folder")
    return Finding(what, "ok", str(folder))


def _pipeline(profile: Profile) -> Finding:
    if is_local(profile.pipeline):
        return _folder("pipeline", Path(profile.pipeline), ("model_index.json",))
    return _on_hub("pipeline", profile.pipeline, "model_index.json", profile.revision)


def _clip(profile: Profile) -> Finding:
    if is_local(profile.clip):
        return _folder("clip", Path(profile.clip), ("open_clip_config.json", "open_clip_model.safetensors"))
    if profile.clip.startswith(HUB):
        return _on_hub("clip", profile.clip.removeprefix(HUB), "open_clip_config.json")
    name, _, tag = profile.clip.partition("/")
    known = open_clip.get_pretrained_cfg(name, tag)
    if not known:
        return Finding(
            "clip", "missing", f"{profile.clip} is neither a folder nor a model of open_clip's: name another"
        )
    repository = str(known.get("hf_hub") or "").rstrip("/")
    found = [one for file in ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
             if (one := _on_hub("clip", repository, file)).state == "ok"]  # fmt: skip
    return found[0] if found else _on_hub("clip", repository, "open_clip_model.safetensors")


def _perceptual(profile: Profile) -> Finding:
    if not profile.perceptual.startswith(DREAMSIM):
        return _folder("perceptual", Path(profile.perceptual), ("config.json", "model.safetensors"))
    branch = profile.perceptual.removeprefix(DREAMSIM)
    if lacking := missing_extras().get("scores"):
        said = f"DreamSim needs {', '.join(lacking)}: run `pip install 'bfkit[scores]'`"
        return Finding("perceptual", "missing", said)
    from bfkit.models.dreamsim import missing_files

    if lacking := missing_files(branch):
        said = f"DreamSim {branch} lacks {', '.join(path.name for path in lacking)}: its first use downloads them"
        return Finding("perceptual", "missing", said)
    return Finding("perceptual", "ok", f"DreamSim {branch}")


def _classifier(profile: Profile) -> Finding:
    if profile.classifier:
        return _folder("classifier", Path(profile.classifier), ("config.json", "model.safetensors"))
    said = "torch-fidelity's Inception-v3, which its first use downloads: `bfkit compare` alone needs it"
    return Finding("classifier", "note", said)


def _advisor(profile: Profile) -> Iterator[Finding]:
    for name, way_out in (("advisor", "bfkit train"), ("scores", "bfkit dataset")):
        source = getattr(profile, name)
        if not source:
            yield Finding(name, "note", f"{profile.name} comes with none: make one with `{way_out}`")
        elif Path(source).exists():
            yield Finding(name, "ok", source)
        else:
            yield Finding(name, "missing", f"{source} is not there: make it with `{way_out}`")


# --- a first picture ------------------------------------------------------------------------------------------------


def _first_picture(profile: Profile, device: torch.device) -> Finding:
    """Draw one picture, as everything else will."""
    try:
        began = time.perf_counter()
        pipe = load_pipeline(profile, device, fetch=False)
        loaded = time.perf_counter()
        picture = generate(pipe, [FIRST], FIRST_STEPS, profile=replace(profile, batch=1))
        done = time.perf_counter()
    except (ValueError, OSError, ImportError) as error:
        return Finding("first picture", "missing", str(error))
    said = f"{FIRST_STEPS} steps in {done - loaded:.1f} s, after {loaded - began:.1f} s of loading"
    if not are_whole(picture).all():
        return Finding("first picture", "missing", f"{said}: its values are no numbers; try another --dtype")
    return Finding("first picture", "ok", said)
