"""Prompt x seed x step count to pictures, through any diffusers text-to-image pipeline.

The noise of a picture depends on its seed alone: not on the prompt, the batch or the shard it is drawn in. What differs
between pipeline classes stands in ``Profile.family``; the denoising loop is always diffusers' own.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from diffusers import DiffusionPipeline
from jaxtyping import Float

from bfkit.memory import fitting, if_it_fits, in_parts
from bfkit.models.pipelines import calling, decoder, denoiser, in_float32, make_room, picture_stage
from bfkit.profiles import Profile

from .conditioning import Conditioning, embed
from .decoding import careful_decoding

MAX_STEPS = 1000
Picture = TypeVar("Picture")
Result = TypeVar("Result")


# --- what is asked for ----------------------------------------------------------------------------------------------


def check_steps(steps: int) -> int:
    """``steps`` if it is a whole number from 1 to 1000; ValueError otherwise."""
    try:
        whole = not isinstance(steps, bool) and int(steps) == steps and 1 <= steps <= MAX_STEPS
    except (TypeError, ValueError, OverflowError):
        whole = False
    if not whole:
        raise ValueError(f"a step count must be a whole number from 1 to {MAX_STEPS}; got {steps!r}")
    return int(steps)


def check_prompts(prompts: Sequence[str]) -> list[str]:
    """The prompts as a list; ValueError naming the first that is empty or no text, or if there are none."""
    if isinstance(prompts, str):
        prompts = [prompts]
    prompts = list(prompts)
    if not prompts:
        raise ValueError("no prompts: give at least one text")
    for index, prompt in enumerate(prompts):
        if not isinstance(prompt, str):
            raise ValueError(f"prompt {index} is {type(prompt).__name__} {prompt!r}, not text")
        if not prompt.strip():
            raise ValueError(f"prompt {index} is empty: describe a picture in words")
    return prompts


# --- prompts to pictures --------------------------------------------------------------------------------------------


@torch.inference_mode()
def denoise(
    pipe: DiffusionPipeline, profile: Profile, conditioning: Conditioning, steps: int, output_type: str = "pt"
) -> torch.Tensor:
    """What the pipeline draws of one batch in ``steps`` denoising steps, as it returns it: tensors or ``latent``."""
    output = calling(picture_stage(pipe, profile))(
        **conditioning.texts,
        **dict(profile.family.picture_options),
        num_inference_steps=steps,
        generator=conditioning.generators(),
        guidance_scale=profile.guidance,
        height=profile.image_size,
        width=profile.image_size,
        output_type=output_type,
    )
    return output.images


@torch.inference_mode()
def sample(
    pipe: DiffusionPipeline, profile: Profile, conditioning: Conditioning, steps: int
) -> Float[torch.Tensor, "n 3 h w"]:
    """One batch of pictures (N, 3, H, W) float32 in [0, 1] on the pipeline's device, in ``steps`` denoising steps."""
    with careful_decoding(pipe, profile):
        images = denoise(pipe, profile, conditioning, steps)
    low, high = profile.family.value_range
    return ((images.float() - low) / (high - low)).clamp(0, 1)


def sample_in_float32(
    pipe: DiffusionPipeline, profile: Profile, conditioning: Conditioning, steps: int
) -> torch.Tensor | None:
    """``sample`` with denoiser and decoder in float32, for what half precision breaks; None if it does not fit."""

    texts = {name: part for name, part in vars(pipe).items() if name.startswith("text_encoder")}

    def draw() -> torch.Tensor:
        with in_float32(denoiser(pipe, profile), decoder(pipe, profile)):
            return sample(pipe, profile, conditioning.in_float32(), steps)

    try:
        vars(pipe).update(dict.fromkeys(texts))  # where they are, pipelines cast to their dtype, which they keep
        return if_it_fits(draw)
    finally:
        vars(pipe).update(texts)


