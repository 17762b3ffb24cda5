"""What the lessons give to tasks of a value, made small, and so that each misconception answers something else."""

from collections.abc import Callable
from functools import cache

import numpy as np
import polars as pl
import torch

from bfkit import select_dissimilar
from bfkit.course.lessons._bundled import held_out_curves
from bfkit.mini import world
from bfkit.predictor.choice import Choice


@cache
def shuffled() -> tuple:
    rng = np.random.default_rng(1)
    rows = torch.as_tensor(rng.normal(size=(400, 5)))
    return rows, select_dissimilar(rows), np.random.default_rng(0).permutation(400)


def fooled() -> tuple:
    torch.manual_seed(0)
    ladder = world.draw(world.sample_scenes(2, seed=5))
    ladder[0] = torch.arange(64) % 2  # stripes, finer than noise and straight
    return torch.rand(ladder[-1:].shape), ladder


def timings() -> tuple:
    rows = [(name, side, factor * side) for side in (64, 128, 256) for name, factor in (("l_snr", 0.1), ("d_sim", 0.5))]
    rows += [("i_clip", 64, 300.0), ("i_clip", 128, 310.0), ("i_clip", 256, 400.0)]
    return (pl.DataFrame(rows, schema=("metric", "side", "milliseconds"), orient="row"),)


def errors() -> tuple:
    rows = [
        ("l_snr", 0.1, 0.3, 0.4, 0.9),  # BiLSTM low, high; mean curve low, high: surely better
        ("d_sim", 0.2, 0.5, 0.4, 0.9),  # better by the points only
        ("i_clip", 0.5, 0.6, 0.1, 0.2),  # surely worse
    ]
    nearest = {"l_snr": (0.2, 0.5), "d_sim": (0.6, 0.9), "i_clip": (0.7, 0.9)}
    found = []
    for metric, *ends in rows:
        for model, (low, high) in zip(("BiLSTM", "nearest prompt", "mean curve"),
                                      (ends[:2], nearest[metric], ends[2:]), strict=True):  # fmt: skip
            found.append({"metric": metric, "model": model, "error": (low + high) / 2, "low": low, "high": high})
    return (pl.DataFrame(found),)


def relative() -> tuple:
    rows = [("l_snr", 0.1, 0.05, 0.2), ("d_sim", -0.1, -0.2, -0.05), ("i_clip", 0.1, -0.1, 0.2)]
    return (pl.DataFrame(rows, schema=("metric", "mean", "low", "high"), orient="row"),)


def rules() -> tuple:
    rows = [
        {
            "budget": budget,
            "curves": curves,
            "rule": rule,
            "metric": metric,
            "saved": saved * worth,
            "loss": 0.5 / budget,
        }
        for budget in (6, 12)
        for curves, worth in (("predicted", 1), ("measured", 3))
        for rule, saved in (("price", 0.02), ("threshold", 0.01))
        for metric in ("d_sim", "all")
    ]
    return pl.DataFrame(rows), (12, 6)


def plateaus() -> tuple:
    columns = ("prompt", "l_snr", "d_sim", "i_clip", "steps")
    return (pl.DataFrame([("a wall", 3, 2, 9, 9), ("a crowd", 21, 5, 7, 21)], schema=columns, orient="row"),)


def reliabilities() -> tuple:
    plateau = pl.DataFrame({"metric": ["d_sim", "all"], "reliability": [0.4, 0.5]})
    return plateau, pl.DataFrame({"seed": [0, 1, 2, 3, 0, 1]})


def gains() -> tuple:
    names = ("OURS", "UNIFORM", "DDIM", "DPM-Solver++", "UniPC", "REFERENCE")
    plain = [(0.1, -0.1, 0.3), (0, 0, 0), (-0.2, -0.3, -0.1), (0.3, 0.2, 0.4), (-0.1, -0.2, 0.1), (0.5, 0.4, 0.6)]
    own = [(0.2, 0.1, 0.3), *plain[1:3], (0.1, -0.1, 0.2), *plain[4:]]
    rows = [
        (name, metric, *ends)
        for metric, told in (("d_sim", own), ("d_sim_plain", plain))
        for name, ends in zip(names, told, strict=True)
    ]
    return (pl.DataFrame(rows, schema=("system", "metric", "gain", "low", "high"), orient="row"),)


