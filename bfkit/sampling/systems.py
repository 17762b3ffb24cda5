"""The systems as data, and how many steps each of them can afford for the cost of another."""

import itertools
import math
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from diffusers import DiffusionPipeline

from bfkit.profiles import Profile

from .accelerators import deep_cache, tome
from .conditioning import embed
from .cost import flop_counter
from .distrifusion import WARMUP, distrifusion
from .error_controlled import NAME as ERROR_CONTROLLED
from .error_controlled import SCALE, error_controlled
from .generate import MAX_STEPS, check_steps, sample
from .grids import SOLVERS, on_grid
from .hooks import DoesNotApply
from .samplers import ddim, dpm_solver, euler_ancestral, unipc


@dataclass(frozen=True)
class System:
    """One row of Table 2. ``with system(pipe):`` makes the pipeline draw by it, and leaves it as it was.

    For other settings, ``dataclasses.replace(system, settings={...})``.
    """

    name: str  # as in the table
    arxiv: str
    enter: Callable[..., AbstractContextManager[DiffusionPipeline]]
    needs: str
    timesteps: str  # how they are spaced
    settings: Mapping[str, Any] = field(default_factory=dict)
    in_denoiser: bool = False  # changes what a step computes: torch.compile and it do not go together
    alone: bool = False  # draws one picture at a time, in evaluations of its own number, about as many as asked for

    def __call__(self, pipe: DiffusionPipeline) -> AbstractContextManager[DiffusionPipeline]:
        return self.enter(pipe, **self.settings)

    @property
    def cycle(self) -> int:
        """After how many steps the cost of a step repeats."""
        return self.settings.get("interval", 1)

    @property
    def devices(self) -> int:
        """How many devices share a picture's cost."""
        return self.settings.get("patches", 1)


_BETAS = "a pipeline trained with a noise schedule of betas, not by flow matching"
_EITHER = "a pipeline trained with a noise schedule of betas, or by flow matching"
_UNET = "a pipeline with a UNet"
_ONWARDS = "steps + 1 values evenly from 999 to 0, rounded, the last one left out; then no noise"
_ON_FLOW = f"{_ONWARDS}; on a flow likewise, not rounded, then shifted as the pipeline shifts"
_SYSTEMS = (
    System("DDIM", "2010.02502", ddim, _BETAS, _ONWARDS),
    System("EulerAncestral", "2206.00364", euler_ancestral, f"{_BETAS}; one generator a picture",
           "steps values evenly from 999 to 0; a single one is 999"),
    System("DPM-Solver++ 2M", "2211.01095", dpm_solver, _EITHER, _ON_FLOW),
    System("UniPC", "2302.04867", unipc, _EITHER, _ON_FLOW),
    System("DeepCache", "2312.00858", deep_cache, f"{_UNET}; the package DeepCache", "the pipeline's",
           {"interval": 3, "branch": 0}, in_denoiser=True),
    System("ToMe", "2303.17604", tome, f"{_UNET} and transformer blocks in it; the package tomesd", "the pipeline's",
           {"ratio": 0.5}, in_denoiser=True),
    System("DistriFusion", "2402.19481", distrifusion, f"{_UNET}, its lowest resolution divisible by the patches",
           "the pipeline's", {"patches": 2, "warmup": WARMUP}, in_denoiser=True),
    *(System(f"{solver} on a grid", "2206.00364", on_grid, _BETAS, "levels of noise evenly in their 1 / rho-th power",
             {"solver": solver, "rho": 7.0, "lowest": 0.03}) for solver in SOLVERS),
    System(ERROR_CONTROLLED, "2206.00927", error_controlled, f"{_BETAS}; one picture at a time",
           "wherever a step's error is as large as its tolerance", {"scale": SCALE}, alone=True),
)  # fmt: skip
SYSTEMS: Mapping[str, System] = MappingProxyType({system.name: system for system in _SYSTEMS})


def systems_of(profile: Profile) -> dict[str, System]:
    """``SYSTEMS`` with the grids that were found for a profile; ValueError where they are none."""
    found = {}
    for solver, pair in profile.grids.items():
        numbers = [value for value in pair if isinstance(value, int | float)] if isinstance(pair, list | tuple) else []
        if solver not in SOLVERS or len(numbers) != 2:
            raise ValueError(
                f"{profile.source}: a grid is a solver of {', '.join(SOLVERS)} with its rho and lowest level, such as "
                f"Euler = [7.0, 0.03]; got {solver} = {pair!r}"
            )
        found[f"{solver} on a grid"] = dict(zip(("rho", "lowest"), map(float, numbers), strict=True))
    return {
        name: replace(system, settings={**system.settings, **found.get(name, {})}) for name, system in SYSTEMS.items()
    }


def count_tflops(pipe: DiffusionPipeline, profile: Profile, steps: int) -> tuple[float, ...]:
    """TFLOPs of each evaluation of the denoiser when one picture is drawn in ``steps`` steps, guidance included.

    A picture is really drawn, by whatever is entered, since what a step costs may depend on the steps before.
    """
    denoiser, before, costs = getattr(pipe, profile.family.denoiser), [], []
    conditioning = embed(pipe, profile, ["a picture"], [0])
    with (
        flop_counter() as counter,
        denoiser.register_forward_pre_hook(lambda *_: before.append(counter.get_total_flops())),
        denoiser.register_forward_hook(lambda *_: costs.append((counter.get_total_flops() - before[-1]) / 1e12)),
    ):
        sample(pipe, profile, conditioning, check_steps(steps))
    return tuple(costs)


@dataclass(frozen=True)
class Cost:
    """What the steps of a picture cost: TFLOPs of each step of a cycle, which repeats, on all devices together."""

    cycle: tuple[float, ...]
    devices: int = 1

    def tflops(self, steps: int) -> float:
        """Of a picture drawn in ``steps`` steps."""
        cycles, rest = divmod(check_steps(steps), len(self.cycle))
        return cycles * sum(self.cycle) + sum(self.cycle[:rest])

    def tflops_per_device(self, steps: int) -> float:
        """Each device's share of such a picture."""
        return self.tflops(steps) / self.devices

    def steps(self, tflops: float) -> int:
        """The largest number of steps in which a picture costs at most ``tflops``; ``DoesNotApply`` if that is none."""
        if not (tflops > 0 and math.isfinite(tflops)):
            raise ValueError(f"a budget must be a positive number of TFLOPs a picture; got {tflops}")
        cycles, rest = divmod(tflops * (1 + 1e-9), sum(self.cycle))  # sums of the same terms differ by rounding
        steps = int(cycles) * len(self.cycle) + sum(total <= rest for total in itertools.accumulate(self.cycle))
        if not steps:
            raise DoesNotApply(f"a budget of {tflops:.4g} TFLOPs a picture pays for no step of {self.cycle[0]:.4g}")
        return min(steps, MAX_STEPS)


def count_cost(pipe: DiffusionPipeline, profile: Profile, system: System | None = None) -> Cost:
    """What a picture costs by a system, or without one by the pipeline as it is, counted over one cycle of steps."""
    if system is None:
        return Cost(count_tflops(pipe, profile, 1))
    with system(pipe):
        return Cost(count_tflops(pipe, profile, system.cycle), system.devices)
