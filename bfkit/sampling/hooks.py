"""What the accelerators share: finding the UNet they hook into, and putting it back as it was."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from diffusers import DiffusionPipeline, UNet2DConditionModel


def drawing_stage(pipe: DiffusionPipeline) -> DiffusionPipeline:
    """The pipeline that holds the scheduler and calls the denoiser: of a combined pipeline, its second half."""
    return getattr(pipe, "decoder_pipe", pipe)


def find_unet(pipe: DiffusionPipeline, name: str) -> UNet2DConditionModel:
    """The pipeline's UNet; ValueError, in an accelerator's name, if there is none or its forward is not its own."""
    unet = getattr(drawing_stage(pipe), "unet", None)
    if not isinstance(unet, UNet2DConditionModel):
        raise ValueError(
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