def inception_scores() -> tuple:
    columns = ("system", "score", "low", "high", "difference", "difference_low", "difference_high")
    rows = [
        ("OURS", 5.2, 4.5, 5.9, 0.2, 0.1, 0.3),
        ("UNIFORM", 4.8, 4.1, 5.5, -0.2, -0.3, -0.1),
        ("DDIM", 3.9, 3.2, 4.6, -1.1, -2.3, 0.1),
        ("REFERENCE", 5.0, 4.3, 5.7, 0.0, 0.0, 0.0),
    ]
    return (pl.DataFrame(rows, schema=columns, orient="row"),)


def people() -> tuple:
    shares = {"similar": [0.4, 0.5, 0.6, 0.7, 0.9], "reference": [0.2, 0.3, 0.4, 0.6, 0.1]}
    rows = [(protocol, share) for protocol, own in shares.items() for share in own]
    return (pl.DataFrame(rows, schema=("protocol", "share"), orient="row"),)


def tiny_families() -> tuple:
    columns = ("prompt", "l_snr", "d_sim", "i_clip", "steps")
    rows = [("sd2, tiny", 3, 9, 2, 9), ("sd3, tiny", 17, 5, 17, 17), ("pixart, tiny", 17, 17, 9, 17)]
    rows.append(("kandinsky, tiny", 17, 17, 17, 17))
    return pl.DataFrame(rows, schema=columns, orient="row"), (1, 2, 3, 5, 9, 17)


CAPTIONS = ["a wall", "a blue heart", "a red heart", "a red heart", "a red heart"]
GIVEN: dict[str, Callable[[], tuple]] = {
    "prompts.shuffled": shuffled,
    "prompts.share": lambda: ([30, 90, 150, 220, 290], [0.55, 0.65, 0.75, 0.85, 0.95], np.zeros((300, 4))),
    "metrics.fooled": fooled,
    "metrics.seen": lambda: (CAPTIONS, [1, 4, 9, 33, 129]),
    "metrics.time": timings,
    "plateau.unturned": lambda: ({"i_clip": unturned_curves()},),
    "plateau.decides": lambda: ({"measured": Choice().table(*held_out_curves())},),
    "efficiency.excess": lambda: ({"OURS": np.array([3, 9, 17, 40])},),
    "efficiency.surely": relative,
    "rules.near": lambda: (pl.DataFrame({"condition": ["OURS", "UNIFORM"], "under": [0.3, 0.5], "over": [0.45, 0.2]}),),
    "rules.saved": rules,
    "predictor.share": lambda: ({"inputs": 5, "lstm": 1200, "mlp": 300},),
    "predictor.surely": errors,
    "tour.decides": plateaus,
    "tour.saved": plateaus,
    "generation.evaluations": lambda: (),
    "scores.seeds": reliabilities,
    "systems.surely": gains,
    "quality.differ": inception_scores,
    "study.people": people,
    "gallery.dearer": lambda: (np.array([9, 65, 70, 129, 30, 20, 65]),),
    "numbers.luck": lambda: (),
    "numbers.shared": lambda: (),
    "beyond.least": lambda: (),
    "families.flat": tiny_families,
    "families.hours": lambda: (pl.DataFrame({"profile": ["sd2", "sdxl"], "operations": [1e6, 7e6]}),),
}


def unturned_curves() -> np.ndarray:
    """I-CLIP's curves: some that nothing stands out of, one that stands out at the last step, one in the middle."""
    flat_end = np.minimum(np.linspace(0.2, 1.8, 129), 1.0)
    rising = np.linspace(0.2, 1.0, 129)
    bump = 0.5 + 0.4 * np.exp(-(((np.arange(129) - 40) / 10) ** 2))
    return np.stack([flat_end, rising, np.full(129, 0.5), bump, bump, bump, bump])