@torch.inference_mode()
def mended(
    pipe: DiffusionPipeline, profile: Profile, conditioning: Conditioning, steps: int, images: torch.Tensor
) -> torch.Tensor:
    """Drawn pictures (N, 3, H, W), those with values that are no numbers drawn again in float32, in place."""
    for row in (~are_whole(images)).nonzero().flatten().tolist():
        again = sample_in_float32(pipe, profile, conditioning.rows([row]), steps)
        if again is not None:
            images[row] = again[0]
    return images


def are_whole(images: torch.Tensor) -> torch.Tensor:
    """Which of the pictures (N, 3, H, W) have finite values alone: (N,) bool."""
    return torch.isfinite(images).flatten(1).all(dim=1)


def fitting_batch(pipe: DiffusionPipeline, profile: Profile) -> int:
    """How many pictures are drawn at once: the profile's batch, or what memory was found to hold of it."""
    return fitting(pipe, _one(profile), profile.batch)


def _one(profile: Profile) -> str:
    return f"picture of {profile.name} at {profile.image_size} pixels"


def drawn_in_parts(
    draw: Callable[[Sequence[Picture]], Result],
    pictures: Sequence[Picture],
    pipe: DiffusionPipeline,
    profile: Profile,
    batch: int | None = None,
) -> Iterator[Result]:
    """The results of ``draw`` on pictures in order, ``batch`` at once (default: the profile's) or as many as fit.

    What fits is remembered for the pipeline. ``draw`` may be called again on some of what it has failed at, so that it
    must change nothing before it is done. ValueError if memory does not hold a single picture.
    """
    yield from in_parts(
        draw,
        pictures,
        batch or profile.batch,
        owner=pipe,
        what=_one(profile),
        device=pipe.device,
        relief=lambda: make_room(pipe, profile),
    )


@dataclass(frozen=True)
class Drawn:
    """A batch of finished pictures (N, 3, H, W) on the CPU, and which of those asked for they are."""

    rows: tuple[int, ...]
    images: torch.Tensor


def drawn(
    pipe: DiffusionPipeline,
    profile: Profile,
    prompts: Sequence[str],
    steps: Sequence[int],
    seeds: Sequence[int],
    batch: int | None = None,
) -> Iterator[Drawn]:
    """Pictures, each of its own prompt, step count and seed, as each batch is done: fewest steps first.

    Pictures of equal step counts are drawn together, ``batch`` at once (default: the profile's) or as many as fit;
    those with values that are no numbers again in float32, and NaN is left if that does not help.
    """

    def draw(part: Sequence[int]) -> Drawn:
        conditioning = embed(pipe, profile, [prompts[row] for row in part], [seeds[row] for row in part])
        images = sample(pipe, profile, conditioning, steps[part[0]])
        return Drawn(tuple(part), mended(pipe, profile, conditioning, steps[part[0]], images).cpu())

    for count in sorted(set(steps)):
        yield from drawn_in_parts(draw, [row for row, own in enumerate(steps) if own == count], pipe, profile, batch)


def generate(
    pipe: DiffusionPipeline,
    prompts: Sequence[str],
    steps: int | Sequence[int],
    *,
    profile: Profile,
    seeds: Sequence[int] | None = None,
    batch: int | None = None,
) -> Float[torch.Tensor, "n 3 h w"]:
    """Pictures of prompts in order: (len(prompts), 3, H, W) float32 in [0, 1] on the CPU.

    ``steps`` is one count for all, or each prompt's own; ``seeds`` are each prompt's (default: the profile's first for
    all). Raises ValueError for bad prompts, bad steps, other numbers of them, or a device that does not hold one
    picture.
    """
    prompts = check_prompts(prompts)
    counts = [check_steps(count) for count in (steps if isinstance(steps, Sequence) else [steps] * len(prompts))]
    seeds = [profile.seeds[0]] * len(prompts) if seeds is None else list(seeds)
    for what, given in (("step counts", counts), ("seeds", seeds)):
        if len(given) != len(prompts):
            raise ValueError(f"{len(given)} {what} for {len(prompts)} prompts: give one for each prompt")
    parts = list(drawn(pipe, profile, prompts, counts, seeds, batch))
    order = torch.tensor([row for part in parts for row in part.rows]).argsort()
    return torch.cat([part.images for part in parts])[order]
