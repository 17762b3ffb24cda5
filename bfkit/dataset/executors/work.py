"""What every executor shares: a shard made by a worker, shards dealt out to workers, and signals."""

import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import DiffusionPipeline

from bfkit.dataset.measure import BrokenPicture
from bfkit.dataset.shards import Shard, configuration, write_shard
from bfkit.devices import free_memory
from bfkit.metrics.scorer import Scorer, load_scorer
from bfkit.models.pipelines import denoiser, load_pipeline
from bfkit.profiles import Profile
from bfkit.sampling.cost import tflops_per_evaluation

DEATHS = 3  # a worker, one after the other without a shard in between, before a run gives up


@dataclass(frozen=True)
class Setup:
    """What a worker has to know beside its shard."""

    profile: Profile
    device: str
    compiled: bool
    pictures: Path | None


_LOADED: dict[str, tuple[DiffusionPipeline, Scorer, float]] = {}  # a process loads its models once


def _load(setup: Setup) -> tuple[DiffusionPipeline, Scorer, float]:
    """The models, and what an evaluation costs."""
    profile, device = setup.profile, setup.device
    key = repr((profile, device, setup.compiled, configuration(profile)))  # weights may be trained anew in place
    if key not in _LOADED:
        pipe = load_pipeline(profile, device)
        tflops = tflops_per_evaluation(pipe, profile)  # before it is compiled: compiled code is not counted
        if setup.compiled:
            module = denoiser(pipe, profile)
            module.forward = torch.compile(module.forward)  # the call around it keeps its counting hooks
        _LOADED[key] = pipe, load_scorer(profile, device), tflops
    return _LOADED[key]


def forget_models() -> None:
    """Let go of the models that this process has loaded to make shards, and of their memory."""
    _LOADED.clear()
    free_memory()


def work(shard: Shard, setup: Setup) -> str | None:
    """Make a shard, unless another run has; returns what is wrong with it if a picture is broken."""
    if shard.is_complete(setup.pictures):
        return None
    pipe, scorer, tflops = _load(setup)
    try:
        write_shard(pipe, scorer, setup.profile, shard, tflops, setup.pictures)
    except BrokenPicture as error:
        return str(error)
    return None


class Died(Exception):
    """A worker's process was killed, or its machine is gone."""


def share_out(
    shards: Sequence[Shard],
    workers: int,
    start: Callable[[], Any],
    give: Callable[[Any, Shard | None], Any],
    wait: Callable[[list[Any]], Any],
    outcome: Callable[[Any], str | None],
) -> Iterator[str | None]:
    """Each worker has a shard at a time; one that dies is replaced, and its shard goes to another.

    ``give`` hands a worker a shard, at first nothing, and returns a ticket; ``wait`` returns the first of the tickets
    that is done, and ``outcome`` what became of it, or raises ``Died``.
    """
    waiting, idle, deaths, unfinished = deque(shards), [], 0, len(shards)
    busy: dict[Any, tuple[Any, Shard | None]]
    busy = {give(worker, None): (worker, None) for worker in [start() for _ in range(workers)]}
    while unfinished:
        ticket = wait(list(busy))
        worker, shard = busy.pop(ticket)
        try:
            found = outcome(ticket)
        except Died as death:
            deaths += 1
            if deaths >= DEATHS * workers:
                raise ChildProcessError(
                    f"{deaths} workers died one after the other ({death}): if they want for memory, use fewer; what is "
                    "finished is kept"
                ) from None
            waiting.extend([shard] if shard else [])
            worker = start()
            busy[give(worker, None)] = worker, None
        else:
            idle.append(worker)
            if shard:
                deaths, unfinished = 0, unfinished - 1
                yield found
        while idle and waiting:
            worker, shard = idle.pop(), waiting.popleft()
            busy[give(worker, shard)] = worker, shard


@contextmanager
def signals(handler: Any, *numbers: int) -> Iterator[None]:
    """Handle these signals so while entered; outside the main thread, where Python forbids it, change nothing."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = [(number, signal.signal(number, handler)) for number in numbers]
    try:
        yield
    finally:
        for number, old in before:
            signal.signal(number, old)


@contextmanager
def held(*numbers: int) -> Iterator[None]:
    """Hold these signals back while entered, and from processes that are started meanwhile for good; none is lost."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    # A signal may reach any thread of this process, whatever the mask; a process that is started inherits the mask.
    with signals(lambda number, _: came.append(number), *numbers):
        before = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
        try:
            yield
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
    for number in came:
        signal.raise_signal(number)
