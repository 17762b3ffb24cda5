"""Pictures looked at before their steps are chosen: the first evaluation is made once, and each goes on from it."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import torch
from diffusers import DiffusionPipeline
from jaxtyping import Float

from bfkit.models.pipelines import denoiser
from bfkit.profiles import Profile

from .conditioning import Conditioning
from .counting import counting, passes_of
from .first_look import looking, on_a_grid
from .generate import Drawn, denoise, drawn_in_parts, mended, sample
from .hooks import replaced


@dataclass(frozen=True)
class Looked:
    """A batch of N pictures whose first evaluation is made: its inputs and output, and what it showed, (N, D)."""

    conditioning: Conditioning
    features: Float[torch.Tensor, "n d"]
    first: tuple[Any, Any]
    passes: int  # of the evaluation, one after the other: 2 where guidance evaluates without the words too

    def rows(self, index: Sequence[int]) -> "Looked":
        """Some of the pictures."""

        def pick(tensors: Sequence[torch.Tensor]) -> torch.Tensor:
            return torch.cat([half[list(index)] for half in tensors[0].chunk(self.passes)])

        first = _changed([self.first], [self._evaluated()], pick)
        return Looked(self.conditioning.rows(index), self.features[list(index)], first, self.passes)

    @staticmethod
    def joined(parts: "Sequence[Looked]") -> "Looked":
        """The pictures of several batches in order, as if they had been looked at in one."""
        passes = parts[0].passes

        def join(tensors: Sequence[torch.Tensor]) -> torch.Tensor:
            return torch.cat([tensor.chunk(passes)[number] for number in range(passes) for tensor in tensors])

        first = _changed([part.first for part in parts], [part._evaluated() for part in parts], join)
        conditioning = Conditioning.joined([part.conditioning for part in parts])
        return Looked(conditioning, torch.cat([part.features for part in parts]), first, passes)

    def _evaluated(self) -> int:
        return self.passes * len(self.features)


def _changed(
    nests: Sequence[Any], rows: Sequence[int], change: Callable[[Sequence[torch.Tensor]], torch.Tensor]
) -> Any:
    """One nest of arguments from several alike: what ``change`` makes of tensors with so many rows, else the first's.

    A tensor that has as many rows by chance is changed too, and is then not the one that a sampling comes with: that
    costs it the shared evaluation, and changes no picture.
    """
    one = nests[0]
    if isinstance(one, torch.Tensor):
        by_row = all(tensor.ndim and len(tensor) == own for tensor, own in zip(nests, rows, strict=True))
        return change(nests) if by_row else one
    if isinstance(one, dict):
        return {key: _changed([nest[key] for nest in nests], rows, change) for key in one}
    if isinstance(one, list | tuple):
        return type(one)(_changed(values, rows, change) for values in zip(*nests, strict=True))
    return one


@torch.inference_mode()
def look_at(pipe: DiffusionPipeline, profile: Profile, conditioning: Conditioning) -> Looked:
    """Make the first evaluation of a batch, the one that every step count begins with, and no other."""
    with counting(pipe, profile, share_first=True) as count:
        denoise(pipe, profile, conditioning, 1, "latent")
    if count.look is None or count.first is None:
        raise RuntimeError(f"{type(pipe).__name__} has drawn without its {profile.family.denoiser}")
    return Looked(conditioning, count.look, count.first, count.passes)


def look_at_all(
    pipe: DiffusionPipeline, profile: Profile, conditioning: Conditioning, batch: int | None = None
) -> Looked:
    """``look_at`` for many pictures, ``batch`` at a time (default: the profile's), or as many as memory holds."""

    def look(part: Sequence[int]) -> Looked:
        return look_at(pipe, profile, conditioning.rows(part))

    return Looked.joined(list(drawn_in_parts(look, range(len(conditioning.states)), pipe, profile, batch)))


@torch.inference_mode()
def looks_on_the_way(
    pipe: DiffusionPipeline, profile: Profile, conditioning: Conditioning, steps: int
) -> tuple[Float[torch.Tensor, "n c"], list[Float[torch.Tensor, "n d"]]]:
    """The noise of a batch on a coarse grid, and what each evaluation of so many steps shows of its pictures."""
    module, passes = denoiser(pipe, profile), passes_of(profile)
    forward, noises, looks = module.forward, list[torch.Tensor](), list[torch.Tensor]()

    def watch(*args: Any, **kwargs: Any) -> Any:
        latents = args[0] if args else kwargs["sample" if "sample" in kwargs else "hidden_states"]
        noises.append(on_a_grid(latents.chunk(passes)[-1]).cpu())
        output, look = looking(module, forward, passes, *args, **kwargs)
        looks.append(look)
        return output

    with replaced(module, "forward", watch):
        denoise(pipe, profile, conditioning, steps, "latent")
    return noises[0], looks


def go_on(pipe: DiffusionPipeline, profile: Profile, looked: Looked, steps: int) -> Float[torch.Tensor, "n 3 h w"]:
    """The pictures (N, 3, H, W) in so many steps, as ``generate.sample`` draws them, in one evaluation less."""
    with counting(pipe, profile, share_first=True) as count:
        count.first = looked.first
        pictures = sample(pipe, profile, looked.conditioning, steps)
    if count.made >= steps:
        warnings.warn(
            f"the look has cost an evaluation: {type(pipe).__name__} does not begin {steps} steps as it begins one; "
            "its scheduler's timesteps may begin elsewhere with each count",
            stacklevel=2,
        )
    return pictures


def drawn_on(
    pipe: DiffusionPipeline,
    profile: Profile,
    looked: Looked,
    steps: Sequence[int],
    batch: int | None = None,
    wanted: Sequence[int] | None = None,
) -> Iterator[Drawn]:
    """Pictures that were looked at, each in its own steps, as by ``generate.drawn``: all, or those ``wanted``."""
    rows = sorted(range(len(steps)) if wanted is None else wanted, key=lambda row: steps[row])
    for count, own in groupby(rows, key=lambda row: steps[row]):

        def draw(part: Sequence[int], count: int = count) -> Drawn:
            some = looked.rows(part)
            images = mended(pipe, profile, some.conditioning, count, go_on(pipe, profile, some, count))
            return Drawn(tuple(part), images.cpu())

        yield from drawn_in_parts(draw, list(own), pipe, profile, batch)
