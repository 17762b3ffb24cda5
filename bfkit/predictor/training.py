"""Score table to advisor: the curve predictor of the prompts, and that of the pictures where looks were kept."""

from pathlib import Path

import polars as pl
import torch

from bfkit.dataset.curves import dense_curves
from bfkit.dataset.looks import PICTURE, read_looks
from bfkit.dataset.table import read_scores, split_by_prompt
from bfkit.devices import hardware
from bfkit.models.clip import Clip, load_clip
from bfkit.profiles import Profile
from bfkit.provenance import table_digest

from .advisor import PICTURES
from .choice import UNITS
from .model import absolute_error, fit_predictors, relative_to, save_predictors
from .picture_curves import PicturePredictor, fit_pictures, save_pictures
from .promise import FILE as PROMISE

EXAMPLES = 256  # training prompts that an advisor remembers: what they would spend sets a rule's knob


def _costs(table: pl.DataFrame) -> dict[str, float]:
    """What an evaluation of one picture took on average, by each unit that a score table has measured."""
    made = table.filter(pl.col("evals") > 0)
    measured = {unit: made.drop_nulls(unit) for unit in UNITS[1:]}
    each = {unit: pl.col(unit).sum() / pl.col("evals").sum() for unit in measured}
    return {unit: rows.select(each[unit]).item() for unit, rows in measured.items() if len(rows)}


def train_advisor(profile: Profile, out: Path, seed: int = 0, device: torch.device | str | None = None) -> dict:
    """Train the curve predictor on 90% of the prompts of ``profile.scores`` and save it in the folder ``out``.

    Where the table keeps looks, ``picture_curves.fit_pictures`` learns from those prompts' pictures too. All is
    computed on ``device``; what is saved loads on any. Returns what is noted beside it: the numbers of prompts, and the
    mean absolute error of each metric on those held out. Raises FileNotFoundError or ValueError where the table is not
    there or is damaged.
    """
    training, held_out = split_by_prompt(read_scores(profile.scores))
    clip = load_clip(profile.clip, device)
    texts, curves = dense_curves(training)
    fitted = fit_predictors(clip.embed_texts(texts), curves, profile.predictor, seed)
    test_texts, measured = dense_curves(held_out)
    error = absolute_error(fitted(clip.embed_texts(test_texts)), measured)
    notes = {
        "profile": profile.name,
        "scores": table_digest(profile.scores),
        "clip": relative_to(out, Path(profile.clip)) if Path(profile.clip).is_dir() else profile.clip,
        "examples": texts[:EXAMPLES],
        "costs": _costs(training),
        "training_prompts": len(texts),
        "held_out_prompts": len(test_texts),
        "held_out_mae": {name: round(float(values.mean()), 4) for name, values in error.items()},
        "seed": seed,
        "hardware": hardware(clip.device),
    }
    if pictures := _pictures(training, read_looks(profile.scores), clip):
        predictor, notes["told_by_the_look"] = pictures
        save_pictures(predictor, out / PICTURES)
    else:
        (out / PICTURES).unlink(missing_ok=True)  # an earlier training's
    (out / PROMISE).unlink(missing_ok=True)
    save_predictors(fitted, out, notes)
    return notes


def _pictures(training: pl.DataFrame, looks: pl.DataFrame, clip: Clip) -> tuple[PicturePredictor, float] | None:
    """``fit_pictures`` of the pictures that were looked at; None where the table keeps no looks."""
    both = training.join(looks, on=PICTURE, how="semi")
    if not len(both):
        return None
    pictures = both.unique(PICTURE).join(looks, on=PICTURE).sort(PICTURE)
    texts = pictures["prompt"].unique(maintain_order=True).to_list()
    place = {text: row for row, text in enumerate(texts)}
    rows = [place[text] for text in pictures["prompt"]]
    seen = pictures["look"].explode().to_numpy().reshape(len(pictures), -1)
    predictor, told = fit_pictures(clip.embed_texts(texts).cpu().numpy()[rows], seen, both)
    return predictor, round(told, 4)
