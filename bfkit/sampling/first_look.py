"""What the denoiser shows at its first evaluation, before a picture's steps are chosen: a few hundred numbers.

Every step count begins with that evaluation, so what it shows costs nothing. It is looked at in two places: in the
middle of the network, where its view is widest (if its class names one), and at its end, as a coarse picture; and where
guidance evaluates without the words too, at what the words change of that picture.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float
from torch.nn import functional as F

CHANNELS = 128  # of the middle, at most: wider ones are averaged in groups
GRID = 4  # the end is averaged to so many by so many


def middle(denoiser: torch.nn.Module) -> torch.nn.Module | None:
    """The block halfway through a UNet or a transformer; None where a class of another make names none."""
    if (block := getattr(denoiser, "mid_block", None)) is not None:
        return block
    blocks = getattr(denoiser, "transformer_blocks", ())
    return blocks[len(blocks) // 2] if len(blocks) else None


@contextmanager
def _watched(module: torch.nn.Module | None) -> Iterator[list[torch.Tensor]]:
    """What a module returns while entered; of several tensors the last, which is the picture's in every family."""
    seen: list[torch.Tensor] = []

    def note(_module: torch.nn.Module, _inputs: Any, output: Any) -> None:
        tensors = [output] if isinstance(output, torch.Tensor) else [o for o in output if isinstance(o, torch.Tensor)]
        seen.append(tensors[-1].detach())

    handle = module.register_forward_hook(note) if module is not None else None
    try:
        yield seen
    finally:
        if handle is not None:
            handle.remove()


def looking(
    denoiser: torch.nn.Module, forward: Callable[..., Any], passes: int, *args: Any, **kwargs: Any
) -> tuple[Any, Float[torch.Tensor, "n d"]]:
    """An evaluation's own output, and what it shows of each picture: (N, D) float32 on the CPU.

    In two ``passes`` the batch holds every picture without its words first, then with them. A compiled forward
    is passed by, this once: it would not let anybody look inside.
    """
    with _watched(middle(denoiser)) as seen:
        output = getattr(forward, "_torchdynamo_orig_callable", forward)(*args, **kwargs)
    with torch.no_grad():
        shown = [_halves(_of_middle(view), passes)[0] for view in seen[:1]] + _halves(on_a_grid(output[0]), passes)
        return output, torch.cat(shown, dim=1).cpu()


def _halves(rows: torch.Tensor, passes: int) -> list[torch.Tensor]:
    """The rows with words, and beside them what the words change, where both were evaluated."""
    if passes == 1:
        return [rows]
    without, with_words = rows.chunk(2)
    return [with_words, with_words - without]


def _positions(view: torch.Tensor) -> torch.Tensor:
    """Channels first, positions after: (N, C, H, W), or (N, C, L) of a transformer's (N, L, C)."""
    return view.float() if view.ndim == 4 else view.float().transpose(1, 2)


def _of_middle(view: torch.Tensor) -> torch.Tensor:
    """Each channel's mean and spread over the picture: (N, 2C), of at most ``CHANNELS``."""
    rows = _positions(view).flatten(2)
    statistics = torch.stack([rows.mean(dim=2), rows.std(dim=2, correction=0)], dim=1)
    if rows.shape[1] > CHANNELS:
        statistics = F.adaptive_avg_pool1d(statistics, CHANNELS)
    return statistics.flatten(1)


def on_a_grid(view: torch.Tensor) -> torch.Tensor:
    """A latent on a coarse grid, (N, C * GRID * GRID); a transformer's row of patches in as many pieces."""
    rows = _positions(view)
    pooled = F.adaptive_avg_pool2d(rows, GRID) if rows.ndim == 4 else F.adaptive_avg_pool1d(rows, GRID * GRID)
    return pooled.flatten(1)
