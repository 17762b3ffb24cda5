"""What every executor shares: a shard made by a worker, shards dealt out to workers, and signals."""

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diffusers import DiffusionPipeline

from bfkit.dataset.shards import Shard, configuration, write_shard
from bfkit.dataset.truth import Checker, load_checker
from bfkit.memory import attempt, release
from bfkit.metrics.scorer import Scorer, load_scorer
from bfkit.models.pipelines import compile_denoiser, denoiser, load_pipeline, make_room
from bfkit.profiles import Profile
from bfkit.sampling.cost import tflops_per_evaluation
from bfkit.sampling.counting import passes_of

DEATHS = 3  # a worker, one after the other without a shard in between, before a run gives up


@dataclass(frozen=True)
class Setup:
    """What a worker has to know beside its shard."""

    profile: Profile
    device: str
    compiled: bool
    offload: bool
    pictures: Path | None


Loaded = tuple[DiffusionPipeline, Scorer, Checker | None, float]
_LOADED: dict[str, Loaded] = {}  # a process loads its models once


def _load(setup: Setup) -> Loaded:
    """The models, and what an evaluation costs."""
    profile, device = setup.profile, setup.device
    asked = profile, device, setup.compiled, setup.offload
    key = repr((*asked, configuration(profile)))  # weights may be trained anew in place
    if key not in _LOADED:
        pipe = load_pipeline(profile, device, setup.offload)
        # before it is compiled: compiled code is not counted
        tflops = attempt(
            lambda: tflops_per_evaluation(pipe, profile),
            f"one picture of {profile.name} at {profile.image_size} pixels",
            device,
            relief=lambda: make_room(pipe, profile),
        )
        if setup.compiled:
            compile_denoiser(pipe, profile)
        scorer, checker = attempt(
            lambda: (load_scorer(profile, device), load_checker(profile, device)),
            f"the models that score pictures for {profile.name}",
            device,
            relief=lambda: make_room(pipe, profile),
        )
        _LOADED[key] = pipe, scorer, checker, tflops
    return _LOADED[key]


def forget_models() -> None:
    """Let go of the models that this process has loaded to make shards, and of their memory."""
    _LOADED.clear()
    release()


def work(shard: Shard, setup: Setup, tell: Callable[[float], object] | None = None) -> None:
    """Make a shard, unless another run has; ``tell`` hears, evaluation by evaluation, what share of it more is made."""
    if not shard.is_complete(setup.pictures):
        pipe, scorer, checker, tflops = _load(setup)
        with _telling(pipe, setup.profile, shard, tell) if tell else nullcontext():
            write_shard(pipe, scorer, setup.profile, shard, tflops, setup.pictures, checker)


@contextmanager
def _telling(
    pipe: DiffusionPipeline, profile: Profile, shard: Shard, tell: Callable[[float], object]
) -> Iterator[None]:
    """Tell of each evaluation of the denoiser; never of the whole shard, though some pictures be drawn again."""
    rows = len(shard.prompts) * len(shard.seeds) * sum(shard.step_counts) * passes_of(profile)
    left = rows

    def evaluated(_module: object, _inputs: object, output: Any) -> None:
        nonlocal left
        done = min(len(output[0]), left)
        left -= done
        tell(done / (rows + 1))  # the rest is the file's

    hook = denoiser(pipe, profile).register_forward_hook(evaluated)
    try:
        yield
    finally:
        hook.remove()


class Died(Exception):
    """A worker's process was killed, or its machine is gone."""


def share_out(
    jobs: Sequence[Any],
    workers: int,
    start: Callable[[], Any],
    give: Callable[[Any, Any], Any],
    wait: Callable[[list[Any]], Any],
    outcome: Callable[[Any], Any],
    ready: Callable[[Any], bool] = lambda _: True,
) -> Iterator[Any]:
    """Each worker has a job, a shard say, at a time; one that dies is replaced, and its job goes to another.

    A job that is not ``ready`` waits for others to be done, unless none is under way that it could wait for.
    ``give`` hands a worker a job, at first None, and returns a ticket; ``wait`` returns the first of the tickets that
    is done, and ``outcome`` what came of it, which is yielded, or raises what went wrong, or ``Died``.
    """
    waiting, idle, deaths, unfinished = list(jobs), [], 0, len(jobs)
    busy: dict[Any, tuple[Any, Any]]
    busy = {give(worker, None): (worker, None) for worker in [start() for _ in range(workers)]}
    while unfinished:
        ticket = wait(list(busy))
        worker, job = busy.pop(ticket)
        try:
            found = outcome(ticket)
        except Died as death:
            deaths += 1
            if deaths >= DEATHS * workers:
                raise ChildProcessError(
                    f"{deaths} workers died one after the other ({death}): if they want for memory, use fewer; what is "
                    "finished is kept"
                ) from None
            waiting.extend([job] if job else [])
            worker = start()
            busy[give(worker, None)] = worker, None
        else:
            idle.append(worker)
            if job:
                deaths, unfinished = 0, unfinished - 1
                yield found
        while idle and waiting:
            place = next((place for place, job in enumerate(waiting) if ready(job)), None)
            if place is None and any(job for _, job in busy.values()):
                break
            worker, job = idle.pop(), waiting.pop(place or 0)
            busy[give(worker, job)] = worker, job


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
