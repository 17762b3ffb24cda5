"""Table 1: the paper's network beside its ablations and beside what an engineer would try first, all trained alike."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import torch

from bfkit import paper
from bfkit.dataset.curves import dense_curves
from bfkit.dataset.table import split_by_prompt
from bfkit.models.clip import load_clip
from bfkit.predictor.model import absolute_error, fit_predictors, mean_curve, nearest_curve
from bfkit.predictor.networks import NETWORKS
from bfkit.profiles import PredictorSettings, Profile
from bfkit.stats import interval, mean

ERROR_COLUMNS = ("model", "metric", "prompt_id", "error")
PLAIN = "as the paper words it"
PUBLISHED = {  # the paper's table says "without t-encoding", its text "without text embedding": both are here
    f"BiLSTM, {PLAIN}": "OURS",
    f"BiLSTM w/o step encoding, {PLAIN}": "OURS w/o t-encoding",
    "MLP + Tanh": "MLP + Tanh",
}


def measure(
    profile: Profile, table: pl.DataFrame, seed: int = 0, device: torch.device | str | None = None
) -> pl.DataFrame:
    """Train every network on a score table's training prompts: rows of ``model, metric, prompt_id, error``, held out.

    All with the profile's settings, and the first two with the paper's own sizes and nothing that it does not name.
    ``bfkit networks`` makes the shipped file again: two hours on two cores, most of them the paper's sizes.
    """
    training, held_out = split_by_prompt(table)
    clip = load_clip(profile.clip, device)
    texts, curves = dense_curves(training)
    test_texts, measured = dense_curves(held_out)
    rows, test_rows = clip.embed_texts(texts), clip.embed_texts(test_texts)
    found = {}
    for name in NETWORKS:
        print(name, flush=True)
        found[name] = fit_predictors(rows, curves, replace(profile.predictor, network=name), seed)(test_rows)
    plain = PredictorSettings(plain=True, grid=tuple(range(1, profile.target_steps + 1)))
    for name in ("BiLSTM", "BiLSTM w/o step encoding"):
        print(f"{name}, {PLAIN}", flush=True)
        found[f"{name}, {PLAIN}"] = fit_predictors(rows, curves, replace(plain, network=name), seed)(test_rows)
    found["nearest prompt"] = nearest_curve(rows, curves, test_rows)
    found["mean curve"] = mean_curve(curves, len(test_texts))
    ids = held_out["prompt_id"].unique().sort()
    frames = [
        pl.DataFrame({"prompt_id": ids, "error": errors}).select(
            pl.lit(name).alias("model"), pl.lit(metric).alias("metric"), "prompt_id", "error"
        )
        for name, predicted in found.items()
        for metric, errors in absolute_error(predicted, measured).items()
    ]
    return pl.concat(frames)


def read(path: str | Path) -> pl.DataFrame:
    """Errors as ``measure`` returns them, from the file that ``bfkit networks`` wrote."""
    if not Path(path).is_file():
        raise FileNotFoundError(f"no errors of networks at {path}: make them with `bfkit networks --out {path}`")
    try:
        return pl.read_csv(path, schema_overrides={"prompt_id": pl.UInt32}).select(ERROR_COLUMNS)
    except pl.exceptions.PolarsError:
        raise ValueError(
            f"{path} holds no errors of networks: `bfkit networks` writes {', '.join(ERROR_COLUMNS)}"
        ) from None


def table1(errors: pl.DataFrame) -> pl.DataFrame:
    """Mean absolute errors with 95% intervals over prompts: ``metric, model, error, low, high, gain, gain_low,
    gain_high, paper``; ``gain`` is how much lower the BiLSTM's error is on the same prompts.
    """
    rows = []
    for metric in paper.METRICS:
        own = errors.filter(metric=metric)
        ours = own.filter(model="BiLSTM").sort("prompt_id")["error"].to_numpy()
        for model in own["model"].unique(maintain_order=True):
            values = own.filter(model=model).sort("prompt_id")["error"].to_numpy()
            error, low, high = interval(mean, values)
            gain, gain_low, gain_high = interval(mean, np.asarray(values - ours))
            published = paper.TABLE_1[PUBLISHED[model]][metric] if model in PUBLISHED else None
            rows.append((metric, model, error, low, high, gain, gain_low, gain_high, published))
    names = ("metric", "model", "error", "low", "high", "gain", "gain_low", "gain_high", "paper")
    return pl.DataFrame(rows, schema=names, orient="row", schema_overrides={"paper": pl.Float64})


def table1_finding(table: pl.DataFrame) -> str:
    """One sentence on ``table1``: which model the data favours, by its errors relative to the mean curve's."""
    base = table.filter(model="mean curve").select("metric", base="error")
    share = table.join(base, on="metric").group_by("model").agg((pl.col("error") / pl.col("base")).mean()).sort("error")
    best, value = share.row(0)
    ours = share.filter(model="BiLSTM")["error"][0]
    if best == "BiLSTM":
        return f"The BiLSTM is the best of {len(share)}: {1 - ours:.0%} less error than the mean curve"
    return f"{best} does best: {1 - value:.0%} less error than the mean curve; the BiLSTM {1 - ours:.0%}"
