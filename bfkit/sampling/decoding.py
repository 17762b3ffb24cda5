"""Latents to pictures apart from the denoiser's batch: in slices that fit, and again where values are no numbers."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from diffusers import DiffusionPipeline

from bfkit.memory import if_it_fits, in_parts
from bfkit.models.pipelines import decoder, in_float32, make_room
from bfkit.profiles import Profile

from .hooks import replaced

MOST_ELEMENTS = 2**31 - 1  # of one map: more, and CUDA's upsampling of channels-last maps refuses


def most_at_once(vae: Any, side: int) -> int:
    """How many pictures of ``side`` pixels the largest map of an autoencoder may belong to; at least one."""
    widths = vae.config.get("block_out_channels") or (1024,)
    channels = max(widths[:2])  # the last upsampling's, to the picture's own size
    return max(1, MOST_ELEMENTS // (channels * side * side))


@contextmanager
def careful_decoding(pipe: DiffusionPipeline, profile: Profile) -> Iterator[None]:
    """Let the pipeline's own call decode carefully while entered, whatever its family makes of latents before.

    Slices that memory does not hold are halved, without a word to the denoiser's batch. A picture with values that are
    not finite is decoded again in float32 (half precision overflows in some autoencoders); if it stays broken, all of
    it is NaN. The autoencoder keeps its dtype, also where an error ends the call. ValueError if not one picture fits.
    """
    vae = decoder(pipe, profile)
    decode, dtype = vae.decode, vae.dtype

    def in_slices(latents: torch.Tensor, *args: Any, **options: Any) -> Any:
        parts = list(
            in_parts(
                lambda rows: decode(latents[rows[0] : rows[-1] + 1], *args, **options),
                range(len(latents)),
                min(len(latents), most_at_once(vae, profile.image_size)),
                owner=vae,
                what=f"picture of {profile.name} to be decoded at {profile.image_size} pixels",
                device=latents.device,
                relief=lambda: make_room(pipe, profile),
            )
        )
        pictures = parts[0][0] if len(parts) == 1 else torch.cat([part[0] for part in parts])
        broken = ~torch.isfinite(pictures).flatten(1).all(dim=1)
        for row in broken.nonzero().flatten().tolist():
            pictures[row] = _again(vae, decode, latents[row : row + 1], args, options)
        return (pictures,) if isinstance(parts[0], tuple) else type(parts[0])(sample=pictures)

    try:
        with replaced(vae, "decode", in_slices):
            yield
    finally:
        if vae.dtype != dtype:  # SDXL's pipeline had it in float32, and did not come to put it back
            vae.to(dtype)


def _again(vae: torch.nn.Module, decode: Any, latents: torch.Tensor, args: Any, options: Any) -> torch.Tensor | float:
    """The picture of one latent (1, C, H, W), decoded in float32; NaN where that does not help or does not fit."""

    def exactly() -> torch.Tensor:
        with in_float32(vae):
            return decode(latents.float(), *args, **options)[0][0]

    picture = if_it_fits(exactly) if torch.isfinite(latents).all() else None
    return picture if picture is not None and torch.isfinite(picture).all() else torch.nan
