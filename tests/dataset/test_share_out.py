"""Jobs dealt out to workers: each is done once, what builds on others comes after them, and nobody waits for ever."""

import random
from collections.abc import Callable

import pytest

from bfkit.dataset.executors.work import Died, share_out

JOBS = ["a", "b", "a1", "a2", "b1", "b2", "a3", "b3"]  # a1 builds on a


class Hands:
    """Workers in one thread: which of them is done next is drawn by lot, and some die of a job the first time."""

    def __init__(self, seed: int, deadly: str = "") -> None:
        self.lot, self.deadly = random.Random(seed), list(deadly)
        self.started, self.under_way = 0, {}
        self.done: list[str] = []
        self.begun: list[tuple[str, tuple[str, ...]]] = []  # a job, and what was done when it began

    def start(self) -> int:
        self.started += 1
        return self.started

    def give(self, worker: int, job: str | None) -> int:
        self.under_way[worker] = job
        if job:
            self.begun.append((job, tuple(self.done)))
        return worker

    def wait(self, tickets: list[int]) -> int:
        return self.lot.choice(tickets)

    def outcome(self, ticket: int) -> str | None:
        job = self.under_way.pop(ticket)
        if job in self.deadly:
            self.deadly.remove(job)
            raise Died("killed")
        if job:
            self.done.append(job)
        return job

    def share_out(self, workers: int, ready: Callable[[str], bool]) -> list[str]:
        return list(share_out(JOBS, workers, self.start, self.give, self.wait, self.outcome, ready))


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("workers", [1, 2, 3, 9])
def test_what_builds_on_a_job_begins_after_it(seed, workers):
    hands = Hands(seed)
    assert sorted(hands.share_out(workers, lambda job: len(job) == 1 or job[0] in hands.done)) == sorted(JOBS)
    assert all(len(job) == 1 or job[0] in done for job, done in hands.begun)


@pytest.mark.parametrize("seed", range(8))
def test_a_job_whose_base_never_comes_is_given_out_at_last(seed):
    hands = Hands(seed)
    assert sorted(hands.share_out(2, lambda job: job[0] != "a")) == sorted(JOBS)
    firsts = [job for job, _ in hands.begun][:4]
    assert all(job[0] == "b" for job in firsts), "as long as there is other work"


@pytest.mark.parametrize("seed", range(8))
def test_a_worker_that_dies_loses_no_job(seed):
    hands = Hands(seed, deadly="ab")
    assert sorted(hands.share_out(2, lambda job: len(job) == 1 or job[0] in hands.done)) == sorted(JOBS)
    assert hands.started == 4
