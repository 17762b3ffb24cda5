"""Table 2 out of ``compare``'s rows: quality per cost, quality at equal cost, and the inception score."""

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
import polars as pl
import torch

from bfkit import paper
from bfkit.dataset.table import METADATA
from bfkit.metrics.inception import inception_score
from bfkit.metrics.registry import METRICS
from bfkit.stats import interval, mean, paired_tests

from .compare import LATER, SCHEMA


def read(path: str | Path) -> pl.DataFrame:
    """Rows of the systems of Table 2, as ``compare`` returns them; FileNotFoundError or ValueError otherwise."""
    return _read(path).filter(pl.col("share").is_null())


def read_combinations(path: str | Path) -> pl.DataFrame:
    """Rows of the combinations, likewise."""
    return _read(path).filter(pl.col("share").is_not_null())


def absent(path: str | Path) -> dict[str, str]:
    """The systems that a comparison leaves out, and why, as ``bfkit compare`` noted them."""
    noted = pl.read_parquet_metadata(path).get(METADATA)
    return json.loads(noted).get("absent", {}) if noted else {}


def _read(path: str | Path) -> pl.DataFrame:
    if not Path(path).is_file():
        raise FileNotFoundError(f"no comparison at {path}: make one with `bfkit compare --table {path}`")
    try:
        frame = pl.read_parquet(path)
    except pl.exceptions.PolarsError as error:
        raise ValueError(f"{path} cannot be read ({str(error).splitlines()[0]}): make it again") from None
    frame = frame.with_columns(pl.lit(None, SCHEMA[name]).alias(name) for name in LATER if name not in frame.columns)
    if missing := [name for name in SCHEMA if name not in frame.columns]:
        raise ValueError(f"{path} lacks the columns {', '.join(missing)}: it was not written by `bfkit compare`")
    _check(frame, path)
    return frame.select(SCHEMA.names())


def _check(frame: pl.DataFrame, path: str | Path) -> None:
    """Raises ValueError if there is nothing to compare with, other pictures were drawn, or they cost nothing."""
    if missing := sorted({"OURS", "UNIFORM", "REFERENCE"} - set(frame["system"])):
        raise ValueError(f"{path} has no rows of {' and '.join(missing)}: `bfkit compare` makes them")
    pictures = frame.filter(system="UNIFORM").select("prompt_id", "seed").rows()
    for (system, _), own in frame.group_by("system", "share", maintain_order=True):
        if sorted(own.select("prompt_id", "seed").rows()) != sorted(pictures):
            raise ValueError(f"{path} has other prompts or seeds for {system} than for UNIFORM: compare the same ones")
    if (costless := frame.filter(~(pl.col("tflops") > 0))).height:
        raise ValueError(f"{path} has pictures of {costless['system'][0]} that cost nothing: Eq. 8 divides by the cost")


def qualities(frame: pl.DataFrame) -> pl.DataFrame:
    """Per system and prompt, the mean over seeds, all three metrics higher-is-better as in Table 2."""
    means = frame.group_by("system", "prompt_id", maintain_order=True).agg(
        pl.col("steps", "tflops", *METRICS, "d_sim_plain", "i_clip_plain").mean()
    )
    turned = [(1 - pl.col(name)).alias(name) for name, info in METRICS.items() if info.lower_is_better]
    return means.with_columns(*turned, (1 - pl.col("d_sim_plain")).alias("d_sim_plain"))


def table2(frame: pl.DataFrame, absent: Mapping[str, str] = MappingProxyType({})) -> pl.DataFrame:
    """Eq. 8 of every system: mean quality over cost and its standard error over prompts, beside the paper's.

    Rows of ``system, steps, tflops``, a metric's ``*_per_tflop``, its ``_error``, ``*_paper``, and ``inception`` with
    its spread and the paper's. A TFLOP of Stable Diffusion 2 buys less of a picture: the columns differ in scale.
    The mean of 1/cost rewards spread alone, so that OURS cannot be read against UNIFORM here: see ``against_uniform``.
    Systems that are ``absent`` have a row of their own, with nothing in it but the reason, under ``left_out``.
    """
    rows = []
    for (system,), own in qualities(frame).group_by("system", maintain_order=True):
        row = {"system": system, "steps": own["steps"].mean(), "tflops": own["tflops"].mean()}
        for name in METRICS:
            each = (own[name] / own["tflops"]).to_numpy()
            error = each.std(ddof=1) / np.sqrt(len(each)) if len(each) > 1 else None
            published = paper.TABLE_2[system][name] / 100 if system in paper.TABLE_2 else None
            row |= {f"{name}_per_tflop": each.mean(), f"{name}_per_tflop_error": error, f"{name}_paper": published}
        logits = torch.tensor(frame.filter(system=system)["logits"].to_list())
        score, spread = inception_score(logits)
        published = paper.INCEPTION.get(system)
        rows.append({**row, "inception": score, "inception_spread": spread, "inception_paper": published})
    rows += [{"system": name, "left_out": why} for name, why in absent.items()]
    return pl.DataFrame(rows, infer_schema_length=None)


