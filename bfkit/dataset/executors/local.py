"""Shards made by processes of this machine.

A worker takes a shard at a time and looks at its file first, so that any number of runs may share a folder.
"""

import multiprocessing
import pickle
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from multiprocessing import connection
from multiprocessing.process import BaseProcess
from typing import Any

import torch
from tqdm.auto import tqdm

from bfkit.dataset.shards import Shard

from .child import begin
from .work import Died, Setup, held, share_out, work

# --- many workers ----------------------------------------------------------------------------------------------------


def in_processes(shards: Sequence[Shard], setup: Setup, workers: int) -> Iterator[str | None]:
    """Processes on this machine, which end with this one, however it ends."""
    context = multiprocessing.get_context("spawn")  # forking a process that holds torch's threads can hang
    threads = max(1, torch.get_num_threads() // workers)
    places: dict[int, BaseProcess] = {}

    def start() -> connection.Connection:
        place = len(places) if len(places) < workers else _dead(places)
        ours, theirs = context.Pipe()
        own = replace(setup, device=_nth_device(setup.device, place))
        process = context.Process(target=begin, args=(theirs, pickle.dumps((_serve, own, threads))), daemon=True)
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
        yield from share_out(shards, workers, start, give, lambda tickets: connection.wait(tickets)[0], _received)
    finally:
        for process in places.values():
            process.kill()
            process.join()


def _nth_device(device: str, place: int) -> str:
    """``cuda`` alone means every GPU of this machine, in turn."""
    return f"cuda:{place % max(1, torch.cuda.device_count())}" if device == "cuda" else device


def _dead(places: dict[int, BaseProcess]) -> int:
    """The place of a process that has ended, or is about to."""
    sentinels: dict[Any, int] = {process.sentinel: place for place, process in places.items()}
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
