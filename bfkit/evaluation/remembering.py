"""What a memory of measured prompts is worth: on prompts that come again, on other wordings of them, on new ones."""

from collections.abc import Mapping

import numpy as np
import polars as pl

from bfkit.dataset.curves import dense_curves
from bfkit.dataset.table import complete_prompts
from bfkit.predictor.advisor import StepAdvisor
from bfkit.predictor.rules import at_mean_cost, at_steps, loss
from bfkit.stats import interval, mean

AGAIN, NEW = "come again", "are new"


def cases(scores: pl.DataFrame, seed: int = 0) -> dict[str, tuple[pl.DataFrame, pl.DataFrame]]:
    """What is remembered and what is asked, by case, out of one score table that the advisor has not learnt from.

    Prompts that come again are remembered by the first half of their seeds and judged by the others, which are other
    pictures; new ones are one half of the prompts, with the other half remembered. Raises ValueError for fewer than two
    seeds or four prompts.
    """
    whole = complete_prompts(scores)
    seeds, prompts = (whole[name].unique().sort() for name in ("seed", "prompt_id"))
    if len(seeds) < 2 or len(prompts) < 4:
        raise ValueError(
            f"{len(prompts)} prompts with {len(seeds)} seeds are too few: to remember some and judge by others takes "
            "four and two"
        )
    early = pl.col("seed").is_in(seeds.head(len(seeds) // 2).implode())
    known = prompts.sample(len(prompts) // 2, seed=seed)
    half = pl.col("prompt_id").is_in(known.implode())
    return {AGAIN: (whole.filter(early), whole.filter(~early)), NEW: (whole.filter(half), whole.filter(~half))}


def gains(
    advisor: StepAdvisor, asked: Mapping[str, tuple[pl.DataFrame, pl.DataFrame]], mean_steps: float
) -> pl.DataFrame:
    """With and without a memory: rows of ``case, prompts, quantity, without, with_, gain, low, high``.

    ``asked`` names pairs of score tables, what is remembered and what is asked (``cases``, and other wordings). The
    quantities are the mean absolute error of the curves, and the loss that the price leaves at ``mean_steps`` of the
    prompts asked. ``gain`` is the share that memory takes away, with its interval over prompts.
    """
    rows = []
    for case, (remembered, judged) in asked.items():
        texts, measured = dense_curves(judged)
        lost, found = loss(measured), {}
        for name, one in (("without", advisor), ("with", advisor.remember(remembered))):
            curves = one.dense(texts)
            errors = [np.abs(curves[metric] - measured[metric]).mean(axis=1) for metric in measured]
            found["curves' error", name] = np.mean(errors, axis=0)
            found["loss left", name] = at_steps(lost, at_mean_cost("price", curves, mean_steps))
        for quantity in ("curves' error", "loss left"):
            without, having = found[quantity, "without"], found[quantity, "with"]
            gain, low, high = interval(lambda a, b: 1 - mean(a) / mean(b), having, without)
            rows.append({"case": case, "prompts": len(texts), "quantity": quantity, "without": without.mean(),
                         "with_": having.mean(), "gain": gain, "low": low, "high": high})  # fmt: skip
    return pl.DataFrame(rows)


def memory_title(found: pl.DataFrame) -> str:
    """The finding of ``gains``, in a line: what a memory surely does to the loss of known and of new prompts."""
    said = []
    for case in (AGAIN, NEW):
        row = found.row(by_predicate=(pl.col("case") == case) & (pl.col("quantity") == "loss left"), named=True)
        if row["low"] > 0:
            said.append(f"takes away {row['gain']:.0%} of the loss where prompts {case}")
        elif row["high"] < 0:
            said.append(f"adds {-row['gain']:.0%} to the loss where prompts {case}")
        else:
            said.append(f"does nothing sure where prompts {case}")
    if all("nothing" in one for one in said):
        return f"A memory does nothing sure, neither where prompts {AGAIN} nor where they {NEW}"
    return f"A memory {said[0]}, and {said[1]}"


def memory_finding(found: pl.DataFrame) -> str:
    """One sentence on ``gains``."""
    left = found.filter(quantity="loss left")
    said = [f"{row['gain']:+.0%} ({row['low']:+.0%} to {row['high']:+.0%}) where prompts {row['case']}"
            for row in left.iter_rows(named=True)]  # fmt: skip
    return f"A memory of measured prompts takes away, of the loss left, {', '.join(said)}"
