"""Pictures to scores: L-SNR, D-SIM and I-CLIP (Section 3.2, Eq. 2-4).

L-SNR needs the picture alone; D-SIM and I-CLIP compare it with its target, the picture of the same prompt and seed at
the last step count. A target is looked at once (``Judges.look``) and compared with many pictures.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch.nn import functional as F

from . import paper
from .clip import Clip, load_clip
from .layout import load_dreamsim
from .mini.models import load_embedder
from .profiles import Profile

DREAMSIM = "dreamsim:"  # begins the name of a DreamSim branch; any other name is a folder of the miniature's embedder
LUMA = (0.2126, 0.7152, 0.0722)  # Rec. 709
PIXELS_AT_ONCE = 2**18  # L-SNR goes through so many, or one picture, whose few maps a processor's cache holds
BLUR_RUN = 32  # pixels of a row or column blurred by one matrix: enough for a matrix kernel, and few zeros in it
VISIBLE = (1 / 255) ** 2  # variance below one grey level: a picture that flat has nothing to filter


@dataclass(frozen=True)
class MetricInfo:
    """A metric's name in figures, its direction, and the best value it can take."""

    name: str
    label: str
    lower_is_better: bool
    best: float


METRICS: dict[str, MetricInfo] = {
    "l_snr": MetricInfo("l_snr", "L-SNR", lower_is_better=True, best=0.0),
    "d_sim": MetricInfo("d_sim", "D-SIM", lower_is_better=True, best=0.0),
    "i_clip": MetricInfo("i_clip", "I-CLIP", lower_is_better=False, best=1.0),
}


# --- L-SNR (Eq. 2) ------------------------------------------------------------------------------------------------


def luminance(images: torch.Tensor) -> torch.Tensor:
    """(N, 3, H, W) to (N, 1, H, W), Rec. 709."""
    count, _, height, width = images.shape
    return (images.new_tensor(LUMA) @ images.flatten(2)).view(count, 1, height, width)


def _gaussian_band(sigma: float, radius: int, like: torch.Tensor) -> torch.Tensor:
    """What a Gaussian does to a run of pixels and ``radius`` more on both sides, as a matrix (run, run + 2 radius)."""
    run, reach = (torch.arange(BLUR_RUN + more, device=like.device) for more in (0, 2 * radius))
    distance = reach - radius - run[:, None]
    taps = torch.exp(-0.5 * (distance / sigma) ** 2) * (distance.abs() <= radius)
    return (taps / taps[0].sum()).to(like.dtype)


def gaussian_blur(images: torch.Tensor, sigma: float = paper.GAUSSIAN_SIGMA) -> torch.Tensor:
    """Separable Gaussian of radius 4 sigma, edges mirrored: (N, C, H, W) to the same shape.

    One matrix product over overlapping windows of the picture down, and one across: on one channel a processor's matrix
    kernels are many times as fast as its convolutions.
    """
    height, width = images.shape[-2:]
    radius = min(math.ceil(4 * sigma), height - 1, width - 1)
    band = _gaussian_band(sigma, radius, images)
    padded = F.pad(images, (radius,) * 4, mode="reflect")
    if height % BLUR_RUN or width % BLUR_RUN:  # to whole runs, cut off below; torch copies even where nothing is added
        padded = F.pad(padded, (0, -width % BLUR_RUN, 0, -height % BLUR_RUN))
    down = padded.unfold(-2, band.shape[1], BLUR_RUN).mT
    rows = (band @ down).flatten(-3, -2)
    across = rows.unfold(-1, band.shape[1], BLUR_RUN).transpose(-3, -2)
    return (across @ band.T).transpose(-3, -2).flatten(-2)[..., :height, :width]


def _variance(images: torch.Tensor) -> torch.Tensor:
    return images.flatten(1).var(dim=1, unbiased=False)


def _mirrored(gray: torch.Tensor) -> torch.Tensor:
    return F.pad(gray, (1, 1, 1, 1), mode="reflect")


def _residual(gray: torch.Tensor) -> torch.Tensor:
    """Eq. 2 with the SNR distance of the paper's reference 59: the share of variance that a Gaussian takes away."""
    return _variance(gray - gaussian_blur(gray)) / (_variance(gray) + VISIBLE)


def _residual_turned(gray: torch.Tensor) -> torch.Tensor:
    """The same turned round: what is left of the variance, high for a blurred picture."""
    return 1 - _residual(gray).clamp(0, 1)


def _laplacian(gray: torch.Tensor) -> torch.Tensor:
    """The share of the variance that a Laplacian sees."""
    padded = _mirrored(gray)
    detail = _variance(padded[..., 1:-1, :].diff(n=2, dim=-1) + padded[..., 1:-1].diff(n=2, dim=-2))
    return detail / (detail + _variance(gray) + VISIBLE)


