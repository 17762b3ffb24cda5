"""What the explorer shows, as plain data: chosen prompts, their measured and predicted curves, and what steps cost."""

import base64
import io
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
import torch
from PIL import Image

from bfkit import charts, paper
from bfkit.dataset.curves import interpolate
from bfkit.dataset.table import held_out_ids
from bfkit.metrics.registry import METRICS
from bfkit.predictor.advisor import StepAdvisor
from bfkit.profiles import Profile, get_profile
from bfkit.sampling.pixels import to_bytes

from . import asked

FIGURE_2 = ("a colorful park with a crowd", "a white and empty wall")  # the paper's, the busier first
DARK = {"l_snr": "#4fc37a", "d_sim": "#8ab0ff", "i_clip": "#ff8d69"}  # the metrics' colors on a dark ground
SIDE = 96  # pixels: larger pictures are made smaller, so that 600 of them fit into a page
MINIATURE = (
    "Every picture and number below comes from the bundled miniature: small models trained on a drawn world. None is "
    "Stable Diffusion's."
)


def resolve(
    profile: Profile | str,
    source: str | Path | pl.DataFrame | None,
    advisor: StepAdvisor | str | Path | None,
    device: torch.device | str | None = None,
) -> tuple[Profile, pl.DataFrame, StepAdvisor | None, list[str]]:
    """The profile, its score table and its advisor, each from a name, a path or as it is; and sentences on what lacks.

    A profile may have no trained predictor yet: the advisor is then None. Raises FileNotFoundError or ValueError for a
    table, or an advisor asked for by name, that is not there or is damaged.
    """
    profile = get_profile(profile) if isinstance(profile, str) else profile
    frame = source if isinstance(source, pl.DataFrame) else asked.read_with_truth(source or profile.scores)
    notes = [MINIATURE if profile.name == "mini" else f"Profile: {profile.name}."]
    if advisor is None:
        try:
            advisor = StepAdvisor.from_pretrained(profile.advisor, device)
        except FileNotFoundError as error:
            notes.append(f"No curve is predicted, only measured: {error}.")
    elif not isinstance(advisor, StepAdvisor):
        advisor = StepAdvisor.from_pretrained(advisor, device)
    return profile, frame, advisor, notes


def gather(
    frame: pl.DataFrame, advisor: StepAdvisor | None, count: int, notes: Sequence[str] = (), pictures: bool = True
) -> dict:
    """All that the page needs, ready for JSON; ``count`` prompts are chosen as ``choose_prompts`` does.

    Where the table holds the columns of ``dataset.truth``, they are a fourth curve. Raises ValueError for a table
    without a whole row or a count below 1.
    """
    whole = frame.drop_nulls(paper.METRICS).filter(pl.all_horizontal(pl.col(paper.METRICS).is_finite()))
    if not len(whole):
        raise ValueError("the score table has no row with all three metrics: make one with `bfkit dataset`")
    steps = whole["steps"].unique().sort().to_list()
    weights = dict(paper.WEIGHTS) if advisor is None else advisor.weights
    held_out, truth = set(held_out_ids(whole)), asked.kind_of(whole)
    return {
        "metrics": [
            {
                "name": name,
                "label": info.label,
                "lower": info.lower_is_better,
                "color": [charts.COLORS[name], DARK[name]],
                "dash": charts.DASHES[name],
                "weight": weights[name],
            }
            for name, info in METRICS.items()
        ],
        "asked": truth and asked.described(truth),
        "steps": steps,
        "reference": paper.REFERENCE_STEPS,
        "cost": {name: _cost(whole, name) for name in ("seconds", "tflops")},
        "notes": list(notes) if pictures else [*notes, "No pictures were asked for."],
        "pictures": pictures,
        "typed": advisor is not None,
        "prompts": [
            _entry(whole.filter(prompt_id=key), steps, advisor, key in held_out, truth)
            for key in choose_prompts(whole, count)
        ],
    }


