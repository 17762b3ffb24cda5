"""How well a metric measures: its spread over pictures, how steadily it moves with the steps, what it costs."""

import statistics
import time
from collections.abc import Sequence

import numpy as np
import polars as pl
import torch

from bfkit import paper, stats
from bfkit.dataset.curves import mean_curves
from bfkit.devices import synchronize
from bfkit.metrics.l_snr import l_snr
from bfkit.metrics.registry import METRICS
from bfkit.metrics.scorer import Scorer
from bfkit.predictor.plateau import last_step


def spread(frame: pl.DataFrame, columns: Sequence[str] = paper.METRICS) -> pl.DataFrame:
    """Mean and middle half over pictures at each step count: ``metric, steps, mean, low, high``."""
    long = frame.unpivot(columns, index="steps", variable_name="metric")
    half = [pl.col("value").quantile(q).alias(name) for q, name in ((0.25, "low"), (0.75, "high"))]
    return long.group_by("metric", "steps").agg(pl.col("value").mean().alias("mean"), *half).sort("metric", "steps")


def monotonicity(frame: pl.DataFrame, columns: Sequence[str] = paper.METRICS) -> pl.DataFrame:
    """How steadily each column moves with the steps: Spearman's rho of its mean curve, and of single prompts' curves.

    ``frame`` has ``prompt, steps`` and the columns. A metric that falls has a rho near -1, one that rises near 1.
    """
    rows = []
    prompts = frame.group_by("prompt", "steps").agg(pl.col(columns).mean())
    mean = prompts.group_by("steps").agg(pl.col(columns).mean()).sort("steps")
    each = prompts.group_by("prompt").agg(
        [pl.corr("steps", column, method="spearman").alias(column) for column in columns]
    )
    for column in columns:
        single = each[column].drop_nans().drop_nulls()
        rows.append({"metric": column, "mean curve": stats.spearman(mean["steps"], mean[column]),
                     "median prompt": single.median(), "prompts": len(single)})  # fmt: skip
    return pl.DataFrame(rows)


def ripening(frame: pl.DataFrame, part: float = 0.9, draws: int = 1000) -> pl.DataFrame:
    """From which step count on ``part`` of the way is done, of each metric's mean curve: ``metric, steps, low, high``.

    ``frame`` is a score table; the way is that from its first step count to its last, the interval is over prompts.
    """
    _, curves, steps = mean_curves(frame)
    count, rng, rows = len(next(iter(curves.values()))), np.random.default_rng(0), []
    shares = np.vstack([np.full(count, 1 / count), rng.multinomial(count, np.full(count, 1 / count), draws) / count])
    for name, values in curves.items():
        means = shares @ values
        left = np.abs(means - means[:, -1:]) > (1 - part) * np.abs(means[:, :1] - means[:, -1:])
        at = np.asarray(steps)[
            last_step(left[:, :-1]) * left[:, :-1].any(axis=1)
        ]  # the count after the last that lacks
        low, high = np.quantile(at[1:], [0.025, 0.975], method="nearest")
        rows.append({"metric": name, "steps": int(at[0]), "low": int(low), "high": int(high)})
    return pl.DataFrame(rows)


def ripening_finding(found: pl.DataFrame, part: str = "Nine tenths") -> str:
    """One sentence on ``ripening``."""
    said = [
        f"{row['steps']} steps on {METRICS[row['metric']].label}"
        + (f" ({row['low']} to {row['high']})" if row["low"] < row["high"] else "")
        for row in found.iter_rows(named=True)
    ]
    return f"{part} of the way are done by {', '.join(said)}"


SCORED = 8  # pictures measured at once when measuring is timed


@torch.inference_mode()
def scoring_seconds(scorer: Scorer, side: int, repeats: int = 3) -> pl.DataFrame:
    """Median milliseconds a picture of each metric on pictures of that side: ``metric, side, milliseconds``."""
    images = torch.rand((SCORED, 3, side, side), generator=torch.Generator().manual_seed(0)).to(scorer.clip.device)
    measures = {
        "l_snr": lambda: l_snr(images, scorer.l_snr),
        "d_sim": lambda: scorer.embed_perceptual(images),
        "i_clip": lambda: scorer.clip.embed_texts(list(scorer.clip.caption(images))),
    }
    rows = []
    for name, measure in measures.items():
        times = []
        for _ in range(repeats + 1):
            synchronize(scorer.clip.device)
            began = time.perf_counter()
            measure()
            synchronize(scorer.clip.device)
            times.append(1e3 * (time.perf_counter() - began) / SCORED)
        rows.append({"metric": name, "side": side, "milliseconds": statistics.median(times[1:])})
    return pl.DataFrame(rows)