def against_uniform(frame: pl.DataFrame) -> pl.DataFrame:
    """Every system's quality minus UNIFORM's on the same prompts, with its interval and a paired test.

    ``metric`` is each of the three, with the system's own reference as target, and D-SIM and I-CLIP again with the
    plain pipeline's last picture as target (``*_plain``). ``times, times_low, times_high`` is what is left of quality 1
    as a multiple of what UNIFORM leaves; null where UNIFORM leaves nothing.
    """
    table = qualities(frame)
    base = table.filter(system="UNIFORM").sort("prompt_id")
    rows = []
    for (system,), own in table.group_by("system", maintain_order=True):
        own = own.sort("prompt_id")
        for name in (*METRICS, "d_sim_plain", "i_clip_plain"):
            difference = (own[name] - base[name]).to_numpy()
            gain, low, high = interval(mean, difference)
            left, even = (1 - one[name].to_numpy() for one in (own, base))
            times = interval(lambda a, b: mean(a) / mean(b), left, even) if (even > 0).all() else (None, None, None)
            rows.append({"system": system, "metric": name, "gain": gain, "low": low, "high": high,
                         **dict(zip(("times", "times_low", "times_high"), times, strict=True)),
                         "wilcoxon": paired_tests(difference)[0], "quality": own[name].mean()})  # fmt: skip
    return pl.DataFrame(rows, infer_schema_length=None)


def equal_cost_finding(frame: pl.DataFrame) -> str:
    """One sentence on ``against_uniform``: who surely comes nearer to the plain pipeline's last picture."""
    equal = frame.filter(~pl.col("system").is_in(["REFERENCE", "UNIFORM"]), metric="d_sim_plain")
    won = equal.filter(pl.col("low") > 0).sort("gain", descending=True)["system"].to_list()
    lost = equal.filter(pl.col("high") < 0)["system"].to_list()
    ours = "comes nearer too" if "OURS" in won else "stays farther off" if "OURS" in lost else "cannot be told from it"
    best = f", first {won[0]}" if won else ""
    return (
        f"At equal cost {len(won)} of {len(equal)} come nearer to the finished picture than UNIFORM{best}, "
        f"{len(lost)} stay farther off; OURS {ours}"
    )


def combinations(frame: pl.DataFrame) -> pl.DataFrame:
    """Quality against cost of each combination: ``dealt, sampler, share, tflops, quality, low, high, gain, gain_low,
    gain_high, front``.

    ``quality`` is 1 - D-SIM to the plain pipeline's finished picture, its interval over prompts; ``gain`` is OURS'
    above UNIFORM's with the same sampler and share; ``front`` marks those that no other beats at the same cost or less.
    """
    means = frame.group_by("system", "share", "prompt_id", maintain_order=True).agg(
        (1 - pl.col("d_sim_plain")).mean().alias("quality"), pl.col("tflops").mean()
    )
    rows = []
    for (system, share), own in means.group_by("system", "share", maintain_order=True):
        dealt, sampler = system.split(" + ")
        other = means.filter(system=f"UNIFORM + {sampler}", share=share).sort("prompt_id")["quality"]
        values = own.sort("prompt_id")["quality"]
        quality, low, high = interval(mean, values.to_numpy())
        gain, gain_low, gain_high = interval(mean, (values - other).to_numpy())
        rows.append({"dealt": dealt, "sampler": sampler, "share": share, "tflops": own["tflops"].mean(),
                     "quality": quality, "low": low, "high": high,
                     "gain": gain, "gain_low": gain_low, "gain_high": gain_high})  # fmt: skip
    table = pl.DataFrame(rows).sort("tflops", "quality", descending=[False, True])
    return table.with_columns(front=pl.col("quality") > pl.col("quality").cum_max().shift(1).fill_null(-1.0))


def front_finding(frame: pl.DataFrame) -> str:
    """One sentence on ``combinations``: who holds the front, and how often OURS surely beats UNIFORM, or loses."""
    samplers = frame.filter(pl.col("front"))["sampler"].value_counts(sort=True)["sampler"]
    ours = frame.filter(dealt="OURS")
    better = ours.filter(pl.col("gain_low") > 0).height
    worse = ours.filter(pl.col("gain_high") < 0).height
    held = f"By their means {' and '.join(samplers[:2])} hold{'s' * (len(samplers) == 1)} the front"
    return f"{held}; OURS beats UNIFORM in {better} of {len(ours)} pairs and loses in {worse}"
