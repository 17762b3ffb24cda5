"""Run a data set's shards, here or in several processes. What is finished is told by the shards' files alone."""

import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

import torch
from diffusers import DiffusionPipeline
from tqdm.auto import tqdm

from .generate import load_pipeline
from .metrics import Judges, load_judges
from .profiles import Profile
from .shards import PROMPTS_A_SHARD, Shard, configuration, plan_shards, write_shard


def build_dataset(
    profile: Profile,
    prompts: Sequence[str],
    folder: Path,
    device: torch.device | str = "cpu",
    workers: int = 1,
    compiled: bool = False,
) -> list[Shard]:
    """Draw and measure every prompt x seed x step count into shards under ``folder``; resumes; shows a progress bar.

    ``workers`` processes share the shards, each with its own models; on a CPU they share the cores as well. With
    ``compiled``, torch compiles the denoiser first, which pays from a few shards on. Returns all shards in order.
    Raises ValueError before anything is drawn; if a worker fails, what is finished stays.
    """
    shards = plan_shards(profile, prompts, folder)
    folder.mkdir(parents=True, exist_ok=True)
    missing = [shard for shard in shards if not shard.is_complete()]
    done = _run(missing, (profile, str(device), compiled), min(workers, len(missing)))
    for _ in tqdm(done, f"dataset, {PROMPTS_A_SHARD} prompts a shard", len(shards), initial=len(shards) - len(missing)):
        pass
    return shards


def _run(shards: Sequence[Shard], setup: tuple[Profile, str, bool], workers: int) -> Iterator[None]:
    """Yields each time a shard is finished."""
    if workers <= 1:
        for shard in shards:
            yield _work(shard, *setup)
        return
    threads = max(1, torch.get_num_threads() // workers)
    context = multiprocessing.get_context("spawn")  # forking a process that holds torch's threads can hang
    with ProcessPoolExecutor(workers, context, initializer=torch.set_num_threads, initargs=(threads,)) as pool:
        futures = [pool.submit(_work, shard, *setup) for shard in shards]
        try:
            for future in as_completed(futures):
                yield future.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


_LOADED: dict[str, tuple[DiffusionPipeline, Judges]] = {}  # a process loads its models once


def _work(shard: Shard, profile: Profile, device: str, compiled: bool) -> None:
    key = repr((profile, device, compiled, configuration(profile)))  # weights may have been trained anew in place
    if key not in _LOADED:
        pipe = load_pipeline(profile, device)
        if compiled:
            pipe.unet.forward = torch.compile(pipe.unet.forward)  # the call around it keeps its counting hooks
        _LOADED[key] = pipe, load_judges(profile, device)
    pipe, judges = _LOADED[key]
    write_shard(pipe, judges, profile, shard)
