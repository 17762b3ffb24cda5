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

    Two score tables in, rows of ``metric, model, error, low, high, gain, gain_low, gain_high, paper`` out: ``gain`` is
    how much lower the BiLSTM's error is on the same prompts; the paper's value stands at BiLSTM.
    """
    train_texts, train = dense_curves(training)
    texts, measured = dense_curves(held_out)
    train_rows, rows = clip.embed_texts(train_texts), clip.embed_texts(texts)
    models = {
        "BiLSTM": predictors(rows),
        "nearest prompt": nearest_curve(train_rows, train, rows),
        "mean curve": mean_curve(train, len(texts)),
    }
    own, found = absolute_error(models["BiLSTM"], measured), []
    for model, curves in models.items():
        for name, errors in absolute_error(curves, measured).items():
            published = paper.TABLE_1["OURS"][name] if model == "BiLSTM" else None
            values = *stats.interval(stats.mean, errors), *stats.interval(stats.mean, errors - own[name])
            columns = ("error", "low", "high", "gain", "gain_low", "gain_high")
            found.append(
                {"metric": name, "model": model, **dict(zip(columns, values, strict=True)), "paper": published}
            )
    return pl.DataFrame(found, schema_overrides={"paper": pl.Float64})


def prediction_finding(errors: pl.DataFrame) -> str:
    """One sentence on ``prediction_errors``: where the BiLSTM surely beats both baselines, by paired errors."""
    verdicts: dict[str, list[str]] = {}
    for name, info in METRICS.items():
        others = errors.filter(pl.col("metric") == name, pl.col("model") != "BiLSTM")
        lost, tied = others.filter(pl.col("gain_high") < 0), others.filter(pl.col("gain_low") <= 0)
        verdict = "beats both baselines"
        if len(lost):
            verdict = f"loses to the {' and the '.join(lost['model'])}"
        elif len(tied):
            verdict = f"cannot be told from the {' and the '.join(tied['model'])}"
        verdicts.setdefault(verdict, []).append(info.label)
    if len(verdicts) == 1:
        return f"The BiLSTM {next(iter(verdicts))} on every metric"
    return "The BiLSTM " + "; it ".join(f"{verdict} on {' and '.join(on)}" for verdict, on in verdicts.items())


def parameters(predictors: Predictors) -> dict[str, int]:
    """How many numbers one of the networks has learnt, by its parts."""
    network = next(iter(predictors.networks.values())).network
    return {name: sum(p.numel() for p in part.parameters()) for name, part in network.named_children()}


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


def errors_by_step_finding(frame: pl.DataFrame, few: int = 9) -> str:
    """One sentence on ``errors_by_step``: on which metrics the error surely sits below a ``few`` steps, or above.

    Surely: the mean over the counts on one side is further off than two standard errors of either.
    """
    sides: dict[str, list[str]] = {}
    for name, info in METRICS.items():
        own = frame.filter(metric=name)
        early, late = (own.filter(where) for where in (pl.col("steps") < few, pl.col("steps") >= few))
        both = len(early) and len(late)
        apart = early["error"].to_numpy().mean() - late["error"].to_numpy().mean() if both else 0.0
        unsure = 2 * sum(part["spread"].to_numpy().max() for part in (early, late) if len(part))
        side = f"below {few} steps" if apart > unsure else f"at {few} and more" if apart < -unsure else ""
        sides.setdefault(side, []).append(info.label)
    unsaid = sides.pop("", [])
    if not sides:
        return f"Whether the error sits below {few} steps or above cannot be told"
    said = ", ".join(f"{side} on {' and '.join(on)}" for side, on in sides.items())
    return f"The error sits {said}" + (f"; on {' and '.join(unsaid)} no side stands out" if unsaid else "")


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


def synthetic_finding(found: pl.DataFrame, enough: float = 0.7) -> str:
    """One sentence on ``synthetic_plateaus``: whether the network surely finds plateaus where there are any."""
    pair = (found[column].to_numpy().astype(float) for column in ("true", "predicted"))
    rho, low, high = stats.interval(stats.rank_correlation, *pair)
    verdict = "is found" if low > enough else "is surely not well found" if high < enough else "may or may not be found"
    return f"On clean curves the plateau {verdict}: rank correlation {rho:.2f} ({low:.2f} to {high:.2f})"
