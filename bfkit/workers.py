"""Who makes the shards: this process, or several of this machine.

A worker takes a shard at a time and looks at its file first, so that any number of runs may share a folder.
"""

import multiprocessing
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from multiprocessing import connection
from pathlib import Path
from typing import Any

import torch
from diffusers import DiffusionPipeline
from tqdm.auto import tqdm

from .cost import tflops_per_evaluation
from .engine import BrokenPicture
from .metrics import Judges, load_judges
from .pipelines import denoiser, load_pipeline
from .profiles import Profile
from .shards import Shard, configuration, write_shard

DEATHS = 3  # a worker, one after the other without a shard in between, before a run gives up


@dataclass(frozen=True)
class Setup:
    """What a worker has to know beside its shard."""

    profile: Profile
    device: str
    compiled: bool
    pictures: Path | None


# --- a shard ---------------------------------------------------------------------------------------------------------

_LOADED: dict[str, tuple[DiffusionPipeline, Judges, float]] = {}  # a process loads its models once


def _load(setup: Setup) -> tuple[DiffusionPipeline, Judges, float]:
    """The models, and what an evaluation costs."""
    profile, device = setup.profile, setup.device
    key = repr((profile, device, setup.compiled, configuration(profile)))  # weights may be trained anew in place
    if key not in _LOADED:
        pipe = load_pipeline(profile, device)
        tflops = tflops_per_evaluation(pipe, profile)  # before it is compiled: compiled code is not counted
        if setup.compiled:
            module = denoiser(pipe, profile)
            module.forward = torch.compile(module.forward)  # the call around it keeps its counting hooks
        _LOADED[key] = pipe, load_judges(profile, device), tflops
    return _LOADED[key]


def work(shard: Shard, setup: Setup) -> str | None:
    """Make a shard, unless another run has; returns what is wrong with it if a picture is broken."""
    if shard.is_complete(setup.pictures):
        return None
    pipe, judges, tflops = _load(setup)
    try:
        write_shard(pipe, judges, setup.profile, shard, tflops, setup.pictures)
    except BrokenPicture as error:
        return str(error)
    return None


# --- many workers ----------------------------------------------------------------------------------------------------


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


def in_processes(shards: Sequence[Shard], setup: Setup, workers: int) -> Iterator[str | None]:
    """Processes on this machine, which end with this one, however it ends."""
    context = multiprocessing.get_context("spawn")  # forking a process that holds torch's threads can hang
    threads = max(1, torch.get_num_threads() // workers)
    places: dict[int, multiprocessing.process.BaseProcess] = {}

    def start() -> connection.Connection:
        place = len(places) if len(places) < workers else _dead(places)
        ours, theirs = context.Pipe()
        own = replace(setup, device=_nth_device(setup.device, place))
        places[place] = context.Process(target=_serve, args=(theirs, own, threads), daemon=True)
        with signals(signal.SIG_IGN, signal.SIGINT, signal.SIGTERM):  # inherited: this process decides when they end
            places[place].start()
        theirs.close()
        return ours

    def give(worker: connection.Connection, shard: Shard | None) -> connection.Connection:
        with suppress(ConnectionError):  # it has died, as ``outcome`` will find
            worker.send(shard)
        return worker

    try:
        yield from share_out(shards, workers, start, give, lambda tickets: connection.wait(tickets)[0], _received)
    finally:
        for process in places.values():
            process.kill()
            process.join()


def _nth_device(device: str, place: int) -> str:
    """``cuda`` alone means every GPU of this machine, in turn."""
    return f"cuda:{place % max(1, torch.cuda.device_count())}" if device == "cuda" else device


def _dead(places: dict[int, multiprocessing.process.BaseProcess]) -> int:
    """The place of a process that has ended, or is about to."""
    sentinels = {process.sentinel: place for place, process in places.items()}
    return sentinels[connection.wait(list(sentinels))[0]]


def _serve(pipe: connection.Connection, setup: Setup, threads: int) -> None:
    """A worker process: takes shards until nobody gives it any."""
    torch.set_num_threads(threads)
    tqdm.set_lock(threading.RLock())  # its own would be a semaphore that is left over when this process is killed
    with suppress(EOFError, ConnectionError):
        while True:
            shard = pipe.recv()
            try:
                pipe.send(shard and work(shard, setup))
            except Exception as error:
                pipe.send(error)


def _received(ticket: connection.Connection) -> str | None:
    try:
        found = ticket.recv()
    except (EOFError, ConnectionError):
        raise Died("the process was killed") from None
    if isinstance(found, Exception):
        raise found
    return found


# --- signals ---------------------------------------------------------------------------------------------------------


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
