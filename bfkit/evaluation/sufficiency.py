"""Pictures below a metric's plateau and at it (Figure 6)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
import torch
from diffusers import DiffusionPipeline

from bfkit.metrics.registry import METRICS
from bfkit.metrics.scorer import Scorer
from bfkit.predictor.rules import Curves, at_steps
from bfkit.profiles import Profile
from bfkit.sampling.contact_sheet import Row, count_of_steps
from bfkit.sampling.generate import generate

BELOW = 3  # a third of a plateau's steps: where the picture is looked at before it has ripened


@dataclass(frozen=True)
class Example:
    """The prompt whose measured curve of a metric moves furthest between a third of its plateau's steps and all."""

    metric: str
    prompt: str
    below: int
    at: int


def examples(texts: Sequence[str], measured: Curves, steps: pl.DataFrame) -> list[Example]:
    """One for each metric, of prompts with measured curves (N, T) and their ``Choice.table``."""
    found = []
    for metric in METRICS:
        at = steps[metric].to_numpy().astype(int)
        below = np.maximum(at // BELOW, 1)
        row = int(np.abs(at_steps(measured[metric], below) - at_steps(measured[metric], at)).argmax())
        found.append(Example(metric, texts[row], int(below[row]), int(at[row])))
    return found


def drawn(pipe: DiffusionPipeline, scorer: Scorer, profile: Profile, examples: Sequence[Example]) -> list[Row]:
    """Figure 6: below the plateau, at it, and the last step count, a column a metric, each with its own score."""
    counts = [[each.below, each.at, profile.target_steps] for each in examples]
    pictures = [
        generate(pipe, [each.prompt] * 3, own, profile=profile) for each, own in zip(examples, counts, strict=True)
    ]
    headings = ("below the plateau", "at the plateau", "the target, with which D-SIM and I-CLIP compare")
    said: list[list[str]] = [[], [], []]
    for each, own, drawn_ in zip(examples, counts, pictures, strict=True):
        target = scorer.features(drawn_[2:])
        for place, steps in enumerate(own):
            value = scorer.score(drawn_[place : place + 1], target)[each.metric].item()
            name = f": “{each.prompt}”" if place == 2 else ""
            said[place].append(f"{METRICS[each.metric].label} {value:.3f}, {count_of_steps(steps)}{name}")
    return [Row(heading, said[place], torch.stack([own[place] for own in pictures])) for place, heading in enumerate(
        headings)]  # fmt: skip
