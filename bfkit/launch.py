"""Make a data set, here, in several processes, or on Ray. What is finished is told by the shards' files alone."""

import random
import signal
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Literal

import torch
from tqdm.auto import tqdm

from .cluster import on_ray
from .files import remove_leftovers
from .pipelines import check_device
from .profiles import Profile
from .shards import Shard, plan_shards
from .workers import Setup, in_processes, signals, work


def build_dataset(
    profile: Profile,
    prompts: Sequence[str],
    folder: Path,
    device: torch.device | str = "cpu",
    workers: int | None = None,
    compiled: bool = False,
    *,
    keep_images: bool = False,
    part: tuple[int, int] = (1, 1),
    launch: Literal["here", "ray"] = "here",
    address: str | None = None,
) -> list[Shard]:
    """Draw and measure every prompt x seed x step count into shards under ``folder``; resumes; shows a progress bar.

    Here, ``workers`` processes (default 1) share the shards, each with its own models: a GPU each where ``device`` is
    ``cuda`` and there are several, else they share the cores. On Ray they are actors of the cluster at ``address``, or
    of one that is started on this machine: by default one a GPU, or one a CPU core where there is no GPU, whatever
    ``device`` says; on several machines ``folder`` must be on a file system that all of them share. With ``compiled``,
    torch compiles the denoiser first, which pays from a few shards on. ``keep_images`` keeps the pictures, as WebP,
    under ``folder/pictures``. ``part`` (3, 16) makes the third sixteenth of the shards alone.

    Returns the shards of that part in order. Ctrl-C and SIGTERM end it at once, and what is finished stays. Raises
    ValueError for bad input before anything is drawn, and for broken pictures when all other shards are finished;
    OSError if the disk is full.
    """
    number, parts = part
    if not 1 <= number <= parts:
        raise ValueError(f"part {number}/{parts} does not exist: count from 1/{parts} to {parts}/{parts}")
    if launch not in ("here", "ray"):
        raise ValueError(f"unknown launch {launch!r}: choose here or ray")
    if launch == "here":
        check_device(device)
    folder = Path(folder).absolute()  # a worker may have another working directory
    shards = plan_shards(profile, prompts, folder)[number - 1 :: parts]
    folder.mkdir(parents=True, exist_ok=True)
    remove_leftovers(folder)
    setup = Setup(profile, str(device), compiled, folder / "pictures" if keep_images else None)
    missing = [shard for shard in shards if not shard.is_complete(setup.pictures)]
    random.SystemRandom().shuffle(missing)  # two runs in one folder rarely meet
    with signals(_interrupt, signal.SIGTERM), closing(_run(missing, setup, workers, launch, address)) as outcomes:
        bar = tqdm(outcomes, f"dataset, {len(shards[0].keys()) if shards else 0} images a shard", len(shards),
                   initial=len(shards) - len(missing), unit="shard")  # fmt: skip
        broken = [outcome for outcome in bar if outcome]
    if broken:
        raise ValueError(
            f"{broken[0]}; {len(broken)} of {len(shards)} shards are not finished, all others are: see to the cause "
            "and run again"
        )
    return shards


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _run(
    shards: Sequence[Shard], setup: Setup, workers: int | None, launch: str, address: str | None
) -> Iterator[str | None]:
    """Yields each time a shard is done with: nothing, or what is wrong with it."""
    if not shards:
        return
    if launch == "ray":
        yield from on_ray(shards, setup, workers, address)
    elif min(workers or 1, len(shards)) > 1:
        yield from in_processes(shards, setup, min(workers, len(shards)))
    else:
        for shard in shards:
            yield work(shard, setup)
