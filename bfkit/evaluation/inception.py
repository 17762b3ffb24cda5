"""Inception scores of the systems of Table 2 (Section 4.3), with intervals over prompts."""

from collections.abc import Sequence

import numpy as np
import polars as pl
import scipy.special
import scipy.stats
import torch

from bfkit import paper
from bfkit.metrics.inception import inception_score


def scores(frame: pl.DataFrame, other: str = "REFERENCE", level: float = 0.95) -> pl.DataFrame:
    """Each system's inception score over all its pictures, and how it differs from ``other``'s on the same prompts.

    ``frame`` has ``table2.read``'s rows. Rows of ``system, score, low, high, difference, difference_low,
    difference_high, parts, spread, paper``. Intervals are the jackknife's, prompts left out one by one: a bootstrap
    draws some prompts twice, and a set with repeats looks poorer than it is. ``parts`` and ``spread`` are the mean and
    the standard deviation over ten parts of the pictures, as the literature quotes them; a part is too small to show
    all kinds, which makes that mean lower. Raises ValueError for fewer than two prompts.
    """
    names = frame["system"].unique(maintain_order=True).to_list()
    left_out = {name: _leaving_out(frame.filter(system=name).sort("prompt_id", "seed")) for name in names}
    rows = []
    for name in names:
        score, low, high = _jackknife(left_out[name], level)
        difference = _jackknife(left_out[name] - left_out[other], level)
        parts, spread = inception_score(torch.tensor(frame.filter(system=name)["logits"].to_list()))
        rows.append({"system": name, "score": score, "low": low, "high": high,
                     **dict(zip(("difference", "difference_low", "difference_high"), difference, strict=True)),
                     "parts": parts, "spread": spread, "paper": paper.INCEPTION.get(name)})  # fmt: skip
    return pl.DataFrame(rows, schema_overrides={"paper": pl.Float64})


def _leaving_out(own: pl.DataFrame) -> np.ndarray:
    """The score of all prompts, and with each of them left out: (1 + prompts,)."""
    said = scipy.special.log_softmax(np.array(own["logits"].to_list(), float), axis=1)
    prompts = own["prompt_id"].rank("dense").to_numpy() - 1
    count = int(prompts.max()) + 1
    if count < 2:
        raise ValueError(f"{count} prompt has no spread over prompts: compare two or more")
    kinds, sure, pictures = np.zeros((count, said.shape[1])), np.zeros(count), np.bincount(prompts)
    np.add.at(kinds, prompts, np.exp(said))
    np.add.at(sure, prompts, (np.exp(said) * said).sum(axis=1))
    without = 1 - np.eye(count)
    keep = (
        np.concatenate([np.ones((1, count)), without]) / np.concatenate([[pictures.sum()], without @ pictures])[:, None]
    )
    return np.exp(keep @ sure + scipy.special.entr(keep @ kinds).sum(axis=1))


def _jackknife(values: np.ndarray, level: float) -> tuple[float, float, float]:
    """A value and the ends of its interval, from that of all prompts and those with each left out."""
    whole, others = values[0], values[1:]
    error = np.sqrt((len(others) - 1) * others.var())
    reach = scipy.stats.t.ppf((1 + level) / 2, len(others) - 1) * error
    return float(whole), float(whole - reach), float(whole + reach)


def scores_finding(found: pl.DataFrame, names: Sequence[str] = ("OURS", "UNIFORM")) -> str:
    """One sentence on ``scores``: which of the named systems surely scores otherwise than REFERENCE."""
    said = []
    for row in found.filter(pl.col("system").is_in(list(names))).iter_rows(named=True):
        low, high = row["difference_low"], row["difference_high"]
        told = "is above" if low > 0 else "is below" if high < 0 else "cannot be told from"
        said.append(f"{row['system']} {told} it ({row['difference']:+.2f}, {low:+.2f} to {high:+.2f})")
    reference = found.filter(system="REFERENCE")["score"].item()
    return f"REFERENCE's inception score is {reference:.2f}; {', '.join(said)}"
