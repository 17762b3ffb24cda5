"""Make a data set, here, in several processes, or on Ray. What is finished is told by the shards' files alone."""

import hashlib
import json
import random
import signal
import warnings
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Literal

import torch
from tqdm.auto import tqdm

from bfkit.dataset.executors.local import in_processes, most_workers
from bfkit.dataset.executors.ray import on_ray
from bfkit.dataset.executors.work import Setup, signals, work
from bfkit.devices import choose_device
from bfkit.files import remove_leftovers, write_file
from bfkit.memory import release
from bfkit.models.clip import load_clip
from bfkit.profiles import Profile
from bfkit.provenance import model_digest

from .captions import read_captions
from .failures import list_failures
from .prompts import select_prompts
from .shards import Shard, as_before, earlier_configuration, list_shards

BAR = "{desc}: {percentage:3.0f}%|{bar}| {n:.1f}/{total} [{elapsed}<{remaining}]"  # a shard takes minutes: its tenths


def settle_prompts(
    folder: Path, profile: Profile, captions: Sequence[str], count: int, choose: Callable[[], list[str]]
) -> list[str]:
    """The first ``count`` prompts of a data set: chosen once, then read from ``folder/prompts.json``.

    Choosing embeds every caption, and embeddings round otherwise on other hardware: a run that goes on, or shares the
    folder from another machine, must have the same prompts, and have them at once. Other captions, another CLIP or a
    larger count choose anew. Of several runs that choose at the same time, the first to finish decides.
    """
    offered = hashlib.sha256("\n".join(captions).encode()).hexdigest()
    source, path = {"captions": offered, "clip": model_digest(profile.clip)}, Path(folder) / "prompts.json"
    settled, first = _settled(path, source), not path.exists()
    if len(settled) < count:
        chosen = choose()
        write_file(path, json.dumps({"source": source, "prompts": chosen}, indent=1).encode(), keep_old=first)
        settled = _settled(path, source)
        settled = settled if len(settled) >= count else chosen
    return settled[:count]


def _settled(path: Path, source: dict[str, str]) -> list[str]:
    """What an earlier run chose from this source; nothing if there is none, or it is damaged."""
    try:
        noted = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return []
    return noted["prompts"] if noted["source"] == source else []


def dataset_prompts(
    profile: Profile,
    folder: Path,
    source: str | None = None,
    count: int | None = None,
    device: torch.device | str | None = None,
) -> list[str]:
    """The first dissimilar captions of a source, chosen once a folder; source and count default to the profile's.

    Raises ValueError or OSError where the captions cannot be read or are too few.
    """
    count = profile.prompts if count is None else count
    offered = read_captions(source or profile.captions)

    def choose() -> list[str]:
        chosen = select_prompts(offered, load_clip(profile.clip, device), count)
        release()  # the GPU's memory, for the processes that will draw
        return chosen

    return settle_prompts(folder, profile, offered, count, choose)


def build_dataset(
    profile: Profile,
    prompts: Sequence[str],
    folder: Path,
    device: torch.device | str | None = None,
    workers: int | None = None,
    compiled: bool = False,
    *,
    keep_images: bool = False,
    offload: bool = False,
    part: tuple[int, int] = (1, 1),
    executor: Literal["here", "ray"] = "here",
    address: str | None = None,
) -> list[Shard]:
    """Draw and measure every prompt x seed x step count into shards under ``folder``; resumes; shows a progress bar.

    Here, ``workers`` processes (default 1) share the shards, each with its own models: a GPU each where ``device`` is
    ``cuda`` and there are several, else they share the cores. On Ray they are actors of the cluster at ``address``, or
    of one that is started on this machine: by default one a GPU, or one a CPU core where there is no GPU, whatever
    ``device`` says; on several machines ``folder`` must be on a file system that all of them share. With ``compiled``,
    torch compiles the denoiser first, which pays from a few shards on. ``keep_images`` keeps the pictures, as WebP,
    under ``folder/pictures``. A pipeline of the hub is pinned to its commit, which the folder's later runs keep to.
    ``offload`` lets a pipeline's models take turns on a GPU that does not hold them all.
    ``part`` (3, 16) makes the third sixteenth of the shards alone. More workers than GPUs, or cores, are not started.

    Returns the shards of that part in order. A picture that stays broken in float32 is left out, and listed with the
    reason in ``folder/failures.csv``. Ctrl-C and SIGTERM end a run at once, and what is finished stays. Raises
    ValueError for bad input before anything is drawn, or for a device that does not hold one picture; OSError if the
    disk is full.
    """
    number, parts = part
    if not 1 <= number <= parts:
        raise ValueError(f"part {number}/{parts} does not exist: count from 1/{parts} to {parts}/{parts}")
    if executor not in ("here", "ray"):
        raise ValueError(f"unknown executor {executor!r}: choose here or ray")
    if executor == "here":
        device = choose_device(device)
    folder = Path(folder).absolute()  # a worker may have another working directory
    profile = as_before(profile, earlier_configuration(folder))
    shards = list_shards(profile, prompts, folder)[number - 1 :: parts]
    folder.mkdir(parents=True, exist_ok=True)
    remove_leftovers(folder)
    setup = Setup(profile, str(device), compiled, offload, folder / "pictures" if keep_images else None)
    missing = [shard for shard in shards if not shard.is_complete(setup.pictures)]
    random.SystemRandom().shuffle(missing)  # two runs in one folder rarely meet
    label, there = f"dataset, {len(shards[0].keys()) if shards else 0} images a shard", len(shards) - len(missing)
    with tqdm(desc=label, total=len(shards), initial=there, unit="shard", bar_format=BAR) as bar:
        outcomes = _run(missing, setup, workers, executor, address, bar.update)
        with signals(_interrupt, signal.SIGTERM), closing(outcomes):
            for made, _ in enumerate(outcomes, 1):
                bar.update(there + made - bar.n)
    list_failures(folder)
    return shards


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _run(
    shards: Sequence[Shard],
    setup: Setup,
    workers: int | None,
    executor: str,
    address: str | None,
    tell: Callable[[float], object],
) -> Generator[None]:
    """Yields each time a shard is finished; where this process makes them, ``tell`` hears of the shares in between."""
    if not shards:
        return
    if executor == "ray":
        yield from on_ray(shards, setup, workers, address)
        return
    asked = min(workers or 1, len(shards))
    most, why = most_workers(setup.device)
    if asked > most:
        warnings.warn(f"{most} instead of {asked} workers: {why}", stacklevel=3)
    if min(asked, most) > 1:
        yield from in_processes(shards, setup, min(asked, most))
    else:
        for shard in shards:
            yield work(shard, setup, tell)
