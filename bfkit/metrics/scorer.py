"""The scorer: pictures to L-SNR, D-SIM and I-CLIP (Section 3.2, Eq. 2-4).

L-SNR needs the picture alone; D-SIM and I-CLIP compare it with its target, the picture of the same prompt and seed at
the last step count. A target's features are extracted once (``Scorer.features``) and compared with many pictures.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from jaxtyping import Float
from torch.nn import functional as F

from bfkit.models.clip import Clip, load_clip
from bfkit.models.perceptual import load_embedder
from bfkit.profiles import Profile

from .l_snr import l_snr

DREAMSIM = "dreamsim:"  # begins the name of a DreamSim branch; any other name is a folder of the miniature's embedder


@dataclass(frozen=True)
class Features:
    """What the models see in N pictures: D-SIM's embeddings and the captions', rows normalised, and the captions."""

    perceptual: Float[torch.Tensor, "n d"]
    semantic: Float[torch.Tensor, "n e"]
    captions: tuple[str, ...]


@dataclass(frozen=True)
class Scorer:
    """The two models that score pictures, and which readings of L-SNR and I-CLIP are meant."""

    embed_perceptual: Callable[[torch.Tensor], torch.Tensor]
    clip: Clip
    l_snr: str = "residual"
    i_clip: Literal["caption", "image"] = "caption"

    @torch.inference_mode()
    def features(self, images: Float[torch.Tensor, "n 3 h w"]) -> Features:
        """What both models see in pictures (N, 3, H, W) in [0, 1]."""
        images = images.to(self.clip.device)
        perceptual = F.normalize(self.embed_perceptual(images).float(), dim=-1)
        if self.i_clip == "image":
            return Features(perceptual, self.clip.embed_images(images).float(), ())
        captions = self.clip.caption(images)
        return Features(perceptual, self.clip.embed_texts(list(captions)).float(), captions)

    def score(self, images: Float[torch.Tensor, "n 3 h w"], target: Features) -> dict[str, Float[torch.Tensor, " n"]]:
        """Every metric of pictures against their targets: name to (N,) float32 on the CPU."""
        return self.compare(images, self.features(images), target)

    def compare(
        self, images: Float[torch.Tensor, "n 3 h w"], seen: Features, target: Features
    ) -> dict[str, Float[torch.Tensor, " n"]]:
        """``score`` for pictures whose features are known already."""
        scores = {
            "l_snr": l_snr(images, self.l_snr),
            "d_sim": (1 - (seen.perceptual * target.perceptual).sum(-1)).clamp(0, 1),
            "i_clip": (seen.semantic * target.semantic).sum(-1).clamp(0, 1),
        }
        return {name: values.float().cpu() for name, values in scores.items()}


def load_scorer(profile: Profile, device: torch.device | str | None = None) -> Scorer:
    """The scorer of a profile, on a device.

    Raises FileNotFoundError where a model's files are missing, and ValueError for a name that nothing answers to or for
    captions wanted from a model that writes none.
    """
    clip = load_clip(profile.clip, device)
    if profile.i_clip == "caption":
        clip.check_captions()
    if profile.perceptual.startswith(DREAMSIM):
        from bfkit.models.dreamsim import load_dreamsim  # an extra, which the miniature does without

        embedder = load_dreamsim(profile.perceptual.removeprefix(DREAMSIM), clip.device)
    else:
        embedder = load_embedder(Path(profile.perceptual)).to(clip.device)
    return Scorer(embedder.embed, clip, profile.l_snr, profile.i_clip)