def choose_prompts(frame: pl.DataFrame, count: int) -> list[int]:
    """Ids of ``count`` prompts, those of Figure 2 first, then from the quickest picture to the slowest.

    Held-out prompts are taken before training prompts, evenly along the mean of their D-SIM curve, which is low where a
    picture is early what it will be. Raises ValueError for a count below 1.
    """
    if count < 1:
        raise ValueError(f"{count} prompts are none: ask for at least one")
    means = frame.group_by("prompt_id", "prompt", "steps").agg(pl.col("d_sim").mean())
    order = means.group_by("prompt_id", "prompt").agg(pl.col("d_sim").mean()).sort("d_sim", "prompt_id")
    known = dict(order.select("prompt", "prompt_id").iter_rows())
    first = [known[prompt] for prompt in FIGURE_2 if prompt in known][:count]
    held_out = set(held_out_ids(frame))
    others = [key for key in order["prompt_id"] if key not in first]
    unseen, seen = [key for key in others if key in held_out], [key for key in others if key not in held_out]
    taken = _evenly(unseen, count - len(first))
    taken += _evenly(seen, count - len(first) - len(taken))
    return first + sorted(taken, key=others.index)


def _evenly(row: Sequence[int], count: int) -> list[int]:
    count = min(count, len(row))
    return [row[index] for index in np.linspace(0, len(row) - 1, count).round().astype(int)] if count else []


def _entry(
    rows: pl.DataFrame, steps: Sequence[int], advisor: StepAdvisor | None, held_out: bool, truth: str | None
) -> dict:
    prompt, seeds = rows["prompt"][0], rows["seed"].n_unique()
    means = rows.group_by("steps").agg(pl.col(paper.METRICS).mean()).sort("steps")
    own = means["steps"].to_list()
    dense = np.arange(1, steps[-1] + 1)
    remarks = [
        f"Measured with {seeds} seed{'s' * (seeds > 1)}; "
        f"{'held out, unknown to the predictor' if held_out else 'one of the training prompts'}."
    ]
    if missing := sorted(set(steps) - set(own)):
        listed = ", ".join(map(str, missing))
        remarks.append(f"Not measured at {listed} steps: a straight line stands there for the curve.")
    predicted, said = predict(advisor, prompt)
    return {
        "prompt": prompt,
        "rings": {name: list(zip(own, means[name].to_list(), strict=True)) for name in METRICS},
        "measured": {name: interpolate(means[name].to_numpy(), own, dense).tolist() for name in METRICS},
        "predicted": predicted,
        "asked": asked.shown(rows, truth) if truth else [],
        "remarks": remarks + said,
        "pictures": {},
    }


def predict(advisor: StepAdvisor | None, prompt: str) -> tuple[dict[str, list[float]] | None, list[str]]:
    """A prompt's predicted curves, or None, and what the advisor has to say about its words, in sentences."""
    if advisor is None:
        return None, []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        try:
            frame = advisor.curves(prompt)
        except ValueError as error:
            return None, [f"Nothing is predicted: {error}."]
    curves = {name: frame.filter(metric=name).sort("steps")["value"].to_list() for name in METRICS}
    return curves, [f"{warning.message}." for warning in caught if warning.category is UserWarning]


def _cost(frame: pl.DataFrame, name: str) -> list[float] | None:
    """What a picture of its own costs at every step count, by the table; None where nothing was noted.

    Medians by the evaluations that were made, on lines between them, read off where all of a picture's own are paid:
    in most tables, step counts share the first evaluation with the largest, whose ``evals`` alone are whole.
    """
    noted = frame.filter(pl.col(name).is_finite() & (pl.col(name) > 0))
    if not len(noted):
        return None
    last, evals = frame.filter(pl.col("steps") == pl.col("steps").max()).select("steps", pl.col("evals").max()).row(0)
    each = max(1, round(evals / last))  # evaluations a step
    medians = noted.group_by("evals").agg(pl.col(name).median()).sort("evals")
    own = each * np.arange(1, last + 1)
    return interpolate(medians[name].to_numpy(), medians["evals"].to_list(), own).tolist()


def data_uri(image: torch.Tensor) -> str:
    """A picture (3, H, W) in [0, 1] as a WebP of at most ``SIDE`` pixels, for an ``<img>``."""
    picture, buffer = Image.fromarray(to_bytes(image)), io.BytesIO()
    picture.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    picture.save(buffer, "WEBP", quality=80, method=6)
    return f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()}"
