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


def paper_and_here(settings: PredictorSettings) -> pl.DataFrame:
    """What of the predictor the paper says, and what these settings do: rows of ``what, paper, here``."""
    own = settings
    grid = f"all {len(own.grid)}" if own.grid == tuple(range(1, own.grid[-1] + 1)) else f"the {len(own.grid)} drawn"
    rows = [
        ("steps that the LSTM passes", f"all {paper.TARGET_STEPS}, interpolated", grid),
        ("hidden features", str(paper.LSTM_HIDDEN), str(own.hidden)),
        ("layers of the LSTM", str(paper.LSTM_LAYERS), str(own.layers)),
        (
            "dropout",
            "after the LSTM, no rate named",
            f"{own.dropout:g}" + ("" if own.plain else ", between layers too"),
        ),
        ("output", "a sigmoid", "a sigmoid" if own.plain else "a sigmoid over each step's own range"),
        ("loss", "squared error", "squared error" if own.plain else "squared error as a share of each step's range"),
        ("rate", f"{paper.RATE:g}, constant", f"{own.rate:g}, " + ("constant" if own.plain else "falling to 0")),
        ("epochs, L-SNR and D-SIM", str(paper.EPOCHS["d_sim"]), str(own.epochs["d_sim"])),
        ("epochs, I-CLIP", str(paper.EPOCHS["i_clip"]), str(own.epochs["i_clip"])),
        ("prompt's embedding", "CLIP's", "CLIP's" if own.plain else "CLIP's, as long as a step's"),
        ("predicted curves", "as they come", "nearest that never turn back" if own.monotone else "as they come"),
    ]
    return pl.DataFrame(rows, schema=("what", "paper", "here"), orient="row")


def t_star_agreement(
    predicted: pl.DataFrame, measured: pl.DataFrame, ceilings: pl.DataFrame, draws: int = 4000
) -> pl.DataFrame:
    """Predicted against measured steps of the same prompts: ``metric, correlation, low, high, ceiling``.

    Two of ``Choice.table``'s, row by row, and ``reliability``'s rows of plateaus, whose ``ceiling`` no prediction from
    the prompt can be expected to pass. Pearson's correlation with its interval over prompts; ``all`` is t*.
    """
    rows = []
    for metric in (*METRICS, "all"):
        column = "steps" if metric == "all" else metric
        pair = (frame[column].to_numpy().astype(float) for frame in (predicted, measured))
        ceiling = ceilings.filter(quantity="plateau", metric=metric)["ceiling"].item()
        value, low, high = stats.interval(stats.correlation, *pair, draws=draws)
        rows.append({"metric": metric, "correlation": value, "low": low, "high": high, "ceiling": ceiling})
    return pl.DataFrame(rows)


def agreement_finding(found: pl.DataFrame) -> str:
    """One sentence on ``t_star_agreement``: t* predicted from the words, beside the best that words can do."""
    own = found.filter(metric="all").row(0, named=True)
    verdict = "tells" if own["low"] > 0 else "does not surely tell"
    return (
        f"The predictor {verdict} a prompt's t*: correlation {own['correlation']:.2f} ({own['low']:.2f} to "
        f"{own['high']:.2f}) of at most {own['ceiling']:.2f}"
    )


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
