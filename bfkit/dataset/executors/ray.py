"""Shards on Ray: actors on one machine or many. The files tell what is finished, so Ray holds nothing of ours."""

import logging
import os
import signal
import socket
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

from bfkit.dataset.shards import Shard
from bfkit.extras import extra
from bfkit.profiles import Profile

from .work import Died, Setup, share_out, signals, work

QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",  # its banner
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # what it warns that it will do one day
    "RAY_BACKEND_LOG_LEVEL": "error",
    "RAY_DEDUP_LOGS_SKIP_REGEX": "A worker died or was killed",  # it is replaced
}


class _Actor:
    """A process on Ray, which keeps its models."""

    def work(self, shard: Shard, setup: Setup) -> None:
        work(shard, setup)


def on_ray(shards: Sequence[Shard], setup: Setup, workers: int | None, address: str | None) -> Iterator[None]:
    """Actors of a Ray cluster, each with a GPU of its own, or a CPU core where the cluster has no GPU."""
    ray = _import_ray()
    ours = not ray.is_initialized()
    if ours:
        _connect(ray, address)
    gpus, cpus = (int(ray.cluster_resources().get(kind, 0)) for kind in ("GPU", "CPU"))
    setup = replace(setup, device="cuda" if gpus else "cpu", profile=_absolute(setup.profile))
    workers, started = min(workers or gpus or cpus or 1, len(shards)), []
    actor = ray.remote(num_cpus=1, num_gpus=1 if gpus else 0)(_Actor)

    def start() -> Any:
        started.append(actor.remote())
        return started[-1]

    def give(worker: Any, shard: Shard | None) -> Any:
        return worker.work.remote(shard, setup) if shard else worker.__ray_ready__.remote()

    def outcome(ticket: Any) -> None:
        try:
            ray.get(ticket)
        except ray.exceptions.RayTaskError as error:
            raise error.cause from None
        except ray.exceptions.RayError as error:
            raise Died(str(error).splitlines()[0]) from None

    try:
        yield from share_out(shards, workers, start, give, lambda tickets: ray.wait(tickets)[0][0], outcome)
    finally:
        for worker in started:
            ray.kill(worker)
        if ours:
            ray.shutdown()


def _absolute(profile: Profile) -> Profile:
    """The profile with the full paths of its local folders: an actor has another working directory."""
    models = {name: getattr(profile, name) for name in ("pipeline", "clip", "perceptual")}
    return replace(profile, **{name: str(Path(m).absolute()) for name, m in models.items() if Path(m).is_dir()})


def _import_ray() -> ModuleType:
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    with extra("ray"):
        import ray
    return ray


def check_address(address: str) -> None:
    """Knock at a cluster's address, if it is one that can be knocked at; ValueError where nobody answers.

    Ray itself would knock for ten minutes.
    """
    if ":" not in address:  # such as auto, which Ray looks up
        return
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=10).close()
    except (OSError, ValueError, OverflowError) as error:
        raise _nobody_at(address, error) from None


def _nobody_at(address: str, error: Exception) -> ValueError:
    why = str(error.__cause__ or error).splitlines()[0].split(". ")[0]
    return ValueError(
        f"no Ray cluster at {address} ({why}): start one with `ray start --head`, share its token "
        "(RAY_AUTH_TOKEN_PATH), or leave the address out to have one here"
    )


def _connect(ray: ModuleType, address: str | None) -> None:
    here = {} if address else {"include_dashboard": False}
    if address:
        check_address(address)
    try:
        with signals(signal.getsignal(signal.SIGTERM), signal.SIGTERM):  # Ray sets its own, this sets ours again
            ray.init(address or "local", log_to_driver=False, logging_level=logging.ERROR, **here)
    except Exception as error:  # Ray raises many kinds
        if address:
            raise _nobody_at(address, error) from None
        why = str(error.__cause__ or error).splitlines()[0].split(". ")[0]
        raise ValueError(f"Ray does not start here ({why}): try again when the machine is less busy") from None
