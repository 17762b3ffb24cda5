"""What is off about an answer, in words that do not give the right one away."""

from typing import Any

import numpy as np


def what_is_off(got: Any, want: Any, tolerance: float, where: str = "") -> str:
    """What is off about ``got``, and where, or "" if it is ``want``: a set of names, a number, an array of numbers.

    >>> what_is_off(6, 5, 0), what_is_off([0.1, 0.3], [0.1, 0.2], 1e-6), what_is_off(["a"], {"a", "b"}, 0)
    ('off by one, too large', '1 of 2 values are off, the first at index 1: too large', 'something is missing')
    """
    if got is None:
        return f"it is None: is there a return?{where}"
    said = _names_off(got, want) if isinstance(want, set) else _numbers_off(got, _array(want), tolerance)
    return said and said + where


def _array(value: Any) -> np.ndarray:
    return np.asarray(value.detach().cpu() if hasattr(value, "detach") else value)


def _names_off(got: Any, want: set) -> str:
    if not isinstance(got, (str, list, tuple, set)):
        return f"a list of names is wanted, this is of type {type(got).__name__}"
    names = {got} if isinstance(got, str) else set(got)
    return "something is missing" if want - names else "something is in it that is not right" if names - want else ""


def _numbers_off(got: Any, want: np.ndarray, tolerance: float) -> str:
    try:
        values = _array(got)
    except (TypeError, ValueError):  # rows of different lengths, say
        values = np.asarray(None)
    if values.dtype.kind not in "biuf":
        return f"numbers are wanted, this is of type {type(got).__name__}"
    if values.shape != want.shape:
        if values.ndim == want.ndim == 1:
            return f"it has too {'many' if len(values) > len(want) else 'few'} entries"
        return f"wrong shape: it is {values.shape}, wanted is {want.shape or 'one number'}"
    if not np.isfinite(values).all():
        return "it holds a value that is no number (NaN), or infinite"
    wrong = np.argwhere(~np.isclose(values, want, rtol=tolerance, atol=tolerance)).tolist()
    if not wrong:
        return ""
    first = tuple(wrong[0])
    off = _number_off(float(values[first]), float(want[first]), want.dtype.kind in "iu")
    place = f"{len(wrong)} of {values.size} values are off, the first at index {', '.join(map(str, first))}: "
    return place + off if first else off


def _number_off(got: float, want: float, whole: bool) -> str:
    if not whole and want and np.isclose(got, 100 * want, rtol=0.05):
        return "a share is wanted, not a percentage"
    off = "off by one, " if whole and abs(got - want) == 1 else ""
    return off + ("too large" if got > want else "too small")
