"""Prompt x seed x step count to pictures, through any diffusers text-to-image pipeline.

The noise of a picture depends on its seed alone: not on the prompt, the batch or the shard it is drawn in. What differs
between pipeline classes stands in ``Profile.family``; the denoising loop is always diffusers' own.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from diffusers import DiffusionPipeline
from jaxtyping import Float

from bfkit.models.pipelines import calling, picture_stage
from bfkit.profiles import Profile

MAX_STEPS = 1000


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
    model reads is cut, with a warning by diffusers.
    """
    family, guided = profile.family, profile.guidance > 1
    generators = [torch.Generator().manual_seed(int(seed)) for seed in seeds]
    stage = getattr(pipe, family.text_stage)
    if isinstance(stage, DiffusionPipeline):
        outputs = calling(stage)(list(prompts), generator=generators, return_dict=False)
        rows = list(range(len(prompts)))
    else:
        unique = list(dict.fromkeys(prompts))
        options = {"device": pipe._execution_device, "num_images_per_prompt": 1, **dict(family.text_options)}
        if family.two_passes:
            options["do_classifier_free_guidance"] = guided
        outputs, rows = stage(prompt=unique, **options), [unique.index(prompt) for prompt in prompts]
    named = zip(family.embeddings, outputs, strict=True)
    texts = {name: _at(output, rows) for name, output in named if name and output is not None}
    return Conditioning(texts, tuple(generator.get_state() for generator in generators))


@torch.inference_mode()
def sample(
    pipe: DiffusionPipeline, profile: Profile, conditions: Conditioning, steps: int
) -> Float[torch.Tensor, "n 3 h w"]:
    """One batch of pictures (N, 3, H, W) float32 in [0, 1] on the pipeline's device, in ``steps`` denoising steps."""
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

    ``seeds`` gives each prompt's seed (default: the profile's first for all). Raises ValueError for bad prompts, steps
    or a number of seeds that does not match.
    """
    prompts, steps = check_prompts(prompts), check_steps(steps)
    seeds = [profile.seeds[0]] * len(prompts) if seeds is None else list(seeds)
    if len(seeds) != len(prompts):
        raise ValueError(f"{len(seeds)} seeds for {len(prompts)} prompts: give one seed for each prompt")
    size, pictures = batch or profile.batch, []
    for start in range(0, len(prompts), size):
        conditions = embed(pipe, profile, prompts[start : start + size], seeds[start : start + size])
        pictures.append(sample(pipe, profile, conditions, steps).cpu())
    return torch.cat(pictures)
