"""A lack of memory is recognised in whichever words it comes, and work goes on in parts that fit."""

import subprocess
import sys

import pytest
import torch

from bfkit.memory import TooLarge, attempt, in_parts, is_out_of_memory

WORDS = [
    "CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported",
    "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
    "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
    "cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
    "[enforce fail at alloc_cpu.cpp:121] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate",
    "[enforce fail at alloc_cpu.cpp:80] DefaultCPUAllocator: not enough memory: you tried to allocate",
]


class Owner:
    """A model that remembers."""


def holds(most: int):
    """Work that fits up to ``most`` items, and the sizes that it was tried with."""
    tried = []

    def work(part):
        tried.append(len(part))
        if len(part) > most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return list(part)

    return work, tried


def run(work, items, size, owner, **options):
    return list(in_parts(work, items, size, owner=owner, what="row", device="cpu", **options))


@pytest.mark.parametrize("words", WORDS, ids=lambda words: words[:30])
@pytest.mark.parametrize("kind", [RuntimeError, torch.AcceleratorError])
def test_every_library_s_words_for_a_lack_of_memory_are_understood(words, kind):
    assert is_out_of_memory(kind(words))


def test_what_this_machine_s_own_allocator_says_is_understood():
    with pytest.raises(RuntimeError) as error:
        torch.empty(2**60, dtype=torch.uint8)
    assert is_out_of_memory(error.value)
    assert is_out_of_memory(MemoryError()) and is_out_of_memory(torch.OutOfMemoryError())


@pytest.mark.parametrize(
    "error",
    [RuntimeError("mat1 and mat2 shapes cannot be multiplied"), ValueError("out of memory"), OSError("no space"),
     torch.AcceleratorError("CUDA error: an illegal memory access was encountered")],
    ids=repr,
)  # fmt: skip
def test_other_errors_are_not_taken_for_it(error):
    assert not is_out_of_memory(error)
    with pytest.raises(type(error)):
        attempt(lambda: (_ for _ in ()).throw(error), "x", "cpu")


def test_what_does_not_fit_is_done_in_halves_in_order_and_the_size_is_remembered_for_its_owner():
    work, tried = holds(3)
    owner, other = Owner(), Owner()
    assert run(work, range(10), 8, owner) == [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9]]
    assert tried == [8, 4, 2, 2, 2, 2, 2]
    tried.clear()
    run(work, range(4), 8, owner)
    assert tried == [2, 2]
    run(work, range(4), 8, other)
    assert tried == [2, 2, 4, 2, 2]


def test_where_not_even_one_fits_the_way_out_is_named():
    with pytest.raises(TooLarge, match="cpu has too little memory for one row: use a larger device"):
        run(holds(0)[0], range(4), 4, Owner())


def test_a_lack_that_passes_is_survived_by_what_cannot_be_divided():
    failures = iter([RuntimeError(WORDS[1])])

    def load() -> str:
        for failure in failures:
            raise failure
        return "model"

    assert attempt(load, "a model", "cpu") == "model"


def test_relief_is_asked_for_before_anything_is_halved():
    work, tried = holds(2)
    room = iter([True, False])
    assert run(work, range(4), 4, Owner(), relief=lambda: next(room)) == [[0, 1], [2, 3]]
    assert tried == [4, 4, 2, 2]


def test_the_failed_attempt_holds_no_memory_when_the_next_one_begins():
    """Its tensors hang on the error's frames; a child of limited memory can hold one of them, not two."""
    code = """
import resource, torch
from bfkit.memory import attempt
torch.empty(1)
resource.setrlimit(resource.RLIMIT_AS, (int(open("/proc/self/statm").read().split()[0]) * 4096 + 300 * 2**20,) * 2)
first = []
def work():
    large = torch.ones(200 * 2**20, dtype=torch.uint8)
    if not first:
        first.append(1)
        torch.ones(200 * 2**20, dtype=torch.uint8)
    return large
assert attempt(work, "it", "cpu")[-1] == 1
assert first
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
