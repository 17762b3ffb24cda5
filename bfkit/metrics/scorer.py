"""The scorer: pictures to L-SNR, D-SIM and I-CLIP (Section 3.2, Eq. 2-4).

L-SNR needs the picture alone; D-SIM and I-CLIP compare it with its target, the picture of the same prompt and seed at
the last step count. A target's features are extracted once (``Scorer.features``) and compared with many pictures.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch
from jaxtyping import Float
from torch.nn import functional as F

from bfkit.memory import attempt, in_parts
from bfkit.models.clip import Clip, load_clip
from bfkit.models.perceptual import PerceptualEmbedder, load_embedder
from bfkit.profiles import Profile

from .l_snr import l_snr

if TYPE_CHECKING:
    from bfkit.models.dreamsim import DreamSim

DREAMSIM = "dreamsim:"  # begins the name of a DreamSim branch; any other name is a folder of the miniature's embedder


@contextmanager
def _multiplying(precision: str | None) -> Iterator[None]:
    """Another of torch's precisions of float32 products while entered; None leaves it."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision or before)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


@dataclass(frozen=True)
class Features:
    """What the models see in N pictures: D-SIM's embeddings, I-CLIP's and CLIP's of the pictures, rows normalised.

    I-CLIP's are those of the captions, which are kept too, or CLIP's of the pictures once more.
    """

    perceptual: Float[torch.Tensor, "n d"]
    semantic: Float[torch.Tensor, "n e"]
    visual: Float[torch.Tensor, "n e"]
    captions: tuple[str, ...]

    def __getitem__(self, rows: Sequence[int]) -> "Features":
        """Those of some pictures, by number."""
        index = list(rows)
        captions = tuple(self.captions[row] for row in index) if self.captions else ()
        return Features(self.perceptual[index], self.semantic[index], self.visual[index], captions)

    @staticmethod
    def joined(parts: Sequence["Features"]) -> "Features":
        """Those of several batches, one after the other."""
        return Features(
            torch.cat([part.perceptual for part in parts]),
            torch.cat([part.semantic for part in parts]),
            torch.cat([part.visual for part in parts]),
            tuple(caption for part in parts for caption in part.captions),
        )


@dataclass(frozen=True)
class Scorer:
    """The two models that score pictures, and which readings of L-SNR and I-CLIP are meant."""

    embed_perceptual: Callable[[torch.Tensor], torch.Tensor]
    clip: Clip
    l_snr: str = "residual"
    i_clip: Literal["caption", "image"] = "caption"
    tf32: bool = False

    @torch.inference_mode()
    def features(self, images: Float[torch.Tensor, "n 3 h w"]) -> Features:
        """What both models see in pictures (N, 3, H, W) in [0, 1], in as many parts as memory asks for."""
        with _multiplying("high" if self.tf32 and self.clip.device.type == "cuda" else None):
            parts = list(
                in_parts(
                    lambda rows: self._features(images[rows[0] : rows[-1] + 1]),
                    range(len(images)),
                    len(images),
                    owner=self.clip.model,
                    what=f"picture of {images.shape[-2]} x {images.shape[-1]} pixels to be scored",
                    device=self.clip.device,
                )
            )
        return Features.joined(parts)

    def _features(self, images: torch.Tensor) -> Features:
        images = images.to(self.clip.device)
        perceptual = F.normalize(self.embed_perceptual(images).float(), dim=-1)
        if self.i_clip == "image":
            visual = self.clip.embed_images(images).float()
            return Features(perceptual, visual, visual, ())
        captions, visual = self.clip.caption_and_embed(images)
        return Features(perceptual, self.clip.embed_texts(list(captions)).float(), visual.float(), captions)

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

    def clip_score(self, seen: Features, prompts: Sequence[str]) -> Float[torch.Tensor, " n"]:
        """Cosine of each picture and its prompt, below 0 counted as 0 (CLIPScore, arXiv 2104.08718): (N,), CPU."""
        texts = self.clip.embed_texts(prompts).float()
        return (seen.visual * texts).sum(-1).clamp(0, 1).cpu()


def load_scorer(profile: Profile, device: torch.device | str | None = None) -> Scorer:
    """The scorer of a profile, on a device.

    Raises FileNotFoundError where a model's files are missing, and ValueError for a name that nothing answers to or for
    captions wanted from a model that writes none, or a device that cannot hold the models.
    """
    clip = load_clip(profile.clip, device)
    if profile.i_clip == "caption":
        clip.check_captions()
    embedder = attempt(lambda: _load_perceptual(profile.perceptual, clip.device), profile.perceptual, clip.device)
    return Scorer(embedder.embed, clip, profile.l_snr, profile.i_clip, profile.scorer_tf32)


def _load_perceptual(name: str, device: torch.device) -> "DreamSim | PerceptualEmbedder":
    if name.startswith(DREAMSIM):
        from bfkit.models.dreamsim import load_dreamsim  # an extra, which the miniature does without

        return load_dreamsim(name.removeprefix(DREAMSIM), device)
    return load_embedder(Path(name)).to(device)
