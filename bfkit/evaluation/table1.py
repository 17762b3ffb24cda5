"""Table 1: the paper's network beside its ablations and beside what an engineer would try first, all trained alike."""

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
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

from .pieces import Pieces

SIZES = (16, 32, 64, 128, 256, 512)  # hidden features of the LSTM that are tried beside the profile's own
SIZE = re.compile(r"BiLSTM, (\d+) hidden")
ERROR_COLUMNS = ("model", "metric", "prompt_id", "error")
PLAIN = "as the paper words it"
PUBLISHED = {  # the paper's table says "without t-encoding", its text "without text embedding": both are here
    f"BiLSTM, {PLAIN}": "OURS",
    f"BiLSTM w/o step encoding, {PLAIN}": "OURS w/o t-encoding",
    "MLP + Tanh": "MLP + Tanh",
}


def networks(
    profile: Profile,
    table: pl.DataFrame,
    seed: int = 0,
    device: torch.device | str | None = None,
    sizes: Sequence[int] = SIZES,
) -> Pieces:
    """Every network trained on a table's training prompts: ``model, metric, prompt_id, error`` of those held out.

    All with the profile's settings; then two with the paper's own sizes and nothing that it does not name, and the
    first with other ``sizes`` of its LSTM. ``bfkit networks`` makes the shipped file again, in hours: most of them go
    into the paper's sizes.
    """
    training, held_out = split_by_prompt(table)
    clip = load_clip(profile.clip, device)
    texts, curves = dense_curves(training)
    test_texts, measured = dense_curves(held_out)
    rows, test_rows = clip.embed_texts(texts), clip.embed_texts(test_texts)
    ids = held_out["prompt_id"].unique().sort()

    def errors(name: str, predict: Callable[[], dict[str, np.ndarray]]) -> pl.DataFrame:
        frames = [
            pl.DataFrame({"prompt_id": ids, "error": error}).select(model=pl.lit(name), metric=pl.lit(metric),
                                                                    prompt_id="prompt_id", error="error")
            for metric, error in absolute_error(predict(), measured).items()
        ]  # fmt: skip
        return pl.concat(frames)

    def trained(settings: PredictorSettings) -> Callable[[], dict[str, np.ndarray]]:
        return lambda: fit_predictors(rows, curves, settings, seed)(test_rows)

    plain = PredictorSettings(plain=True, grid=tuple(range(1, profile.target_steps + 1)))
    tried = {name: trained(replace(profile.predictor, network=name)) for name in NETWORKS}
    for name in ("BiLSTM", "BiLSTM w/o step encoding"):
        tried[f"{name}, {PLAIN}"] = trained(replace(plain, network=name))
    for hidden in sizes:
        if hidden != profile.predictor.hidden:
            tried[f"BiLSTM, {hidden} hidden"] = trained(replace(profile.predictor, hidden=hidden))
    tried["nearest prompt"] = lambda: nearest_curve(rows, curves, test_rows)
    tried["mean curve"] = lambda: mean_curve(curves, len(test_texts))
    return {name: partial(errors, name, predict) for name, predict in tried.items()}


def read(path: str | Path) -> pl.DataFrame:
    """Errors as ``networks`` makes them, from the file that ``bfkit networks`` wrote."""
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
    gain_high, paper``; ``gain`` is how much lower the BiLSTM's error is on the same prompts. Other sizes of the LSTM
    are left to ``by_size``.
    """
    rows = []
    for metric in paper.METRICS:
        own = errors.filter(~pl.col("model").str.contains(SIZE.pattern), metric=metric)
        ours = own.filter(model="BiLSTM").sort("prompt_id")["error"].to_numpy()
        for model in own["model"].unique(maintain_order=True):
            values = own.filter(model=model).sort("prompt_id")["error"].to_numpy()
            error, low, high = interval(mean, values)
            gain, gain_low, gain_high = interval(mean, np.asarray(values - ours))
            published = paper.TABLE_1[PUBLISHED[model]][metric] if model in PUBLISHED else None
            rows.append((metric, model, error, low, high, gain, gain_low, gain_high, published))
    names = ("metric", "model", "error", "low", "high", "gain", "gain_low", "gain_high", "paper")
    return pl.DataFrame(rows, schema=names, orient="row", schema_overrides={"paper": pl.Float64})


def _relative(errors: pl.DataFrame) -> dict[str, np.ndarray]:
    """Each model's error on each held-out prompt (N,), as a share of the mean curve's mean, over the metrics."""
    base = errors.filter(model="mean curve").group_by("metric").agg(base=pl.col("error").mean())
    share = errors.join(base, on="metric").with_columns(pl.col("error") / pl.col("base"))
    means = share.group_by("model", "prompt_id", maintain_order=True).agg(pl.col("error").mean()).sort("prompt_id")
    return {name: part["error"].to_numpy() for (name,), part in means.group_by("model", maintain_order=True)}


def overall(errors: pl.DataFrame) -> pl.DataFrame:
    """Each model's error as a share of the mean curve's, the mean over the metrics: ``model, error, low, high, gain,
    gain_low, gain_high``; ``gain`` is how much lower the BiLSTM's is on the same prompts.
    """
    found = _relative(errors.filter(~pl.col("model").str.contains(SIZE.pattern)))
    rows = [(name, *interval(mean, own), *interval(mean, own - found["BiLSTM"])) for name, own in found.items()]
    names = ("model", "error", "low", "high", "gain", "gain_low", "gain_high")
    return pl.DataFrame(rows, schema=names, orient="row")


def table1_finding(found: pl.DataFrame) -> str:
    """One sentence on ``overall``: which models the BiLSTM surely beats, which surely beat it, by paired errors."""
    others = found.filter(pl.col("model") != "BiLSTM")
    better, worse = others.filter(pl.col("gain_high") < 0), others.filter(pl.col("gain_low") > 0)
    tied = len(others) - len(better) - len(worse)
    said = [f"surely errs less than {len(worse)} of {len(others)} others"] if len(worse) else []
    said += [f"surely more than {' and '.join(better['model'])}"] if len(better) else []
    said += [f"cannot be told from {'the other ' if said else 'any of the '}{tied}"] if tied else []
    return f"The BiLSTM {' and '.join(said)}"


def by_size(errors: pl.DataFrame, hidden: int) -> pl.DataFrame:
    """How errors change with the LSTM's size, against ``hidden``, that of "BiLSTM": ``hidden, value, low, high``.

    A share of its error, the mean over metrics, on the same prompts; only that row where no other size was measured.
    """
    found = _relative(errors)
    sizes = {int(match[1]): own for name, own in found.items() if (match := SIZE.fullmatch(name))}
    rows = [
        (size, *interval(ratio, own, found["BiLSTM"]))
        for size, own in sorted({**sizes, hidden: found["BiLSTM"]}.items())
    ]
    return pl.DataFrame(rows, schema=("hidden", "value", "low", "high"), orient="row")


def ratio(own: np.ndarray, other: np.ndarray) -> np.ndarray:
    """By how much a mean is above another along the last axis, as a share of it, for ``interval``."""
    return own.mean(axis=-1) / other.mean(axis=-1) - 1
