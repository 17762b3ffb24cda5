"""Loading a diffusers text-to-image pipeline of any family, and where in it things are."""

import inspect
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, cast
from weakref import WeakSet

import diffusers
import torch
import transformers
from diffusers import AutoPipelineForText2Image, DiffusionPipeline

from bfkit.devices import use_device
from bfkit.memory import attempt, if_it_fits, release
from bfkit.profiles import Profile

from .hub import hub_reason, is_local
from .schedulers import EulerFromNoise

LARGE = 2 * 2**30  # bytes; CLIP's text models take less, and to move them would win no room

_TAKING_TURNS: WeakSet[DiffusionPipeline] = WeakSet()


def denoiser(pipe: DiffusionPipeline, profile: Profile) -> torch.nn.Module:
    """The network that is evaluated once a step: a UNet or a transformer."""
    return getattr(pipe, profile.family.denoiser)


def picture_stage(pipe: DiffusionPipeline, profile: Profile) -> DiffusionPipeline:
    """The pipeline that denoises and decodes: all of it, or the second half of a combined one."""
    return getattr(pipe, profile.family.picture_stage) if profile.family.picture_stage else pipe


def calling(pipe: DiffusionPipeline) -> Callable[..., Any]:
    """A pipeline as what draws when it is called: every kind is, and diffusers' base class does not say so."""
    return cast("Callable[..., Any]", pipe)


def decoder(pipe: DiffusionPipeline, profile: Profile) -> Any:
    """The autoencoder that makes pictures of latents: a torch module, of one of several classes."""
    stage = picture_stage(pipe, profile)
    return getattr(stage, "vae", None) or stage.movq


def compile_denoiser(pipe: DiffusionPipeline, profile: Profile) -> None:
    """Compile what is evaluated once a step; what counts evaluations around its call stays."""
    module = denoiser(pipe, profile)
    module.forward = torch.compile(module.forward)


def use_scheduler(pipe: DiffusionPipeline, profile: Profile) -> None:
    """Give a pipeline the profile's scheduler, configured as the pipeline's own was but for the timestep spacing."""
    stage, name = picture_stage(pipe, profile), profile.family.scheduler
    kind = EulerFromNoise if name == "EulerDiscreteScheduler" else getattr(diffusers, name)
    options = {"timestep_spacing": profile.spacing, **dict(profile.family.scheduler_options)}
    known = inspect.signature(kind).parameters  # flow matching has no spacing to choose
    options = {key: value for key, value in options.items() if key in known}
    stage.scheduler = pipe.scheduler = kind.from_config(stage.scheduler.config, **options)


@contextmanager
def without_progress_bars() -> Iterator[None]:
    """Loading or saving local files takes a second: the libraries' bars would only hide the bars of long work."""
    libraries = (diffusers.utils.logging, transformers.utils.logging)
    for library in libraries:
        library.disable_progress_bar()
    try:
        yield
    finally:
        for library in libraries:
            library.enable_progress_bar()


def load_pipeline(
    profile: Profile, device: torch.device | str | None = None, offload: bool = False, *, fetch: bool = True
) -> DiffusionPipeline:
    """The profile's pipeline with its scheduler and timestep spacing, in its dtype, on a device.

    Safetensors only, and no code from the hub is run. A safety checker or watermark is taken out: both change pictures
    that are about to be measured. With ``offload``, or where the device does not hold all at once, ``take_turns``. With
    ``fetch=False`` nothing comes from the hub but what this machine has of it.
    Raises FileNotFoundError, with a way out, for a model that is not there or does not load; ValueError for a device
    that is not there or cannot hold the model, or for models that cannot take turns.
    """
    device = use_device(device)
    folder, local = Path(profile.pipeline), is_local(profile.pipeline)
    if local and not (folder / "model_index.json").is_file():
        raise FileNotFoundError(
            f"no pipeline in {folder}: model_index.json is missing; train the miniature with "
            "`python -m bfkit.mini.train` or name another folder"
        )
    pipe = attempt(lambda: _load(profile, local or not fetch), profile.pipeline, "cpu")
    for part in ("safety_checker", "watermark"):
        if getattr(pipe, part, None) is not None:
            setattr(pipe, part, None)
    use_scheduler(pipe, profile)
    pipe.set_progress_bar_config(disable=True)
    if device.type == "cuda":
        for network in (denoiser(pipe, profile), decoder(pipe, profile)):
            # what convolutions on tensor cores want; torch's overloads lack it
            network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    if offload and not take_turns(pipe, profile, device):
        raise ValueError(f"the models of {profile.name} cannot take turns on {device}: leave the offloading out")
    if not offload:
        _place(pipe, profile, device)
    return pipe


