"""DistriFusion (arXiv 2402.19481): displaced patch parallelism, one patch of the picture a process.

The latent is cut into patches along its height. A step of denoising changes activations little, so a patch is computed
with its own fresh activations and with those that the other patches had one step before. Three kinds of layers look
beyond their patch; everything else, attention to the text included, is local:

- a 3 x 3 convolution takes the neighbours' boundary rows of the previous step;
- self-attention takes its own keys and values fresh and the other patches' from the previous step;
- group normalisation corrects the previous step's statistics of the whole by how much its own patch's have changed:
  E[A_t] = E[A_t+1] + (E[A_t^i] - E[A_t+1^i]), and the same of A^2 (Eq. 2 there).

What a layer sends to the others is not needed before the next step, so sending hides behind the computation. The first
layer's boundary rows are fresh, since every process has the whole latent, and the outputs are gathered at the end of
each step. In the first ``warmup`` steps, where the picture takes shape, all is exchanged synchronously, and the result
is the undivided UNet's.

The same code runs with one patch a process of ``torch.distributed``, and with all patches as a batch in one process,
which saves nothing and gives the same picture. A process a GPU, started by torchrun::

    dist.init_process_group("nccl")
    with distrifusion(pipe, dist.get_world_size(), group=dist.group.WORLD):
        pipe("a crowd in a park", generator=torch.Generator().manual_seed(0))  # the same call in every process
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
import torch.distributed as dist
from diffusers import DiffusionPipeline, UNet2DConditionModel
from diffusers.models.attention_processor import Attention
from torch import nn

from .hooks import DoesNotApply, drawing_stage, find_unet, restored

WARMUP = 5  # the paper's first step and four more


@contextmanager
def distrifusion(
    pipe: DiffusionPipeline, patches: int, warmup: int = WARMUP, group: dist.ProcessGroup | None = None
) -> Iterator[DiffusionPipeline]:
    """Run the UNet in ``patches`` along the height, the first ``warmup`` steps of each picture synchronously.

    Without a ``group``, this process computes all patches; with one, each of its processes computes its own and all of
    them get the whole picture. Raises ValueError for a pipeline without a UNet, for layers that cannot be split, and,
    when a picture is drawn, for a number of patches that does not divide its height at the UNet's lowest resolution.
    """
    unet = find_unet(pipe, "DistriFusion")
    if patches < 2:
        raise ValueError(f"DistriFusion with {patches} patches splits nothing: choose 2 or more")
    if warmup < 1:
        raise ValueError(f"DistriFusion with {warmup} synchronous steps has nothing to begin with: choose 1 or more")
    if group is not None and dist.get_world_size(group) != patches:
        raise ValueError(f"{patches} patches for {dist.get_world_size(group)} processes: DistriFusion takes one each")
    _check_layers(unet)
    split = _Split(drawing_stage(pipe), unet, patches, warmup, group)
    with restored(unet), ExitStack() as hooks:
        split.enter(hooks)
        yield pipe
        split.wait()


def _check_layers(unet: UNet2DConditionModel) -> None:
    """ValueError naming the first layer that looks beyond its patch in another way than is handled here."""
    for name, layer in unet.named_modules():
        wide = isinstance(layer, nn.Conv2d | nn.ConvTranspose2d) and layer.kernel_size[0] > 1
        usual = isinstance(layer, nn.Conv2d) and (layer.kernel_size[0], layer.dilation[0]) == (3, 1)
        usual = usual and layer.padding_mode == "zeros" and layer.padding != "same" and layer.padding[0] == 1
        fused = isinstance(layer, Attention) and layer.fused_projections
        if (wide and not usual) or fused:
            raise DoesNotApply(
                "DistriFusion splits 3 x 3 convolutions padded by 1 and attention whose projections are not fused, and "
                f"{name} of this UNet is neither: choose another UNet, or call unfuse_qkv_projections"
            )
    if unet.config["center_input_sample"]:
        raise DoesNotApply("DistriFusion needs a UNet without center_input_sample: choose another one")


def _reads_the_picture(attention: Attention) -> bool:
    """Whether keys and values come from the picture: self-attention, alone or beside added text keys (Kandinsky)."""
    return not attention.is_cross_attention or attention.added_kv_proj_dim is not None


def _edges(patches: torch.Tensor) -> torch.Tensor:
    """First and last row of each patch: (..., h, W) to (..., 2, W)."""
    return torch.stack((patches[..., 0, :], patches[..., -1, :]), dim=-2)


class _Split:
    """The patches of one picture, or batch of pictures, on their way through the steps.

    Inside the UNet, the patches that this process computes stand one after another along the batch: (own x N, ...).
    """

    def __init__(
        self,
        pipe: DiffusionPipeline,
        unet: UNet2DConditionModel,
        patches: int,
        warmup: int,
        group: dist.ProcessGroup | None,
    ) -> None:
        self.pipe, self.unet, self.patches, self.warmup, self.group = pipe, unet, patches, warmup, group
        first = 0 if group is None else dist.get_rank(group)
        self.own = range(first, first + (patches if group is None else 1))
        self.scale = 2 ** sum(bool(block.downsamplers) for block in unet.down_blocks)
        self.picture: tuple[torch.Tensor, torch.Size] | None = None  # what tells one picture from the next
        self.steps = 0  # of this picture, the present one included
        self.input_edges = torch.empty(0)  # first and last rows of the latent's patches
        self.sent: dict[nn.Module, tuple[torch.Tensor, dist.Work | None]] = {}  # what each layer let the others know

    def enter(self, hooks: ExitStack) -> None:
        """Hook into every layer that looks beyond its patch."""
        hooks.enter_context(self.unet.register_forward_pre_hook(self.cut, with_kwargs=True))
        hooks.enter_context(self.unet.register_forward_hook(self.join))
        for layer in self.unet.modules():
            if isinstance(layer, nn.GroupNorm):
                layer.forward = partial(self.normalise, layer)
            elif isinstance(layer, nn.Conv2d) and layer.kernel_size[0] > 1 and not isinstance(layer.padding, str):
                layer.padding = (0, layer.padding[1])  # the rows above and below come from the neighbours
                hooks.enter_context(layer.register_forward_pre_hook(self.surround))
            elif isinstance(layer, Attention) and _reads_the_picture(layer):
                for projection in (layer.to_k, layer.to_v):
                    if projection is not None:  # as they are where added text keys are all that is read
                        hooks.enter_context(projection.register_forward_hook(self.complete))

    # --- from one process to the others -----------------------------------------------------------------------------

    def gather(self, own: torch.Tensor) -> tuple[torch.Tensor, dist.Work | None]:
        """Begin to collect all patches' tensors: (own, ...) to (patches, ...), to be had from ``received``."""
        if self.group is None:
            return own, None
        own = own.contiguous()
        every = own.new_empty((self.patches, *own.shape[1:]))
        return every, dist.all_gather_into_tensor(every, own, group=self.group, async_op=True)

    @staticmethod
    def received(sent: tuple[torch.Tensor, dist.Work | None]) -> torch.Tensor:
        every, work = sent
        if work is not None:
            work.wait()
        return every

    def exchange(self, layer: nn.Module, own: torch.Tensor) -> torch.Tensor:
        """All patches' tensors of this layer: of this step while it is synchronous, of the previous one afterwards."""
        if self.steps > self.warmup:
            before = self.received(self.sent[layer])
            self.sent[layer] = self.gather(own)
            return before
        every = self.received(self.gather(own))
        self.sent[layer] = every, None
        return every

    def wait(self) -> None:
        """Nothing is left on its way."""
        for sent in self.sent.values():
            self.received(sent)

    def by_patch(self, batch: torch.Tensor) -> torch.Tensor:
        """(own x N, ...) to (own, N, ...)."""
        return batch.unflatten(0, (len(self.own), -1))

    # --- the UNet as a whole ----------------------------------------------------------------------------------------

    def cut(self, _: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple, dict]:
        """Before the UNet: the latent's own patches along the batch, and every other input once for each."""
        kwargs = dict(kwargs)
        sample, *rest = args or (kwargs.pop("sample"),)
        height = sample.shape[2]
        if height % (self.patches * self.scale):
            usable = [count for count in range(2, self.patches) if not height % (count * self.scale)]
            way_out = f"the largest smaller number that does is {usable[-1]}" if usable else "choose another height"
            raise DoesNotApply(
                f"{self.patches} patches do not divide the {height / self.scale:g} rows of this picture at the UNet's "
                f"lowest resolution: {way_out}"
            )
        timesteps = self.pipe.scheduler.timesteps  # a new tensor for every picture
        if self.picture is None or self.picture[0] is not timesteps or self.picture[1] != sample.shape:
            self.picture, self.steps = (timesteps, sample.shape), 0
        self.steps += 1
        whole = sample.unflatten(2, (self.patches, -1)).movedim(2, 0)
        self.input_edges = _edges(whole)

        def for_each_patch(value: Any) -> Any:
            if isinstance(value, dict):
                return {key: for_each_patch(part) for key, part in value.items()}
            if isinstance(value, torch.Tensor) and value.ndim and len(value) == len(sample):
                return value.repeat(len(self.own), *[1] * (value.ndim - 1))
            return value

        own = whole[self.own.start : self.own.stop].flatten(0, 1)
        return (own, *map(for_each_patch, rest)), for_each_patch(kwargs)

    def join(self, _: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
        """After the UNet: the whole latent's output, from all patches of this step."""
        every = self.received(self.gather(self.by_patch(output[0])))
        whole = every.movedim(0, 2).flatten(2, 3)
        return (whole,) if isinstance(output, tuple) else type(output)(sample=whole)

    # --- the layers that look beyond their patch --------------------------------------------------------------------

    def surround(self, layer: nn.Conv2d, args: tuple[torch.Tensor]) -> torch.Tensor:
        """Before a convolution: the neighbours' rows above and below; beyond the picture, zeros."""
        own = self.by_patch(args[0])
        every = self.input_edges if layer is self.unet.conv_in else self.exchange(layer, _edges(own))
        nothing = torch.zeros_like(every[:1, ..., :1, :])
        above = torch.cat((nothing, every[:-1, ..., 1:, :]))[self.own.start : self.own.stop]
        below = torch.cat((every[1:, ..., :1, :], nothing))[self.own.start : self.own.stop]
        return torch.cat((above, own, below), dim=-2).flatten(0, 1)

    def complete(self, layer: nn.Module, args: tuple[torch.Tensor], output: torch.Tensor) -> torch.Tensor:
        """After a projection to keys or values: all patches' tokens, (own x N, T, C) to (own x N, patches x T, C)."""
        own = self.by_patch(output)
        every = self.exchange(layer, own)
        full = [torch.cat((every[:i], mine[None], every[i + 1 :])) for i, mine in zip(self.own, own, strict=True)]
        return torch.stack(full).movedim(1, 2).flatten(2, 3).flatten(0, 1)

    def normalise(self, layer: nn.GroupNorm, input: torch.Tensor) -> torch.Tensor:
        """Group normalisation with Eq. 2's statistics; where they give a negative variance, with the patch's own."""
        groups = input.unflatten(1, (layer.num_groups, -1)).flatten(2).float()
        own_variance, own_mean = torch.var_mean(groups, dim=-1, correction=0)
        own = self.by_patch(torch.stack((own_mean, own_variance + own_mean.square()), dim=-1))
        every = self.exchange(layer, own)
        estimate = every.mean(0) + (own - every[self.own.start : self.own.stop])
        mean, square = estimate.flatten(0, 1).unbind(-1)
        variance = square - mean.square()
        variance = torch.where(variance < 0, own_variance, variance)
        normal = (groups - mean[..., None]) * torch.rsqrt(variance + layer.eps)[..., None]
        normal = normal.view(input.shape).to(input.dtype)
        if not layer.affine:
            return normal
        shape = (-1, *[1] * (input.ndim - 2))
        return normal * layer.weight.view(shape) + layer.bias.view(shape)
