"""Prompt x seed x step count to pictures, through any diffusers text-to-image pipeline.

The noise of a picture depends on its seed alone: not on the prompt, the batch or the shard it is drawn in. What differs
between pipeline classes stands in ``Profile.family``; the denoising loop is always diffusers' own.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from diffusers import DiffusionPipeline

from .pipelines import denoiser, picture_stage
from .profiles import Profile

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


# --- counting, and sharing what all step counts begin with ----------------------------------------------------------


def _same(one: Any, other: Any) -> bool:
    """True if two nests of arguments hold the same values, bit for bit."""
    if isinstance(one, torch.Tensor):
        alike = isinstance(other, torch.Tensor) and (one.shape, one.dtype) == (other.shape, other.dtype)
        return alike and torch.equal(one, other)
    if isinstance(one, dict):
        return isinstance(other, dict) and one.keys() == other.keys() and all(_same(one[k], other[k]) for k in one)
    if isinstance(one, list | tuple):
        return type(one) is type(other) and len(one) == len(other) and all(map(_same, one, other))
    return bool(one == other)


def _copied(nest: Any) -> Any:
    """The same nest with tensors of its own, which nobody changes in place."""
    if isinstance(nest, torch.Tensor):
        return nest.clone()
    if isinstance(nest, dict):
        return {key: _copied(value) for key, value in nest.items()}
    return type(nest)(map(_copied, nest)) if type(nest) in (list, tuple) else nest


@dataclass
class Evaluations:
    """How many times a denoiser was evaluated; a guided evaluation of a batch counts once a picture.

    With ``share_first``, the first evaluation of a sampling is answered from memory where its inputs are those of the
    first sampling, bit for bit: from one seed, every step count begins with the same noise at the same timestep.
    """

    share_first: bool = False
    made: int = 0
    _begins: bool = True
    _first: tuple[Any, Any] | None = field(default=None, repr=False)

    def take(self) -> int:
        """The evaluations made since the last ``take``; what comes next is the first of another sampling."""
        made, self.made, self._begins = self.made, 0, True
        return made

    def evaluate(self, forward: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call the denoiser, or remember."""
        begins, self._begins = self._begins and self.share_first, False
        if begins and self._first is not None and _same(self._first[0], (args, kwargs)):
            return _copied(self._first[1])
        inputs = _copied((args, kwargs)) if begins and self._first is None else None
        self.made += 1
        output = forward(*args, **kwargs)
        if inputs is not None:
            self._first = inputs, _copied(output)
        return output


@contextmanager
def counting(pipe: DiffusionPipeline, profile: Profile, share_first: bool = False) -> Iterator[Evaluations]:
    """Count the denoiser's evaluations while entered; see ``Evaluations``."""
    module, count = denoiser(pipe, profile), Evaluations(share_first)
    forward = module.forward
    module.forward = lambda *args, **kwargs: count.evaluate(forward, *args, **kwargs)
    try:
        yield count
    finally:
        module.forward = forward


# --- prompts to pictures --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Conditions:
    """What a batch of pictures is drawn from: the text stage's tensors, row for row, and each picture's generator."""

    texts: dict[str, torch.Tensor]
    states: tuple[torch.Tensor, ...]  # the generators' states when the text stage was done with them

    def rows(self, index: Sequence[int]) -> "Conditions":
        """Some of the pictures."""
        return Conditions(
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
def embed(pipe: DiffusionPipeline, profile: Profile, prompts: Sequence[str], seeds: Sequence[int]) -> Conditions:
    """Run the text stage, once for each different prompt; prompts and seeds are those of the pictures, one each.

    A text stage that draws (Kandinsky's prior) runs once a picture, from the picture's seed. A prompt longer than the
    model reads is cut, with a warning by diffusers.
    """
    family, guided = profile.family, profile.guidance > 1
    generators = [torch.Generator().manual_seed(int(seed)) for seed in seeds]
    stage = getattr(pipe, family.text_stage)
    if isinstance(stage, DiffusionPipeline):
        outputs, rows = stage(list(prompts), generator=generators, return_dict=False), list(range(len(prompts)))
    else:
        unique = list(dict.fromkeys(prompts))
        options = {"device": pipe._execution_device, "num_images_per_prompt": 1, **dict(family.text_options)}
        if family.two_passes:
            options["do_classifier_free_guidance"] = guided
        outputs, rows = stage(prompt=unique, **options), [unique.index(prompt) for prompt in prompts]
    named = zip(family.embeddings, outputs, strict=True)
    texts = {name: _at(output, rows) for name, output in named if name and output is not None}
    return Conditions(texts, tuple(generator.get_state() for generator in generators))


@torch.inference_mode()
def sample(pipe: DiffusionPipeline, profile: Profile, conditions: Conditions, steps: int) -> torch.Tensor:
    """One batch of pictures (N, 3, H, W) float32 in [0, 1] on the pipeline's device, in ``steps`` denoising steps."""
    output = picture_stage(pipe, profile)(
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
) -> torch.Tensor:
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
