"""Table 2 out of ``compare``'s rows: quality per cost, quality at equal cost, and the inception score."""

from pathlib import Path

import numpy as np
import polars as pl
import torch

from . import paper
from .compare import SCHEMA, inception_score
from .metrics import METRICS
from .profiles import DATA
from .stats import interval, mean, paired_tests

SYSTEMS = DATA / "systems.parquet"  # the miniature's, shipped


def read(path: Path = SYSTEMS) -> pl.DataFrame:
    """Rows as ``compare`` returns them; FileNotFoundError or ValueError otherwise."""
    if not Path(path).is_file():
        raise FileNotFoundError(f"no comparison at {path}: make one with `bfkit compare --table {path}`")
    frame = pl.read_parquet(path)
    if missing := [name for name in SCHEMA if name not in frame.columns]:
        raise ValueError(f"{path} lacks the columns {', '.join(missing)}: it was not written by `bfkit compare`")
    return frame.select(SCHEMA.names())


def qualities(frame: pl.DataFrame) -> pl.DataFrame:
    """Per system and prompt, the mean over seeds, all three metrics higher-is-better as in Table 2."""
    means = frame.group_by("system", "prompt_id", maintain_order=True).agg(
        pl.col("steps", "tflops", *METRICS, "d_sim_plain", "i_clip_plain").mean()
    )
    turned = [(1 - pl.col(name)).alias(name) for name, info in METRICS.items() if info.lower_is_better]
    return means.with_columns(*turned, (1 - pl.col("d_sim_plain")).alias("d_sim_plain"))


def table2(frame: pl.DataFrame) -> pl.DataFrame:
    """Eq. 8 of every system: mean quality over cost and its standard error over prompts, beside the paper's (in e-2).

    Rows of ``system, steps, tflops``, a metric's ``*_per_tflop`` and ``*_error``, and ``inception`` with its spread.
    The mean of 1/cost rewards spread alone, so that OURS cannot be read against UNIFORM here: see ``against_uniform``.
    """
    rows = []
    for (system,), own in qualities(frame).group_by("system", maintain_order=True):
        row = {"system": system, "steps": own["steps"].mean(), "tflops": own["tflops"].mean()}
        for name in METRICS:
            each = (own[name] / own["tflops"]).to_numpy()
            row |= {f"{name}_per_tflop": each.mean(), f"{name}_error": each.std(ddof=1) / np.sqrt(len(each))}
        logits = torch.tensor(frame.filter(system=system)["logits"].to_list())
        score, spread = inception_score(logits)
        rows.append({**row, "inception": score, "inception_spread": spread})
    return pl.DataFrame(rows)


def against_uniform(frame: pl.DataFrame) -> pl.DataFrame:
    """Every system's quality minus UNIFORM's on the same prompts, with its interval and a paired test.

    ``metric`` is each of the three, with the system's own reference as target, and D-SIM and I-CLIP again with the
    plain pipeline's last picture as target (``*_plain``).
    """
    table = qualities(frame)
    base = table.filter(system="UNIFORM").sort("prompt_id")
    rows = []
    for (system,), own in table.group_by("system", maintain_order=True):
        own = own.sort("prompt_id")
        for name in (*METRICS, "d_sim_plain", "i_clip_plain"):
            difference = (own[name] - base[name]).to_numpy()
            gain, low, high = interval(mean, difference)
            rows.append({"system": system, "metric": name, "gain": gain, "low": low, "high": high,
                         "wilcoxon": paired_tests(difference)[0], "quality": own[name].mean()})  # fmt: skip
    return pl.DataFrame(rows)


def best_at_equal_cost(frame: pl.DataFrame) -> str:
    """One sentence on ``against_uniform``: who comes nearest to the plain pipeline's last picture, for OURS' cost."""
    equal = frame.filter(pl.col("system") != "REFERENCE", metric="d_sim_plain").sort("quality", descending=True)
    best, ours = equal.row(0, named=True), equal.row(by_predicate=pl.col("system") == "OURS", named=True)
    place = equal["system"].to_list().index("OURS") + 1
    said = f"{best['system']} comes nearest to the finished picture at equal cost"
    return said if best["system"] == "OURS" else f"{said}; OURS is number {place} of {len(equal)}, {ours['gain']:+.4f}"


def published() -> pl.DataFrame:
    """The paper's Table 2, in e-2 of its own TFLOPs: not to be read against another model's."""
    return pl.DataFrame([{"system": name, **values} for name, values in paper.TABLE_2.items()])
