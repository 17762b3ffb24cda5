"""Whether a picture shows what was asked, kept in the score table beside the scores, which ask for resemblance alone.

``clip_score`` is the cosine of picture and prompt by the profile's CLIP, below 0 counted as 0. ``verdicts`` are those
of the miniature's judge (``mini.judge``), which knows the scene that a caption is of; there are none of other captions,
and none of pictures from elsewhere.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import torch

from bfkit.mini.judge import VERDICTS, Judge, load_judge, verdicts
from bfkit.mini.world import Scene
from bfkit.profiles import Profile

from .captions import mini_captions

SCHEMA = pl.Schema({"clip_score": pl.Float32, "verdicts": pl.List(pl.Boolean)})


@dataclass(frozen=True)
class Checker:
    """A judge of drawn pictures, and the scenes that captions are of."""

    judge: Judge
    scenes: Mapping[str, Scene]

    def __call__(self, images: torch.Tensor, prompts: Sequence[str]) -> list[list[bool | None] | None]:
        """``VERDICTS`` of pictures (N, 3, H, W) in [0, 1]; None for a prompt that is no caption of the world."""
        readings, _ = self.judge.read(images.to(next(self.judge.parameters()).device))
        asked = [self.scenes.get(prompt) for prompt in prompts]
        return [
            None if scene is None else list(verdicts(reading, scene).values())
            for reading, scene in zip(readings, asked, strict=True)
        ]


def load_checker(profile: Profile, device: torch.device | str) -> Checker | None:
    """The checker of a profile that names a judge; FileNotFoundError where its files are missing."""
    if not profile.judge:
        return None
    return Checker(load_judge(Path(profile.judge)).to(device), mini_captions())


def long_verdicts(rows: pl.DataFrame) -> pl.DataFrame:
    """Each row's verdicts one below the other, ``verdict`` and ``right``; of what a caption is silent there is none."""
    names = pl.lit(pl.Series(VERDICTS)).implode()
    return (
        rows.drop_nulls("verdicts")
        .with_columns(verdict=names)
        .explode("verdict", "verdicts")
        .rename({"verdicts": "right"})
        .drop_nulls("right")
    )
