"""Reaching into a pipeline: its stages, its UNet, something else in a method's place; all as it was afterwards."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from diffusers import DiffusionPipeline, UNet2DConditionModel

from bfkit.profiles import PROFILES

STAGES = {profile.family.picture_stage for profile in PROFILES.values()} - {""}  # where combined pipelines draw


class DoesNotApply(ValueError):
    """A system by which this pipeline cannot draw, or not at this size or budget; the sentence says why."""


def drawing_stage(pipe: DiffusionPipeline) -> DiffusionPipeline:
    """The pipeline that holds the scheduler and calls the denoiser: of a combined pipeline, its second half."""
    return next((getattr(pipe, stage) for stage in STAGES if hasattr(pipe, stage)), pipe)


@contextmanager
def replaced(module: torch.nn.Module, name: str, method: Callable[..., Any]) -> Iterator[None]:
    """Another method in a module's place while entered."""
    own, before = name in vars(module), getattr(module, name)
    setattr(module, name, method)
    try:
        yield
    finally:
        if own:
            setattr(module, name, before)
        else:
            delattr(module, name)


def find_unet(pipe: DiffusionPipeline, name: str) -> UNet2DConditionModel:
    """The pipeline's UNet; ``DoesNotApply``, in an accelerator's name, if there is none.

    ValueError if its forward is not its own.
    """
    unet = getattr(drawing_stage(pipe), "unet", None)
    if not isinstance(unet, UNet2DConditionModel):
        raise DoesNotApply(
            f"{name} works inside a UNet and {type(pipe).__name__} has none: choose a pipeline of Stable Diffusion or "
            "SDXL, or an accelerator that changes the sampler alone"
        )
    if getattr(unet.forward, "__func__", None) is not type(unet).forward:
        raise ValueError(
            f"{name} needs the UNet's own forward, and something has replaced it (torch.compile, offloading, DeepCache "
            f"or a counter): enter {name} first, on the plain pipeline"
        )
    return unet


@contextmanager
def restored(module: torch.nn.Module) -> Iterator[None]:
    """On exit, each part of a module has the class and the attributes that it had on entry; hooks are not undone."""
    before = {part: (part.__class__, dict(vars(part))) for part in module.modules()}
    try:
        yield
    finally:
        for part, (kind, attributes) in before.items():
            part.__class__ = kind
            vars(part).clear()
            vars(part).update(attributes)