def _load(profile: Profile, here: bool) -> DiffusionPipeline:
    options = {"dtype": getattr(torch, profile.dtype), "use_safetensors": True, "local_files_only": here}
    options |= {name: value for name in ("revision", "variant") if (value := getattr(profile, name))}
    try:
        with without_progress_bars() if here else nullcontext():
            return AutoPipelineForText2Image.from_pretrained(profile.pipeline, **options)
    except (OSError, ValueError, AttributeError, KeyError) as error:
        way_out = "name another model or a local folder in the profile's `pipeline`"
        first = str(error).partition("\n")[0]
        why = f"{profile.pipeline} does not load as a text-to-image pipeline ({first}): {way_out}"
        raise FileNotFoundError(hub_reason(profile.pipeline, error, way_out) or why) from error


# --- on the device --------------------------------------------------------------------------------------------------


def _place(pipe: DiffusionPipeline, profile: Profile, device: torch.device) -> None:
    """Put all of a pipeline on a device, or have its models take turns there."""
    if if_it_fits(lambda: pipe.to(device)) is not None:
        return
    pipe.to("cpu")
    if attempt(lambda: take_turns(pipe, profile, device), profile.pipeline, device):
        warnings.warn(
            f"{device} does not hold {profile.pipeline} at once: its text models and its denoiser take turns there, as "
            "with offloading asked for",
            stacklevel=3,
        )
    else:
        attempt(lambda: pipe.to(device), profile.pipeline, device)


def text_models(pipe: DiffusionPipeline) -> list[torch.nn.Module]:
    """The networks that only the text stage needs; of T5's kind they take more memory than a small denoiser."""
    parts = pipe.components.items()
    return [part for name, part in parts if name.startswith("text_encoder") and isinstance(part, torch.nn.Module)]


def take_turns(pipe: DiffusionPipeline, profile: Profile, device: torch.device | str) -> bool:
    """Let the text models and the denoiser be on the device one at a time from now on, each when it is called.

    What waits is in the CPU's memory; the autoencoder, which is small, stays. diffusers' own
    ``enable_model_cpu_offload`` renews its hooks after every call of the pipeline, and what has been put around a
    forward in between, a counter or a compiled one, would be lost. False, and nothing is done, where they do so already
    or the text stage is a pipeline of its own.
    """
    if pipe in _TAKING_TURNS or profile.family.picture_stage:
        return False
    turns, here = [*text_models(pipe), denoiser(pipe, profile)], []
    for part in pipe.components.values():
        if isinstance(part, torch.nn.Module):
            part.to("cpu" if part in turns else device)

    def come(module: torch.nn.Module, _: object) -> None:
        if module not in here:
            with torch.inference_mode(False):  # tensors that are moved in it could not be changed outside of it
                for other in here:
                    other.to("cpu")
                here.clear()
                release()
                module.to(device)
            here.append(module)

    for part in turns:
        part.register_forward_pre_hook(come)
    _TAKING_TURNS.add(pipe)
    return True


def make_room(pipe: DiffusionPipeline, profile: Profile) -> bool:
    """Let text models as large as T5 make room on a GPU, by ``take_turns``; True if there is more room now."""
    weights = [parameter for part in text_models(pipe) for parameter in part.parameters()]
    large = sum(weight.numel() * weight.element_size() for weight in weights) >= LARGE
    return pipe.device.type == "cuda" and large and take_turns(pipe, profile, pipe.device)


@contextmanager
def in_float32(*modules: torch.nn.Module) -> Iterator[None]:
    """Let modules compute in float32 while entered; afterwards every tensor of theirs is as it was."""

    def tensors() -> list[torch.Tensor]:
        return [tensor for module in modules for tensor in (*module.parameters(), *module.buffers())]

    before = [tensor.dtype for tensor in tensors()]
    try:
        with torch.inference_mode(False):
            for tensor in tensors():
                tensor.data = tensor.data.float() if tensor.is_floating_point() else tensor.data
        yield
    finally:
        with torch.inference_mode(False):
            for tensor, dtype in zip(tensors(), before, strict=True):
                tensor.data = tensor.data.to(dtype)
