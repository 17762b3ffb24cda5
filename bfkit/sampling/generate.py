"""Prompt x seed x step count to pictures, through any diffusers text-to-image pipeline.

The noise of a picture depends on its seed alone: not on the prompt, the batch or the shard it is drawn in. What differs
between pipeline classes stands in ``Profile.family``; the denoising loop is always diffusers' own.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import torch
from diffusers import DiffusionPipeline
from jaxtyping import Float

from bfkit.memory import fitting, if_it_fits, in_parts
from bfkit.models.pipelines import calling, decoder, denoiser, in_float32, make_room, picture_stage
from bfkit.profiles import Profile

from .decoding import careful_decoding

MAX_STEPS = 1000
Picture = TypeVar("Picture")
Drawn = TypeVar("Drawn")


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


@dataclass(frozen=True)
class Conditioning:
    """What a batch of pictures is drawn from: the text stage's tensors, row for row, and each picture's generator."""

    texts: dict[str, torch.Tensor]
    states: tuple[torch.Tensor, ...]  # the generators' states when the text stage was done with them

    def rows(self, index: Sequence[int]) -> "Conditioning":
        """Some of the pictures."""
        return Conditioning(
            {name: _at(rows, index) for name, rows in self.texts.items()}, tuple(self.states[i] for i in index)
        )

    def in_float32(self) -> "Conditioning":
        """The same texts for a denoiser in float32; the noise, then drawn in float32, is the same but for rounding."""
        texts = {name: rows.float() if rows.is_floating_point() else rows for name, rows in self.texts.items()}
        return replace(self, texts=texts)

    def generators(self) -> list[torch.Generator]:
        """A generator a picture, on the CPU, ready to draw its noise; new ones with every call."""
        made = [torch.Generator() for _ in self.states]
        for generator, state in zip(made, self.states, strict=True):
            generator.set_state(state)
        return made


def _at(rows: torch.Tensor, index: Sequence[int]) -> torch.Tensor:
    return rows[torch.as_tensor(index, device=rows.device)]


@torch.inference_mode()
def embed(pipe: DiffusionPipeline, profile: Profile, prompts: Sequence[str], seeds: Sequence[int]) -> Conditioning:
    """Run the text stage, once for each different prompt; prompts and seeds are those of the pictures, one each.

    A text stage that draws (Kandinsky's prior) runs once a picture, from the picture's seed. A prompt longer than the
    model reads is cut, with a warning by diffusers. ValueError if memory does not hold a single text.
    """
    combined = isinstance(getattr(pipe, profile.family.text_stage), DiffusionPipeline)
    asked = list(zip(prompts, seeds, strict=True))
    texts = asked if combined else [(prompt, 0) for prompt in dict.fromkeys(prompts)]
    parts = list(
        in_parts(
            lambda part: _embed(pipe, profile, *zip(*part, strict=True)),
            texts,
            len(texts),
            owner=pipe,
            what=f"text of {profile.name}",
            device=pipe.device,
            relief=lambda: make_room(pipe, profile),
        )
    )
    joined = {name: torch.cat([part.texts[name] for part in parts]) for name in parts[0].texts}
    if combined:
        return Conditioning(joined, tuple(state for part in parts for state in part.states))
    rows = [texts.index((prompt, 0)) for prompt in prompts]
    states = tuple(torch.Generator().manual_seed(int(seed)).get_state() for seed in seeds)
    return Conditioning({name: _at(tensor, rows) for name, tensor in joined.items()}, states)


def _embed(pipe: DiffusionPipeline, profile: Profile, prompts: Sequence[str], seeds: Sequence[int]) -> Conditioning:
    """The text stage itself, on prompts that are all run."""
    family, guided = profile.family, profile.guidance > 1
    generators = [torch.Generator().manual_seed(int(seed)) for seed in seeds]
    stage = getattr(pipe, family.text_stage)
    if isinstance(stage, DiffusionPipeline):
        outputs = calling(stage)(list(prompts), generator=generators, return_dict=False)
    else:
        options = {"device": pipe._execution_device, "num_images_per_prompt": 1, **dict(family.text_options)}
        if family.two_passes:
            options["do_classifier_free_guidance"] = guided
        outputs = stage(prompt=list(prompts), **options)
    named = zip(family.embeddings, outputs, strict=True)
    texts = {name: output for name, output in named if name and output is not None}
    return Conditioning(texts, tuple(generator.get_state() for generator in generators))


@torch.inference_mode()
def sample(
    pipe: DiffusionPipeline, profile: Profile, conditions: Conditioning, steps: int
) -> Float[torch.Tensor, "n 3 h w"]:
    """One batch of pictures (N, 3, H, W) float32 in [0, 1] on the pipeline's device, in ``steps`` denoising steps."""
    with careful_decoding(pipe, profile):
        output = calling(picture_stage(pipe, profile))(
            **conditions.texts,
            **dict(profile.family.picture_options),
            num_inference_steps=steps,
            generator=conditions.generators(),
            guidance_scale=profile.guidance,
            height=profile.image_size,
            width=profile.image_size,
            output_type="pt",
        )
    low, high = profile.family.value_range
    return ((output.images.float() - low) / (high - low)).clamp(0, 1)


def sample_in_float32(
    pipe: DiffusionPipeline, profile: Profile, conditions: Conditioning, steps: int
) -> torch.Tensor | None:
    """``sample`` with denoiser and decoder in float32, for what half precision breaks; None if it does not fit."""

    texts = {name: part for name, part in vars(pipe).items() if name.startswith("text_encoder")}

    def draw() -> torch.Tensor:
        with in_float32(denoiser(pipe, profile), decoder(pipe, profile)):
            return sample(pipe, profile, conditions.in_float32(), steps)

    try:
        vars(pipe).update(dict.fromkeys(texts))  # where they are, pipelines cast to their dtype, which they keep
        return if_it_fits(draw)
    finally:
        vars(pipe).update(texts)


def are_whole(images: torch.Tensor) -> torch.Tensor:
    """Which of the pictures (N, 3, H, W) have finite values alone: (N,) bool."""
    return torch.isfinite(images).flatten(1).all(dim=1)


def fitting_batch(pipe: DiffusionPipeline, profile: Profile) -> int:
    """How many pictures are drawn at once: the profile's batch, or what memory was found to hold of it."""
    return fitting(pipe, _one(profile), profile.batch)


def _one(profile: Profile) -> str:
    return f"picture of {profile.name} at {profile.image_size} pixels"


def drawn_in_parts(
    draw: Callable[[Sequence[Picture]], Drawn],
    pictures: Sequence[Picture],
    pipe: DiffusionPipeline,
    profile: Profile,
    batch: int | None = None,
) -> Iterator[Drawn]:
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


def generate(
    pipe: DiffusionPipeline,
    prompts: Sequence[str],
    steps: int,
    *,
    profile: Profile,
    seeds: Sequence[int] | None = None,
    batch: int | None = None,
) -> Float[torch.Tensor, "n 3 h w"]:
    """Pictures of prompts, all in the same number of steps: (len(prompts), 3, H, W) float32 in [0, 1] on the CPU.

    ``seeds`` gives each prompt's seed (default: the profile's first for all). Raises ValueError for bad prompts, bad
    steps, another number of seeds, or a device that does not hold one picture.
    """
    prompts, steps = check_prompts(prompts), check_steps(steps)
    seeds = [profile.seeds[0]] * len(prompts) if seeds is None else list(seeds)
    if len(seeds) != len(prompts):
        raise ValueError(f"{len(seeds)} seeds for {len(prompts)} prompts: give one seed for each prompt")

    def draw(part: Sequence[tuple[str, int]]) -> torch.Tensor:
        texts, own = zip(*part, strict=True)
        return sample(pipe, profile, embed(pipe, profile, texts, own), steps).cpu()

    asked = list(zip(prompts, seeds, strict=True))
    return torch.cat(list(drawn_in_parts(draw, asked, pipe, profile, batch)))
