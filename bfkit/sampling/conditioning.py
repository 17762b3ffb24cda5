"""The text stage of any diffusers pipeline: prompts and seeds to what a batch of pictures is drawn from."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from diffusers import DiffusionPipeline

from bfkit.memory import in_parts
from bfkit.models.pipelines import calling, make_room
from bfkit.profiles import Profile


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

    @staticmethod
    def joined(parts: "Sequence[Conditioning]") -> "Conditioning":
        """The pictures of several, in order."""
        texts = {name: torch.cat([part.texts[name] for part in parts]) for name in parts[0].texts}
        return Conditioning(texts, tuple(state for part in parts for state in part.states))

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

    At most ``profile.batch`` texts run at once: with a batch of one, no text depends on its company, not even by
    rounding. A text stage that draws (Kandinsky's prior) runs once a picture, from its seed. A prompt longer than the
    model reads is cut, with a warning by diffusers. ValueError if memory does not hold a single text.
    """
    combined = isinstance(getattr(pipe, profile.family.text_stage), DiffusionPipeline)
    asked = list(zip(prompts, seeds, strict=True))
    texts = asked if combined else [(prompt, 0) for prompt in dict.fromkeys(prompts)]
    parts = list(
        in_parts(
            lambda part: _embed(pipe, profile, *zip(*part, strict=True)),
            texts,
            min(len(texts), profile.batch),
            owner=pipe,
            what=f"text of {profile.name}",
            device=pipe.device,
            relief=lambda: make_room(pipe, profile),
        )
    )
    joined = Conditioning.joined(parts)
    if combined:
        return joined
    rows = [texts.index((prompt, 0)) for prompt in prompts]
    states = tuple(torch.Generator().manual_seed(int(seed)).get_state() for seed in seeds)
    return Conditioning({name: _at(tensor, rows) for name, tensor in joined.texts.items()}, states)


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
