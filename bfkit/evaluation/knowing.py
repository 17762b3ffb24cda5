"""Who knows what, when: the prompt before any noise, the noise before any evaluation, a look, and a second one.

Each is asked for every picture's curve, on prompts that it has not learnt from, and spends the same number of
evaluations by it. The first look is every step count's own first evaluation; a second one, halfway, is one more.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
import polars as pl
import torch
from diffusers import DiffusionPipeline

from bfkit.dataset.curves import interpolate_losses
from bfkit.dataset.table import complete_prompts, read_scores
from bfkit.models.clip import load_clip
from bfkit.models.pipelines import load_pipeline
from bfkit.predictor.picture_curves import METRIC, fit_pictures
from bfkit.predictor.rules import at_mean_cost, at_steps, steps_by_uniform
from bfkit.profiles import Profile
from bfkit.sampling.conditioning import embed
from bfkit.sampling.generate import drawn_in_parts
from bfkit.sampling.looked import looks_on_the_way
from bfkit.stats import interval

PROMPT, NOISE, FIRST, SECOND = "prompt", "noise", "first look", "second look"
COARSE = 3  # steps of a sampling whose second evaluation is halfway
KNOW: Mapping[str, tuple[tuple[str, ...], int]] = MappingProxyType({
    "the prompt": ((PROMPT,), 0),
    "the noise": ((NOISE,), 0),
    "prompt and noise": ((PROMPT, NOISE), 0),
    "prompt and first look": ((PROMPT, FIRST), 0),
    "and a second look": ((PROMPT, FIRST, SECOND), 1),
})  # fmt: skip
HINDSIGHT = "hindsight"
FOLDS = 5
BUDGETS = (9.0, 17.0, 33.0)


def pictures_of(scores: pl.DataFrame) -> pl.DataFrame:
    """The pictures of a score table whose prompts are complete: ``prompt_id, prompt, seed``, in order."""
    return complete_prompts(scores).select("prompt_id", "prompt", "seed").unique().sort("prompt_id", "seed")


def look_at_pictures(
    pipe: DiffusionPipeline, profile: Profile, pictures: pl.DataFrame, batch: int = 64
) -> dict[str, np.ndarray]:
    """The noise and two looks of ``pictures_of``, a row each: (N, D) by name. It takes three evaluations a picture."""
    conditioning = embed(pipe, profile, pictures["prompt"].to_list(), pictures["seed"].to_list())

    def look(part: Sequence[int]) -> list[torch.Tensor]:
        noise, looks = looks_on_the_way(pipe, profile, conditioning.rows(part), COARSE)
        return [noise, *looks[:2]]

    parts = zip(*drawn_in_parts(look, range(len(pictures)), pipe, profile, batch), strict=True)
    return dict(zip((NOISE, FIRST, SECOND), (torch.cat(part).numpy() for part in parts), strict=True))


def who_knows(
    scores: pl.DataFrame, known: Mapping[str, np.ndarray], budgets: Sequence[float], seed: int = 0
) -> pl.DataFrame:
    """What each of ``KNOW`` saves of UNIFORM's mean D-SIM loss at equal evaluations, and what hindsight would.

    ``known`` holds a row (N, D) for each of ``pictures_of``: the prompts' embeddings, the noise, the looks. Pictures'
    curves are predicted by ridge regression from four fifths of the prompts, those of the last fifth are shared out by
    the price, and so on round. Rows of ``budget, knows, told, saved, low, high, dealt, of_the_way``: ``told`` is the
    share of the log loss's variance that was learnt (on prompts left out), ``saved`` has an interval over prompts,
    ``dealt`` is what the same step counts save dealt out at random, without knowing anything, and ``of_the_way`` the
    share of hindsight's saving.
    """
    whole = complete_prompts(scores).sort("prompt_id", "seed", "steps")
    steps, seeds = (whole[name].unique().sort().to_list() for name in ("steps", "seed"))
    values = whole[METRIC].to_numpy().astype(float).reshape(-1, len(steps))
    losses = interpolate_losses(np.maximum(values - values[:, -1:], 0), steps)
    prompts = np.arange(len(losses)) // len(seeds)
    fold = np.random.default_rng(seed).permutation(np.arange(prompts[-1] + 1) % FOLDS)[prompts]
    rows = []
    for knows, (parts, extra) in KNOW.items():
        inputs = np.concatenate([known[part] for part in parts], axis=1)
        curves, told = np.empty_like(losses), []
        for number in range(FOLDS):
            others = pl.Series(np.repeat(fold != number, len(steps)))
            predictor, share = fit_pictures(inputs[fold != number], inputs[fold != number, :0], whole.filter(others))
            curves[fold == number] = predictor(inputs[fold == number], inputs[fold == number, :0])[METRIC]
            told.append(share)
        rows += [
            {"budget": float(budget), "knows": knows, "told": float(np.mean(told)),
             **_saved(losses, curves, budget, extra, fold, len(seeds))}
            for budget in budgets
        ]  # fmt: skip
    rows += [{"budget": float(budget), "knows": HINDSIGHT, "told": 1.0,
              **_saved(losses, losses, budget, 0, fold, len(seeds))} for budget in budgets]  # fmt: skip
    found = pl.DataFrame(rows)
    best = found.filter(knows=HINDSIGHT).select("budget", best="saved")
    return found.join(best, on="budget").with_columns(of_the_way=pl.col("saved") / pl.col("best")).drop("best")


def _saved(
    losses: np.ndarray, curves: np.ndarray, budget: float, extra: int, fold: np.ndarray, seeds: int
) -> dict[str, float]:
    """What steps by these curves save of UNIFORM's loss; each fold spends the budget for itself."""
    own, even, dealt = (np.empty(len(losses)) for _ in range(3))
    for number in range(FOLDS):
        rows = fold == number
        chosen = at_mean_cost("price", {METRIC: curves[rows]}, budget - extra)
        uniform = steps_by_uniform({METRIC: curves[rows]}, budget)
        own[rows], even[rows] = at_steps(losses[rows], chosen), at_steps(losses[rows], uniform)
        dealt[rows] = losses[rows][:, chosen - 1].mean(axis=1)  # the mean over all ways to deal them out
    means = (values.reshape(-1, seeds).mean(axis=1) for values in (own, even))
    saved, low, high = interval(lambda a, b: 1 - a.mean(axis=-1) / b.mean(axis=-1), *means)
    return {"saved": saved, "low": low, "high": high, "dealt": 1 - dealt.mean() / even.mean()}


