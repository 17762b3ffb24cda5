"""Loading a diffusers text-to-image pipeline of any family, and where in it things are."""

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import diffusers
import torch
import transformers
from diffusers import AutoPipelineForText2Image, DiffusionPipeline
from huggingface_hub.errors import GatedRepoError, LocalEntryNotFoundError, RepositoryNotFoundError

from bfkit.devices import use_device
from bfkit.profiles import Profile

FIRST_TIMESTEP = 999  # where sampling starts from pure noise


class EulerFromNoise(diffusers.EulerDiscreteScheduler):
    """Euler whose single step starts from noise: with one step, ``linspace`` picks timestep 0, where there is none."""

    def set_timesteps(
        self,
        num_inference_steps: int | None = None,
        device: torch.device | str | None = None,
        timesteps: list[int] | None = None,  # named, because pipelines look for them
        sigmas: list[float] | None = None,
    ) -> None:
        if num_inference_steps == 1 and timesteps is None and sigmas is None:
            num_inference_steps, timesteps = None, [FIRST_TIMESTEP]
        super().set_timesteps(num_inference_steps, device, timesteps, sigmas)


def denoiser(pipe: DiffusionPipeline, profile: Profile) -> torch.nn.Module:
    """The network that is evaluated once a step: a UNet or a transformer."""
    return getattr(pipe, profile.family.denoiser)


def picture_stage(pipe: DiffusionPipeline, profile: Profile) -> DiffusionPipeline:
    """The pipeline that denoises and decodes: all of it, or the second half of a combined one."""
    return getattr(pipe, profile.family.picture_stage) if profile.family.picture_stage else pipe


def calling(pipe: DiffusionPipeline) -> Callable[..., Any]:
    """A pipeline as what draws when it is called: every kind is, and diffusers' base class does not say so."""
    return cast("Callable[..., Any]", pipe)


def use_scheduler(pipe: DiffusionPipeline, profile: Profile) -> None:
    """Give a pipeline the profile's scheduler, configured as the pipeline's own was but for the timestep spacing."""
    stage, name = picture_stage(pipe, profile), profile.family.scheduler
    kind = EulerFromNoise if name == "EulerDiscreteScheduler" else getattr(diffusers, name)
    options = {"timestep_spacing": profile.spacing, **dict(profile.family.scheduler_options)}
    known = inspect.signature(kind).parameters  # flow matching has no spacing to choose
    options = {key: value for key, value in options.items() if key in known}
    stage.scheduler = pipe.scheduler = kind.from_config(stage.scheduler.config, **options)


@contextmanager
def _without_progress_bars() -> Iterator[None]:
    """Loading local files takes a second: the libraries' bars for it would only hide the bars of long work."""
    libraries = (diffusers.utils.logging, transformers.utils.logging)
    for library in libraries:
        library.disable_progress_bar()
    try:
        yield
    finally:
        for library in libraries:
            library.enable_progress_bar()


def _why(name: str, error: Exception) -> str:
    """One sentence on a pipeline that did not load, and the way out."""
    causes: list[BaseException] = [error]
    while cause := causes[-1].__cause__ or causes[-1].__context__:
        causes.append(cause)
    way_out = "name another model or a local folder in the profile's `pipeline`"
    if any(isinstance(cause, GatedRepoError) for cause in causes):
        return f"{name} is gated: accept its licence on huggingface.co and run `hf auth login`, or {way_out}"
    if any(isinstance(cause, RepositoryNotFoundError) for cause in causes):
        return f"there is no model {name} on the hub, or it is private: {way_out}"
    if any(isinstance(cause, LocalEntryNotFoundError) for cause in causes):
        return f"{name} is not on this machine and the hub cannot be reached: connect once to fetch it, or {way_out}"
    return f"{name} does not load as a text-to-image pipeline ({str(error).splitlines()[0]}): {way_out}"


def load_pipeline(profile: Profile, device: torch.device | str | None = None) -> DiffusionPipeline:
    """The profile's pipeline with its scheduler and timestep spacing, in its dtype, on a device.

    Safetensors only, and no code from the hub is run. A safety checker or watermark is taken out: both change pictures
    that are about to be measured. Raises FileNotFoundError, with a way out, for a model that is not there or does not
    load; ValueError for a device that is not there or cannot hold the model.
    """
    device = use_device(device)
    folder = Path(profile.pipeline)
    local = folder.is_absolute() or folder.is_dir()
    if local and not (folder / "model_index.json").is_file():
        raise FileNotFoundError(
            f"no pipeline in {folder}: model_index.json is missing; train the miniature with "
            "`python -m bfkit.mini.train` or name another folder"
        )
    options = {"dtype": getattr(torch, profile.dtype), "use_safetensors": True, "local_files_only": local}
    try:
        if local:
            with _without_progress_bars():
                pipe = AutoPipelineForText2Image.from_pretrained(profile.pipeline, **options)
        else:
            pipe = AutoPipelineForText2Image.from_pretrained(profile.pipeline, **options)
    except (OSError, ValueError, AttributeError) as error:
        raise FileNotFoundError(_why(profile.pipeline, error)) from error
    for part in ("safety_checker", "watermark"):
        if getattr(pipe, part, None) is not None:
            setattr(pipe, part, None)
    use_scheduler(pipe, profile)
    pipe.set_progress_bar_config(disable=True)
    try:
        pipe.to(device)
    except torch.OutOfMemoryError:
        raise ValueError(
            f"{device} has too little memory for {profile.pipeline}: use a larger device or a smaller profile"
        ) from None
    if device.type == "cuda":
        # what convolutions on tensor cores want; torch's overloads lack it
        denoiser(pipe, profile).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    return pipe
