"""Shortcuts inside a UNet, at the same sampler: deep features kept for some steps (DeepCache), tokens merged (ToMe)."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from diffusers import DiffusionPipeline, UNet2DConditionModel
from diffusers.models.attention import BasicTransformerBlock

from bfkit.extras import extra

from .hooks import DoesNotApply, drawing_stage, find_unet, restored

INPUTS = ("sample", "timestep", "encoder_hidden_states")  # the UNet's arguments that both packages expect by position
MOST_MERGED = 0.75  # of each 2 x 2 tokens, one always stays


def _by_position(unet: UNet2DConditionModel, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """A hook: pipelines may name the UNet's arguments; both packages look for them by position."""
    named = [kwargs.pop(name) for name in INPUTS[len(args) :] if name in kwargs]
    return (*args, *named), kwargs


@contextmanager
def deep_cache(pipe: DiffusionPipeline, interval: int = 3, branch: int = 0) -> Iterator[DiffusionPipeline]:
    """DeepCache (arXiv 2312.00858): every ``interval``-th step is whole, the others reuse its deep features.

    ``branch`` is how deep the shallow part reaches that every step computes anew: 0 is the UNet's outermost layer, each
    block has three. Needs the package DeepCache. ValueError for a pipeline without a UNet or settings that do nothing.
    """
    unet = find_unet(pipe, "DeepCache")
    if interval < 2:
        raise ValueError(f"DeepCache with an interval of {interval} caches nothing: choose 2 or more")
    if not 0 <= branch < 3 * len(unet.down_blocks):
        raise ValueError(f"no branch {branch} for DeepCache: this UNet has 0 to {3 * len(unet.down_blocks) - 1}")
    with extra("baselines"):
        from DeepCache import DeepCacheSDHelper
    helper = DeepCacheSDHelper(drawing_stage(pipe))
    helper.set_params(cache_interval=interval, cache_branch_id=branch)
    # its own disable() leaves a forward on every module, and fails where enable() did not get through
    with restored(unet), unet.register_forward_pre_hook(_by_position, with_kwargs=True):
        helper.enable()
        yield pipe


def _shallowest_attention(unet: UNet2DConditionModel) -> int:
    """How much smaller than the latent its largest map with transformer blocks is; ``DoesNotApply`` without one."""
    for level, block in enumerate(unet.down_blocks):
        if any(isinstance(part, BasicTransformerBlock) for part in block.modules()):
            return 2**level
    raise DoesNotApply("ToMe merges tokens of transformer blocks, and this UNet has none going down: choose DeepCache")


@contextmanager
def tome(pipe: DiffusionPipeline, ratio: float = 0.5) -> Iterator[DiffusionPipeline]:
    """Token merging (arXiv 2303.17604): self-attention of the largest maps runs on a share of 1 - ``ratio`` of tokens.

    Needs the package tomesd, which by default looks for attention at the latent's own size: SDXL and the miniature have
    none there, so here the largest maps that have attention are meant. Which tokens of each 2 x 2 stay is drawn anew at
    each timestep, the same for every picture. ValueError for a pipeline without a UNet or a ratio that merges nothing.
    """
    unet = find_unet(pipe, "ToMe")
    if not 0 < ratio <= MOST_MERGED:
        raise ValueError(f"ToMe merges a share of the tokens above 0 and up to {MOST_MERGED}; got {ratio}")
    smaller = _shallowest_attention(unet)
    with extra("baselines"):
        import tomesd
    generator = torch.Generator(unet.device)

    def prepare(_: UNet2DConditionModel, args: tuple[Any, ...]) -> None:
        height, width = (-(-size // smaller) for size in args[0].shape[-2:])
        if int(height * width * ratio) < 1:
            raise DoesNotApply(f"ToMe merges none of {height} x {width} tokens at ratio {ratio}: choose a larger one")
        # tomesd draws from a copy of the global generator, which would tie a picture to what was drawn before it
        generator.manual_seed(int(args[1]))

    with restored(unet), ExitStack() as hooks:
        hooks.enter_context(unet.register_forward_pre_hook(_by_position, with_kwargs=True))
        hooks.enter_context(unet.register_forward_pre_hook(prepare))
        hooks.callback(tomesd.remove_patch, unet)
        tomesd.apply_patch(unet, ratio=ratio, max_downsample=smaller)
        unet._tome_info["args"]["generator"] = generator
        yield pipe