def _laplacian_snr(gray: torch.Tensor) -> torch.Tensor:
    """Signal-to-noise ratio in decibels, 60 dB being 1; high for a blurred picture, as the paper's text has it.

    The noise is what the difference of two Laplacians lets through, a second difference along both axes, which ignores
    straight edges (Immerkaer 1996, "Fast noise variance estimation"); 36 is the sum of that mask's squares. A flat
    picture has the ratio of the two floors.
    """
    noise = _variance(_mirrored(gray).diff(n=2, dim=-1).diff(n=2, dim=-2)) / 36
    return 10 * torch.log10((_variance(gray) + VISIBLE) / (noise + VISIBLE / 100)) / 60


# what Eq. 2 and its text may mean, each in [0, 1] and read as "lower is better"; notebook 03 ranks them
L_SNR_VARIANTS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "residual": _residual,
    "residual_turned": _residual_turned,
    "laplacian": _laplacian,
    "laplacian_snr": _laplacian_snr,
}


def l_snr(images: torch.Tensor, variant: str = "residual") -> torch.Tensor:
    """L-SNR of pictures (N, 3, H, W) in [0, 1]: (N,) float32 in [0, 1], lower is better (Eq. 2).

    The default takes Eq. 2 at its word: var(I - G * I) / var(I) on luminance, with G a Gaussian of sigma 1. A flat
    picture scores 0, not 0/0. Which reading moves steadily depends on the stack, so each profile names its own.
    Raises ValueError for an unknown variant or another shape.
    """
    if images.ndim != 4 or images.shape[1] != 3:
        raise ValueError(f"pictures must be (N, 3, H, W) in [0, 1]; got shape {tuple(images.shape)}")
    if variant not in L_SNR_VARIANTS:
        raise ValueError(f"unknown L-SNR variant {variant!r}: choose one of {', '.join(L_SNR_VARIANTS)}")
    at_once = max(1, PIXELS_AT_ONCE // (images.shape[-2] * images.shape[-1]))
    parts = [L_SNR_VARIANTS[variant](luminance(part.float())) for part in images.split(at_once)]
    return torch.cat(parts).clamp(0, 1)


# --- D-SIM and I-CLIP (Eq. 3 and 4) --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Look:
    """What the judges saw in N pictures: D-SIM embeddings and caption embeddings, rows normalised, and the captions."""

    layout: torch.Tensor
    meaning: torch.Tensor
    captions: tuple[str, ...]


@dataclass(frozen=True)
class Judges:
    """The two models that look at pictures, and which readings of L-SNR and I-CLIP are meant."""

    embed_layout: Callable[[torch.Tensor], torch.Tensor]
    clip: Clip
    l_snr: str = "residual"
    i_clip: Literal["caption", "image"] = "caption"

    @torch.inference_mode()
    def look(self, images: torch.Tensor) -> Look:
        """Look at pictures (N, 3, H, W) in [0, 1] once."""
        images = images.to(self.clip.device)
        layout = F.normalize(self.embed_layout(images).float(), dim=-1)
        if self.i_clip == "image":
            return Look(layout, self.clip.embed_images(images).float(), ())
        captions = self.clip.caption(images)
        return Look(layout, self.clip.embed_texts(list(captions)).float(), captions)

    def measure(self, images: torch.Tensor, target: Look) -> dict[str, torch.Tensor]:
        """Every metric of pictures against their targets: name to (N,) float32 on the CPU."""
        return self.compare(images, self.look(images), target)

    def compare(self, images: torch.Tensor, seen: Look, target: Look) -> dict[str, torch.Tensor]:
        """``measure`` for pictures that have been looked at already."""
        scores = {
            "l_snr": l_snr(images, self.l_snr),
            "d_sim": (1 - (seen.layout * target.layout).sum(-1)).clamp(0, 1),
            "i_clip": (seen.meaning * target.meaning).sum(-1).clamp(0, 1),
        }
        return {name: values.float().cpu() for name, values in scores.items()}


def load_judges(profile: Profile, device: torch.device | str = "cpu") -> Judges:
    """The judges of a profile, on a device.

    Raises FileNotFoundError where a model's files are missing, and ValueError for a name that nothing answers to or for
    captions wanted from a model that writes none.
    """
    clip = load_clip(profile.clip, device)
    if profile.i_clip == "caption":
        clip.check_captions()
    if profile.perceptual.startswith(DREAMSIM):
        embedder = load_dreamsim(profile.perceptual.removeprefix(DREAMSIM), device)
    else:
        embedder = load_embedder(Path(profile.perceptual)).to(device)
    return Judges(embedder.embed, clip, profile.l_snr, profile.i_clip)
