"""How good it is: retrieval, monotonicity of the metrics, prediction error with intervals (Section 4.1, Table 1)."""

from dataclasses import replace

import numpy as np
import polars as pl
import torch

from bfkit import paper, stats
from bfkit.dataset.curves import dense_curves, mean_curves
from bfkit.devices import use_device
from bfkit.metrics.registry import METRICS
from bfkit.models.clip import Clip
from bfkit.predictor.model import Predictors, absolute_error, fit_predictors, mean_curve, nearest_curve
from bfkit.predictor.plateau import plateau_step
from bfkit.profiles import PredictorSettings


def prediction_errors(
    predictors: Predictors, clip: Clip, training: pl.DataFrame, held_out: pl.DataFrame
) -> pl.DataFrame:
    """Mean absolute error on held-out prompts of the predictor and of what it has to beat, with 95% intervals.

    Two score tables in, rows of ``metric, model, error, low, high, paper`` out; the paper's value stands at BiLSTM.
    """
    train_texts, train = dense_curves(training)
    texts, measured = dense_curves(held_out)
    train_rows, rows = clip.embed_texts(train_texts), clip.embed_texts(texts)
    models = {
        "BiLSTM": predictors(rows),
        "nearest prompt": nearest_curve(train_rows, train, rows),
        "mean curve": mean_curve(train, len(texts)),
    }
    found = []
    for model, curves in models.items():
        for name, errors in absolute_error(curves, measured).items():
            mean, low, high = stats.interval(stats.mean, errors)
            published = paper.TABLE_1["OURS"][name] if model == "BiLSTM" else None
            found.append({"metric": name, "model": model, "error": mean, "low": low, "high": high, "paper": published})
    return pl.DataFrame(found, schema_overrides={"paper": pl.Float64})


def prediction_finding(errors: pl.DataFrame) -> str:
    """One sentence on ``prediction_errors``: on which metrics the BiLSTM beats both baselines."""
    best = errors.sort("error").group_by("metric", maintain_order=True).first()
    won = [METRICS[name].label for name in METRICS if best.filter(metric=name)["model"][0] == "BiLSTM"]
    if len(won) == len(METRICS):
        return "The BiLSTM beats both baselines on every metric"
    if not won:
        return "The BiLSTM does not beat the baselines on any metric"
    return f"The BiLSTM beats both baselines on {' and '.join(won)} only"


def errors_by_step(predictors: Predictors, clip: Clip, held_out: pl.DataFrame) -> pl.DataFrame:
    """Absolute error at each sampled step count (Figure 12): ``metric, steps, error, spread``, the standard error."""
    texts, measured, steps = mean_curves(held_out)
    predicted = predictors(clip.embed_texts(texts))
    rows = []
    for name, values in measured.items():
        errors = np.abs(predicted[name][:, np.asarray(steps) - 1] - values)
        spread = errors.std(axis=0, ddof=1) / np.sqrt(len(errors)) if len(errors) > 1 else np.zeros(len(steps))
        rows += zip([name] * len(steps), steps, errors.mean(axis=0), spread, strict=True)
    return pl.DataFrame(rows, schema=("metric", "steps", "error", "spread"), orient="row")


def synthetic_plateaus(
    settings: PredictorSettings,
    epochs: int = 40,
    train: int = 400,
    test: int = 100,
    seed: int = 0,
    device: torch.device | str | None = None,
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
    prompts = prompts.to(use_device(device))
    settings = replace(settings, epochs={"d_sim": epochs})
    fitted = fit_predictors(prompts[:train], {"d_sim": curves[:train]}, settings, seed)
    weight = paper.WEIGHTS["d_sim"]
    guessed = fitted(prompts[train:])["d_sim"]
    return pl.DataFrame(
        {
            "true": [plateau_step(curve, weight) for curve in curves[train:]],
            "predicted": [plateau_step(curve, weight) for curve in guessed],
        }
    )
