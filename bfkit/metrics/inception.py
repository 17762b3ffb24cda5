"""The inception score: how sure a classifier is of each picture, and how varied its answers are (Section 4.3)."""

import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from bfkit.devices import use_device
from bfkit.extras import extra
from bfkit.models.perceptual import load_embedder
from bfkit.profiles import Profile

with extra("baselines"):
    from torchmetrics.image import InceptionScore
    from torchmetrics.image.fid import NoTrainInceptionV3


def inception_score(logits: torch.Tensor, splits: int = 10, seed: int = 0) -> tuple[float, float]:
    """exp(E KL(p(y|x) || p(y))) of a classifier's logits (N, C): mean and spread over random parts (Salimans 2016)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it keeps all features, which we hold already; a single part has no spread
        score = InceptionScore(feature=nn.Identity(), splits=splits)
        score.update(logits.cpu())
        with torch.random.fork_rng():
            torch.manual_seed(seed)  # torchmetrics shuffles before it splits
            mean, spread = score.compute()
    return mean.item(), spread.item()


def load_classifier(
    profile: Profile, device: torch.device | str | None = None
) -> Callable[[torch.Tensor], torch.Tensor]:
    """Pictures (N, 3, H, W) in [0, 1] to logits: the profile's own network, or torch-fidelity's Inception-v3."""
    device = use_device(device)
    if profile.classifier:
        embedder = load_embedder(Path(profile.classifier)).to(device)
        return lambda images: embedder.embed(images.to(device))
    inception = NoTrainInceptionV3("inception-v3-compat", ["logits_unbiased"]).to(device).eval()
    return lambda images: inception((images.to(device) * 255).byte())
