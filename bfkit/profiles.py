"""Which models, sizes and seeds a run uses: one frozen record a stack. ``PROFILES["mini"]`` is bundled.

A run with your own models is ``replace(PROFILES["mini"], name="own", pipeline="folder-or-id", ...)``.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from . import paper

WEIGHTS = Path(__file__).parent / "mini" / "weights"
DATA = Path(__file__).parent / "mini"


@dataclass(frozen=True)
class PredictorSettings:
    """The curve predictor of Section 3.3 and how it is trained; the defaults are the paper's."""

    layers: int = paper.LSTM_LAYERS
    hidden: int = paper.LSTM_HIDDEN
    mlp: int = paper.MLP_SIZES[1]
    dropout: float = 0.1  # the paper names dropout on the LSTM's output, not its rate
    batch: int = paper.BATCH
    rate: float = paper.RATE
    epochs: dict[str, int] = field(default_factory=lambda: dict(paper.EPOCHS))
    grid: tuple[int, ...] = tuple(range(1, paper.TARGET_STEPS + 1))  # the steps that the LSTM walks along


@dataclass(frozen=True)
class Profile:
    """Everything that decides what a picture and its scores are; sizes in pixels, ``guidance`` as in diffusers."""

    name: str
    pipeline: str  # a diffusers folder or hub id
    clip: str  # an open_clip folder: embeds texts, captions pictures
    perceptual: str  # the D-SIM embedder's folder
    image_size: int
    guidance: float
    l_snr: str = "residual"  # which of metrics.L_SNR_VARIANTS; the paper's text and Eq. 2 differ
    i_clip: Literal["caption", "image"] = (
        "caption"  # compare captions (Eq. 4) or, cheaper, the pictures' own embeddings
    )
    spacing: str = "linspace"  # how Euler picks its timesteps; mirrors of one model differ, so it is always set
    seeds: tuple[int, ...] = tuple(range(paper.SEEDS))
    step_counts: tuple[int, ...] = paper.STEP_COUNTS
    prompts: int = 608
    batch: int = 32  # pictures drawn at once
    predictor: PredictorSettings = PredictorSettings()
    advisor: str = ""  # the trained predictor's folder
    scores: str = ""  # the shipped score table

    @property
    def target_steps(self) -> int:
        """The step count whose pictures the others are compared with."""
        return self.step_counts[-1]


PROFILES: dict[str, Profile] = {
    "mini": Profile(
        name="mini",
        pipeline=str(WEIGHTS / "pipeline"),
        clip=str(WEIGHTS / "clip"),
        perceptual=str(WEIGHTS / "perceptual"),
        image_size=64,
        guidance=3.0,
        l_snr="laplacian_snr",  # of the readings, the one that moves steadily with this stack's steps: notebook 03
        # from 1 to 129 the curve is flat nearly everywhere; the steps that were drawn lie where it bends
        predictor=PredictorSettings(
            hidden=128, rate=2e-3, epochs=dict.fromkeys(paper.METRICS, 120), grid=paper.STEP_COUNTS
        ),
        advisor=str(WEIGHTS / "advisor"),
        scores=str(DATA / "scores.parquet"),
    ),
}


def get_profile(name: str) -> Profile:
    """The profile of that name; ValueError with the known names if there is none."""
    if name not in PROFILES:
        raise ValueError(f"unknown profile {name!r}: choose one of {', '.join(PROFILES)}")
    return PROFILES[name]
