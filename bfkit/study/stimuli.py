"""Pictures for a study, drawn here: prompts that nothing was learnt from, each under the paper's three conditions."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import polars as pl
from diffusers import DiffusionPipeline
from tqdm.auto import tqdm

from bfkit import paper
from bfkit.dataset.curves import dense_curves
from bfkit.dataset.shards import deciding
from bfkit.dataset.table import split_by_prompt
from bfkit.files import write_file
from bfkit.predictor.advisor import StepAdvisor
from bfkit.predictor.rules import at_steps, steps_by_uniform
from bfkit.profiles import Profile
from bfkit.sampling.album import Wanted, file_name, fill
from bfkit.sampling.generate import drawn

from .design import OURS, REFERENCE, UNIFORM
from .pictures import FIELDS

TABLE = "pictures.csv"
Plans = Mapping[str, Mapping[str, int]]  # condition to prompt to steps


def held_out_plans(
    table: pl.DataFrame, advisor: StepAdvisor, count: int, seed: int = 0, telling: bool = False
) -> dict[str, dict[str, int]]:
    """The steps of ``count`` held-out prompts of a score table under OURS, UNIFORM and REFERENCE.

    UNIFORM spends what OURS spends over all held-out prompts. The prompts are drawn at random, or with ``telling``
    those whose measured D-SIM of this seed differs most between OURS' and UNIFORM's steps, the most first (of all
    seeds' mean where the seed was not measured): if anything is to be seen it is there, and what people answer about
    them says nothing of other prompts. ValueError for more prompts than there are.
    """
    held_out = split_by_prompt(table)[1]
    drawn_ones = held_out.filter(pl.col("seed") == seed)
    texts, measured = dense_curves(drawn_ones if len(drawn_ones) else held_out)
    if count > len(texts):
        raise ValueError(f"{count} prompts asked for, {len(texts)} are held out: ask for fewer, or measure more")
    ours = advisor.steps(texts)["steps"].to_numpy().astype(int)
    even = steps_by_uniform(measured, float(ours.mean()))
    apart = np.abs(at_steps(measured["d_sim"], ours) - at_steps(measured["d_sim"], even))
    order = np.argsort(-apart, kind="stable") if telling else np.random.default_rng(seed).permutation(len(texts))
    steps = {OURS: ours, UNIFORM: even, REFERENCE: np.full(len(texts), paper.REFERENCE_STEPS)}
    return {name: {texts[row]: int(own[row]) for row in order[:count]} for name, own in steps.items()}


def draw_stimuli(pipe: DiffusionPipeline, profile: Profile, plans: Plans, out: Path, seed: int = 0) -> pl.DataFrame:
    """Draw what is not in the folder yet, and write ``pictures.csv``, which ``bfkit study build`` reads.

    Rows of ``pictures.FIELDS``, images as paths. An interrupted run is resumed picture by picture. ValueError for a
    folder that holds other pictures under these names, or pictures of no numbers; those that are whole are written.
    """
    models = deciding(profile)
    numbers = {prompt: number for number, prompt in enumerate(plans[REFERENCE])}
    album = {
        (condition, prompt): Wanted(
            out / file_name(numbers[prompt], prompt, seed, steps), prompt, seed, steps, models
        )
        for condition, own in plans.items()
        for prompt, steps in own.items()
    }  # fmt: skip
    missing = [one for one in dict.fromkeys(album.values()) if not one.is_there()]
    prompts, steps, seeds = ([getattr(one, name) for one in missing] for name in ("prompt", "steps", "seed"))
    pictures = fill(missing, drawn(pipe, profile, prompts, steps, seeds))
    bar = tqdm(pictures, "study", len(missing), unit="picture", mininterval=1.0, disable=not missing)
    if broken := [one for one, written in bar if not written]:
        raise ValueError(
            f"{len(broken)} pictures have values that are no numbers, drawn in float32 too ({broken[0].path.name} is "
            "one): see to the model or its dtype; all others are written"
        )
    rows = [(one.prompt, one.seed, condition, one.steps, one.path.name) for (condition, _), one in album.items()]
    table = pl.DataFrame(rows, schema=list(FIELDS), orient="row")
    write_file(out / TABLE, table.write_csv().encode())
    return table.with_columns(image=pl.lit(f"{out}/") + pl.col("image"))
