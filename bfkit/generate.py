"""Prompt x seed x step count to pictures, through any diffusers text-to-image pipeline.

The noise of a picture depends on its seed alone: not on the prompt, the batch or the shard it is drawn in.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import diffusers
import torch
import transformers
from diffusers import DiffusionPipeline, EulerDiscreteScheduler, StableDiffusionPipeline

from .profiles import Profile

FIRST_TIMESTEP = 999  # where sampling starts from pure noise
MAX_STEPS = 1000


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


@contextmanager
def _without_progress_bars() -> Iterator[None]:
    """Loading takes a second: the libraries' bars for it would only hide the bars of long work."""
    libraries = (diffusers.utils.logging, transformers.utils.logging)
    for library in libraries:
        library.disable_progress_bar()
    try:
        yield
    finally:
        for library in libraries:
            library.enable_progress_bar()


def load_pipeline(profile: Profile, device: torch.device | str = "cpu") -> DiffusionPipeline:
    """The profile's pipeline with Euler and the profile's timestep spacing, in float32.

    Raises FileNotFoundError with a way out where a local folder has no pipeline in it.
    """
    folder = Path(profile.pipeline)
    local = folder.is_absolute() or folder.is_dir()
    if local and not (folder / "model_index.json").is_file():
        raise FileNotFoundError(
            f"no pipeline in {folder}: model_index.json is missing; train the miniature with "
            "`python -m bfkit.mini.train` or name another folder"
        )
    with _without_progress_bars():
        pipe = StableDiffusionPipeline.from_pretrained(
            profile.pipeline, dtype=torch.float32, use_safetensors=True, local_files_only=local
        )
    pipe.scheduler = EulerDiscreteScheduler.from_config(pipe.scheduler.config, timestep_spacing=profile.spacing)
    pipe.set_progress_bar_config(disable=True)
    return pipe.to(device)


def noise(pipe: DiffusionPipeline, seeds: Sequence[int], size: int) -> torch.Tensor:
    """Initial noise of unit variance, each seed's from its own CPU generator: (len(seeds), C, h, w) float32."""
    side = size // pipe.vae_scale_factor
    shape = (1, pipe.unet.config.in_channels, side, side)
    return torch.cat([torch.randn(shape, generator=torch.Generator().manual_seed(int(seed))) for seed in seeds])


class EvaluationCounter:
    """Counts the denoiser's evaluations while it is entered: a guided evaluation of a batch counts once a picture."""

    def __init__(self, pipe: DiffusionPipeline) -> None:
        self.module, self.calls = pipe.unet, 0

    def __enter__(self) -> "EvaluationCounter":
        def count(*_: object) -> None:
            self.calls += 1

        self._handle = self.module.register_forward_hook(count)
        return self

    def __exit__(self, *_: object) -> None:
        self._handle.remove()


@dataclass(frozen=True)
class PromptEmbeddings:
    """A list of prompts embedded once: with and, for guidance, without their words. Rows match the prompts."""

    words: torch.Tensor
    nothing: torch.Tensor | None

    def rows(self, index: Sequence[int]) -> dict[str, torch.Tensor | None]:
        """The pipeline's arguments for these rows."""
        index = torch.as_tensor(index)
        return {
            "prompt_embeds": self.words[index],
            "negative_prompt_embeds": None if self.nothing is None else self.nothing[index],
        }


@torch.inference_mode()
def embed_prompts(pipe: DiffusionPipeline, prompts: Sequence[str], guidance: float) -> PromptEmbeddings:
    """Run the text encoder once over the prompts; a prompt longer than it reads is cut, with a warning by diffusers."""
    guided = guidance > 1
    words, nothing = pipe.encode_prompt(
        list(prompts), pipe._execution_device, num_images_per_prompt=1, do_classifier_free_guidance=guided
    )
    return PromptEmbeddings(words, nothing if guided else None)


@torch.inference_mode()
def sample(
    pipe: DiffusionPipeline,
    embeddings: dict[str, torch.Tensor | None],
    latents: torch.Tensor,
    steps: int,
    guidance: float,
) -> torch.Tensor:
    """One batch of pictures (N, 3, H, W) float32 in [0, 1] on the pipeline's device, in ``steps`` denoising steps.

    With one step, Euler's linspace would pick timestep 0, where there is no noise to remove: the step is taken at 999.
    """
    when = {"timesteps": [FIRST_TIMESTEP]} if steps == 1 else {"num_inference_steps": steps}
    output = pipe(
        **embeddings, **when, latents=latents.to(pipe._execution_device), guidance_scale=guidance, output_type="pt"
    )
    return output.images.float()


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
    embeddings = embed_prompts(pipe, prompts, profile.guidance)
    pictures = []
    size = batch or profile.batch
    for start in range(0, len(prompts), size):
        rows = range(start, min(start + size, len(prompts)))
        latents = noise(pipe, [seeds[row] for row in rows], profile.image_size)
        pictures.append(sample(pipe, embeddings.rows(rows), latents, steps, profile.guidance).cpu())
    return torch.cat(pictures)
