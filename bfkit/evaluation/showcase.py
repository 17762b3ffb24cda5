"""Which held-out prompts to show so that there is something to see; whoever shows them says how they were chosen."""

import numpy as np

from bfkit.predictor.rules import Curves, at_steps


def most_changed(measured: Curves, few: np.ndarray, many: np.ndarray, count: int) -> list[int]:
    """Rows of the prompts whose pictures come much nearer to their end by D-SIM from few steps (N,) to many (N,).

    The most first, ties in order.
    """
    nearer = at_steps(measured["d_sim"], few) - at_steps(measured["d_sim"], many)
    return np.argsort(-nearer, kind="stable")[:count].tolist()


def across_t_star(measured: Curves, t_star: np.ndarray, count: int) -> list[int]:
    """Rows of ``count`` prompts from the fewest t* to the most: of each equal part, in order of t*, the one whose
    pictures change most from a quarter of t* to t*."""
    order = np.argsort(t_star, kind="stable")
    found = []
    for part in np.array_split(order, min(count, len(order))):
        curves = {name: values[part] for name, values in measured.items()}
        quarter = np.maximum(1, t_star[part] // 4)
        found.append(int(part[most_changed(curves, quarter, t_star[part], 1)[0]]))
    return found


def around(t_star: int, last: int) -> list[int]:
    """Step counts below and above t*, rising, t* among them: a quarter, a half, double, and the last.

    >>> around(16, 129), around(1, 129)
    ([4, 8, 16, 32, 129], [1, 2, 129])
    """
    return sorted({max(1, t_star // 4), max(1, t_star // 2), t_star, min(last, 2 * t_star), last})