def measure(
    profile: Profile, device: torch.device | str | None = None, budgets: Sequence[float] = BUDGETS
) -> pl.DataFrame:
    """``who_knows`` of a profile's own score table, whose pictures are looked at again: three evaluations each."""
    scores = read_scores(profile.scores)
    pictures = pictures_of(scores)
    known = look_at_pictures(load_pipeline(profile, device), profile, pictures)
    texts = pictures["prompt"].unique(maintain_order=True).to_list()
    rows = load_clip(profile.clip, device).embed_texts(texts).cpu().numpy()
    return who_knows(scores, {**known, PROMPT: rows.repeat(len(pictures) // len(texts), axis=0)}, budgets)


def knowing_title(found: pl.DataFrame, budget: float) -> str:
    """The finding of ``who_knows`` at one budget, in a line: which moment saves the most, and what words save."""
    own = found.filter(budget=budget).filter(pl.col("knows").is_in(list(KNOW))).sort("saved", descending=True)
    words, sure = own.row(by_predicate=pl.col("knows") == "the prompt", named=True), own.filter(pl.col("low") > 0)
    if not len(sure):
        return f"At {budget:g} evaluations nothing that can be known surely saves anything"
    first = sure.row(0, named=True)
    if first["knows"] == "the prompt":
        return f"At {budget:g} evaluations nothing surely saves more than the words, {words['saved']:.0%}"
    alone = f"words alone {words['saved']:.0%}" if words["low"] > 0 else "words alone nothing sure"
    surely = "" if first["low"] > words["high"] else "; that it is more may be luck"
    return (
        f"At {budget:g} evaluations {first['knows'].removeprefix('and ')} saves {first['saved']:.0%}, {alone}{surely}"
    )


def knowing_finding(found: pl.DataFrame, budget: float) -> str:
    """One sentence on ``who_knows`` at one budget."""
    at = {row["knows"]: row for row in found.filter(budget=budget).iter_rows(named=True)}
    said = ", ".join(
        f"{name} {at[name]['saved']:.0%} ({at[name]['low']:.0%} to {at[name]['high']:.0%})" for name in KNOW
    )
    return (
        f"Of UNIFORM's loss at {budget:g} evaluations, {said} can be saved; in hindsight {at[HINDSIGHT]['saved']:.0%}"
    )
