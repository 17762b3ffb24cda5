"""Shards made by processes of this machine.

A worker takes a shard at a time and looks at its file first, so that any number of runs may share a folder.
"""

import multiprocessing
import os
import pickle
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from multiprocessing import connection
from multiprocessing.process import BaseProcess
from typing import Any

import torch
from tqdm.auto import tqdm

from bfkit.dataset.shards import Shard

from .child import begin
from .work import Died, held, share_out, work

# --- many workers ----------------------------------------------------------------------------------------------------


def most_workers(device: str) -> tuple[int, str]:
    """How many workers a device serves, and why in words: a GPU one, since each has models of its own; a core one."""
    if device.startswith("cuda"):
        count = torch.cuda.device_count() if device == "cuda" else 1
        return count, f"{device} is {count} GPU{'s' * (count != 1)}, and each serves one worker"
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return count, f"there {'are' if count > 1 else 'is'} {count} CPU core{'s' * (count != 1)}"


def in_processes(
    jobs: Sequence[Any],
    setup: Any,
    workers: int,
    work: Callable[[Any, Any], Any] = work,
    ready: Callable[[Any], bool] = lambda _: True,
) -> Iterator[Any]:
    """Processes on this machine, which end with this one, however it ends; yields what ``work`` returns of each job.

    With another ``work``, a function of a module, jobs and setup are whatever it takes; a setup has a ``device``. A job
    that is not ``ready`` waits for others.
    """
    context = multiprocessing.get_context("spawn")  # forking a process that holds torch's threads can hang
    threads = max(1, torch.get_num_threads() // workers)
    places: dict[int, BaseProcess] = {}

    def start() -> connection.Connection:
        place = len(places) if len(places) < workers else _dead(places)
        ours, theirs = context.Pipe()
        own = replace(setup, device=_nth_device(setup.device, place))
        orders = pickle.dumps((_serve, own, threads, work))
        process = context.Process(target=begin, args=(theirs, orders), daemon=True)
        with held(signal.SIGINT, signal.SIGTERM):  # inherited: this process decides when they end
            process.start()
            places[place] = process
        theirs.close()
        return ours

    def give(worker: connection.Connection, shard: Shard | None) -> connection.Connection:
        with suppress(ConnectionError):  # it has died, as ``outcome`` will find
            worker.send(shard)
        return worker

    try:
        yield from share_out(jobs, workers, start, give, lambda tickets: connection.wait(tickets)[0], _received, ready)
    finally:
        for process in places.values():
            process.kill()
            process.join()


def _nth_device(device: str, place: int) -> str:
    """``cuda`` alone means every GPU of this machine, one a worker."""
    return f"cuda:{place}" if device == "cuda" else device


def _dead(places: dict[int, BaseProcess]) -> int:
    """The place of a process that has ended, or is about to."""
    sentinels: dict[Any, int] = {process.sentinel: place for place, process in places.items()}
    return sentinels[connection.wait(list(sentinels))[0]]


def _serve(pipe: connection.Connection, setup: Any, threads: int, work: Callable[[Any, Any], Any]) -> None:
    """A worker process: takes shards until nobody gives it any."""
    torch.set_num_threads(threads)
    tqdm.set_lock(threading.RLock())  # its own would be a semaphore that is left over when this process is killed
    with suppress(EOFError, ConnectionError):
        while True:
            shard = pipe.recv()
            try:
                pipe.send(work(shard, setup) if shard else None)
            except Exception as error:
                pipe.send(error)


def _received(ticket: connection.Connection) -> Any:
    try:
        found = ticket.recv()
    except (EOFError, ConnectionError):
        raise Died("the process was killed") from None
    if isinstance(found, Exception):
        raise found
    return found
