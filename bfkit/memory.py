"""Memory as a plan: how a lack of it looks, and work that goes on in parts that fit.

What did not fit is done again in halves, and the size that fits is remembered, so that it is looked for once.
"""

import gc
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")
# torch's allocators on GPUs and CPUs, CUDA itself, and cuBLAS, cuDNN and their kin, which allocate beside torch
SIGNS = ("out of memory", "can't allocate memory", "not enough memory", "alloc_failed", "allocation_failed")

_FITS: WeakKeyDictionary[Any, dict[str, int]] = WeakKeyDictionary()  # of a model, how much fits of which kind of work


class TooLarge(ValueError):
    """What does not fit, not even one of it."""


def is_out_of_memory(error: BaseException) -> bool:
    """True if an error says that memory is short, in whichever words."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError | TooLarge):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error).lower() for sign in SIGNS)


def release() -> None:
    """Give back what torch keeps for later, which other libraries and processes cannot use."""
    gc.collect()  # a failed attempt's tensors may hang in circles
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def fitting(owner: object, what: str, size: int) -> int:
    """How many of ``size`` items ``in_parts`` would begin with."""
    return min(size, _FITS.get(owner, {}).get(what, size))


def _nothing() -> bool:
    return False


def if_it_fits(work: Callable[[], Result]) -> Result | None:
    """What the work returns, which may not be None, or None if memory was short: what it had made is let go then."""
    try:
        return work()
    except Exception as error:
        if not is_out_of_memory(error):
            raise
    release()
    return None


def attempt(
    work: Callable[[], Result], what: str, device: torch.device | str, relief: Callable[[], bool] = _nothing
) -> Result:
    """The result of work that cannot be divided, such as loading a model; it may not be None.

    Where memory is short, it is tried once more when all that torch had kept is given back, and once more when
    ``relief`` has made room and says so by True. ``TooLarge``, with the ways out, if it still does not fit.
    """
    done = if_it_fits(work)
    if done is None:
        done = if_it_fits(work)
    if done is None and relief():
        done = if_it_fits(work)
    if done is None:
        raise TooLarge(
            f"{device} has too little memory for {what}: use a larger device, a smaller profile, or dtype float16"
        )
    return done


def in_parts(
    work: Callable[[Sequence[Item]], Result],
    items: Sequence[Item],
    size: int,
    *,
    owner: object,
    what: str,
    device: torch.device | str,
    relief: Callable[[], bool] = _nothing,
) -> Iterator[Result]:
    """The results of ``work`` on ``items`` in order, ``size`` at once at most, as many as memory is found to hold.

    A part that does not fit is tried again when ``relief`` has made room, else in halves; for the same ``owner``, a
    model or pipeline, and ``what``, the name of one item, later calls begin with what fitted. ``TooLarge`` if not even
    one item fits.
    """
    fits, start = _FITS.setdefault(owner, {}), 0
    while start < len(items):
        part = items[start : start + fitting(owner, what, size)]
        if len(part) == 1:
            done = attempt(partial(work, part), f"one {what}", device, relief)
        else:
            done = if_it_fits(partial(work, part))
        if done is not None:
            start += len(part)
            yield done
        elif not relief():
            fits[what] = len(part) // 2
