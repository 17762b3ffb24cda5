"""L-SNR: how much of a picture a filter takes away (Section 3.2, Eq. 2), in the readings that the paper leaves open."""

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch.nn import functional as F

from bfkit import paper

LUMA = (0.2126, 0.7152, 0.0722)  # Rec. 709
PIXELS_AT_ONCE = 2**18  # L-SNR goes through so many, or one picture, whose few maps a processor's cache holds
BLUR_RUN = 32  # pixels of a row or column blurred by one matrix: enough for a matrix kernel, and few zeros in it
VISIBLE = (1 / 255) ** 2  # variance below one grey level: a picture that flat has nothing to filter


def luminance(images: Float[torch.Tensor, "n 3 h w"]) -> Float[torch.Tensor, "n 1 h w"]:
    """(N, 3, H, W) to (N, 1, H, W), Rec. 709."""
    count, _, height, width = images.shape
    return (images.new_tensor(LUMA) @ images.flatten(2)).view(count, 1, height, width)


def _gaussian_band(sigma: float, radius: int, like: torch.Tensor) -> torch.Tensor:
    """What a Gaussian does to a run of pixels and ``radius`` more on both sides, as a matrix (run, run + 2 radius)."""
    run, reach = (torch.arange(BLUR_RUN + more, device=like.device) for more in (0, 2 * radius))
    distance = reach - radius - run[:, None]
    taps = torch.exp(-0.5 * (distance / sigma) ** 2) * (distance.abs() <= radius)
    return (taps / taps[0].sum()).to(like.dtype)


def gaussian_blur(
    images: Float[torch.Tensor, "n c h w"], sigma: float = paper.GAUSSIAN_SIGMA
) -> Float[torch.Tensor, "n c h w"]:
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


def l_snr(images: Float[torch.Tensor, "n 3 h w"], variant: str = "residual") -> Float[torch.Tensor, " n"]:
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
