"""How good it is: retrieval, monotonicity of the metrics, prediction error with intervals (Section 4.1, Table 1)."""

import statistics
import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import polars as pl
import torch

from . import paper, predictor, stats
from .clip import Clip
from .cost import synchronize
from .metrics import METRICS, Judges, l_snr
from .plateau import plateau_step
from .profiles import PredictorSettings
from .scores import dense_curves, mean_curves


def retrieval(pictures: torch.Tensor, texts: torch.Tensor, among: int = 32) -> float:
    """Share of pictures whose own text is the most similar among ``among``: rows (N, D) of both, normalised, in order.

    The rows are taken ``among`` at a time; a last block that is smaller is left out. ValueError if there is no block.
    """
    if len(pictures) < among:
        raise ValueError(f"{len(pictures)} pictures are fewer than {among}: give more, or choose among fewer")
    own = torch.arange(among, device=pictures.device)
    starts = range(0, len(pictures) - among + 1, among)
    right = [(pictures[s : s + among] @ texts[s : s + among].T).argmax(dim=1) == own for s in starts]
    return torch.cat(right).float().mean().item()


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


def prediction_errors(
    predictors: predictor.Predictors, clip: Clip, training: pl.DataFrame, held_out: pl.DataFrame
) -> pl.DataFrame:
    """Mean absolute error on held-out prompts of the predictor and of what it has to beat, with 95% intervals.

    Two score tables in, rows of ``metric, model, error, low, high, paper`` out; the paper's value stands at BiLSTM.
    """
    train_texts, train = dense_curves(training)
    texts, measured = dense_curves(held_out)
    train_rows, rows = clip.embed_texts(train_texts).cpu(), clip.embed_texts(texts).cpu()
    models = {
        "BiLSTM": predictors(rows),
        "nearest prompt": predictor.nearest_curve(train_rows, train, rows),
        "mean curve": predictor.mean_curve(train, len(texts)),
    }
    found = []
    for model, curves in models.items():
        for name, errors in predictor.absolute_error(curves, measured).items():
            mean, low, high = stats.interval(stats.mean, errors)
            published = paper.TABLE_1["OURS"][name] if model == "BiLSTM" else None
            found.append({"metric": name, "model": model, "error": mean, "low": low, "high": high, "paper": published})
    return pl.DataFrame(found, schema_overrides={"paper": pl.Float64})


def verdict(errors: pl.DataFrame) -> str:
    """One sentence on ``prediction_errors``: on which metrics the BiLSTM beats both baselines."""
    best = errors.sort("error").group_by("metric", maintain_order=True).first()
    won = [METRICS[name].label for name in METRICS if best.filter(metric=name)["model"][0] == "BiLSTM"]
    if len(won) == len(METRICS):
        return "The BiLSTM beats both baselines on every metric"
    if not won:
        return "The BiLSTM does not beat the baselines on any metric"
    return f"The BiLSTM beats both baselines on {' and '.join(won)} only"


def plateau_choices(held_out: pl.DataFrame) -> pl.DataFrame:
    """t* of measured curves under each reading of Eq. 7: ``series, center, mean t*, sd t*, rank correlation``.

    The series is every step from 1 on, interpolated, or the step counts that were drawn; the correlation is with the
    default reading, the dense series about its median.
    """
    prompts, sparse, counts = mean_curves(held_out)
    _, dense = dense_curves(held_out)
    found: dict[tuple[str, str], list[int]] = {}
    for series, curves, steps in (("dense", dense, None), ("sparse", sparse, counts)):
        for center in ("median", "mean"):
            found[series, center] = [
                max(
                    plateau_step(curves[name][row], paper.WEIGHTS[name], info.lower_is_better, steps, center)
                    for name, info in METRICS.items()
                )
                for row in range(len(prompts))
            ]
    default = found["dense", "median"]
    return pl.DataFrame(
        [
            {"series": series, "center": center, "mean t*": float(np.mean(t)), "sd t*": float(np.std(t)),
             "rank correlation": stats.spearman(default, t)}
            for (series, center), t in found.items()
        ]
    )  # fmt: skip


def errors_by_step(predictors: predictor.Predictors, clip: Clip, held_out: pl.DataFrame) -> pl.DataFrame:
    """Absolute error at each sampled step count (Figure 12): ``metric, steps, error, spread``, the standard error."""
    texts, measured, steps = mean_curves(held_out)
    predicted = predictors(clip.embed_texts(texts).cpu())
    rows = []
    for name, values in measured.items():
        errors = np.abs(predicted[name][:, np.asarray(steps) - 1] - values)
        spread = errors.std(axis=0, ddof=1) / np.sqrt(len(errors)) if len(errors) > 1 else np.zeros(len(steps))
        rows += zip([name] * len(steps), steps, errors.mean(axis=0), spread, strict=True)
    return pl.DataFrame(rows, schema=("metric", "steps", "error", "spread"), orient="row")


def synthetic_plateaus(
    settings: PredictorSettings, epochs: int = 40, train: int = 400, test: int = 100, seed: int = 0
) -> pl.DataFrame:
    """The predictor on curves with no chance in them: ``true, predicted`` plateau steps of prompts never trained on.

    A prompt is a random direction; its first two coordinates decide how fast and along which power its curve falls.
    """
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(train + test, 32))
    last = settings.grid[-1]
    steps = np.arange(1, last + 1)
    rate, power = np.exp(0.5 * rows[:, :1]), np.exp(0.3 * rows[:, 1:2])
    curves = 0.8 * np.exp(-(((steps - 1) / (0.12 * last) * rate) ** power))
    prompts = torch.as_tensor(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=torch.float32)
    settings = replace(settings, epochs={"d_sim": epochs})
    fitted = predictor.fit(prompts[:train], {"d_sim": curves[:train]}, settings, seed)
    weight = paper.WEIGHTS["d_sim"]
    guessed = fitted(prompts[train:])["d_sim"]
    return pl.DataFrame(
        {
            "true": [plateau_step(curve, weight) for curve in curves[train:]],
            "predicted": [plateau_step(curve, weight) for curve in guessed],
        }
    )


JUDGED = 8  # pictures measured at once when measuring is timed


@torch.inference_mode()
def judging_seconds(judges: Judges, side: int, repeats: int = 3) -> pl.DataFrame:
    """Median milliseconds a picture of each metric on pictures of that side: ``metric, side, milliseconds``."""
    images = torch.rand((JUDGED, 3, side, side), generator=torch.Generator().manual_seed(0)).to(judges.clip.device)
    measures = {
        "l_snr": lambda: l_snr(images, judges.l_snr),
        "d_sim": lambda: judges.embed_layout(images),
        "i_clip": lambda: judges.clip.embed_texts(list(judges.clip.caption(images))),
    }
    rows = []
    for name, measure in measures.items():
        times = []
        for _ in range(repeats + 1):
            synchronize(judges.clip.device)
            began = time.perf_counter()
            measure()
            synchronize(judges.clip.device)
            times.append(1e3 * (time.perf_counter() - began) / JUDGED)
        rows.append({"metric": name, "side": side, "milliseconds": statistics.median(times[1:])})
    return pl.DataFrame(rows)
