"""Noise levels spaced by a rule of their own, the same for every picture: what a step count is spent on.

Which levels a sampler stops at decides as much as how often it stops. One family holds the usual spacings (Karras et
al., arXiv 2206.00364, Eq. 5): levels from the highest down to ``lowest``, evenly in their 1 / rho-th power, and evenly
in logarithms where rho is infinite; then to no noise at all. ``evaluation.grids`` looks for the best one.
"""

import math
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from diffusers import DiffusionPipeline, DPMSolverMultistepScheduler, EulerDiscreteScheduler

from .hooks import DoesNotApply
from .samplers import UniPC, sampling_by

SOLVERS = ("Euler", "DPM-Solver++ 2M", "UniPC")


@dataclass(frozen=True)
class Grid:
    """A spacing of noise levels, in units of sigma = sqrt((1 - alpha-bar) / alpha-bar)."""

    rho: float = 7.0  # arXiv 2206.00364's
    lowest: float = 0.03

    def sigmas(self, steps: int, highest: float) -> np.ndarray:
        """The levels (steps,) from the highest down.

        >>> Grid(rho=math.inf, lowest=0.25).sigmas(3, 4.0)
        array([4.  , 1.  , 0.25])
        """
        way = np.linspace(0, 1, steps) if steps > 1 else np.zeros(1)
        lowest = min(self.lowest, highest)
        if math.isinf(self.rho):
            return np.exp(np.log(highest) + way * (np.log(lowest) - np.log(highest)))
        ends = highest ** (1 / self.rho), lowest ** (1 / self.rho)
        return (ends[0] + way * (ends[1] - ends[0])) ** self.rho


class _OnGrid:
    """Mixed into a scheduler of diffusers: its own noise schedule, stopped at the levels of a grid."""

    grid = Grid()

    def set_timesteps(self, num_inference_steps: int, device: Any = None, **options: Any) -> None:
        """Levels and timesteps; the timesteps are fractions, which the denoiser takes as they are."""
        scheduler: Any = self
        super().set_timesteps(num_inference_steps, device, **options)  # pyright: ignore[reportAttributeAccessIssue]
        clean = scheduler.alphas_cumprod.cpu().double().numpy()
        known = ((1 - clean) / clean) ** 0.5
        sigmas = self.grid.sigmas(num_inference_steps, known[-1])
        timesteps = np.interp(np.log(sigmas), np.log(known), np.arange(len(known)))
        scheduler.sigmas = torch.from_numpy(np.append(sigmas, 0.0).astype(np.float32))
        scheduler.timesteps = torch.from_numpy(timesteps.astype(np.float32)).to(device)


class _Euler(_OnGrid, EulerDiscreteScheduler):
    def step(self, *args: Any, **kwargs: Any) -> Any:
        if not self.is_scale_input_called:
            raise DoesNotApply(
                "Euler on a grid needs a pipeline that scales the denoiser's input, and this one does not: choose "
                "DPM-Solver++ 2M on a grid"
            )
        return super().step(*args, **kwargs)


class _DPMSolver(_OnGrid, DPMSolverMultistepScheduler):
    pass


class _UniPC(_OnGrid, UniPC):
    pass


_KINDS: dict[str, tuple[type, dict[str, Any]]] = {
    "Euler": (_Euler, {}),
    "DPM-Solver++ 2M": (_DPMSolver, {"algorithm_type": "dpmsolver++", "solver_order": 2, "solver_type": "midpoint",
                                     "final_sigmas_type": "zero", "variance_type": None}),
    "UniPC": (_UniPC, {"solver_order": 2, "solver_type": "bh2", "final_sigmas_type": "zero"}),
}  # fmt: skip


def on_grid(
    pipe: DiffusionPipeline, solver: str = "Euler", rho: float = 7.0, lowest: float = 0.03
) -> AbstractContextManager[DiffusionPipeline]:
    """Draw by a solver of ``SOLVERS`` whose levels a ``Grid`` spaces. ``DoesNotApply`` for a pipeline without betas."""
    if solver not in _KINDS:
        raise ValueError(f"unknown solver {solver!r}: choose from {', '.join(SOLVERS)}")
    if not (rho > 0 and 0 < lowest < math.inf):
        raise ValueError(f"a grid has a rho and a lowest level above 0; got {rho:g} and {lowest:g}")
    kind, options = _KINDS[solver]
    own = type(kind.__name__, (kind,), {"grid": Grid(rho, lowest)})
    flow = "a flow has noise levels of its own, spaced by its scheduler's shift"
    return sampling_by(pipe, f"{solver} on a grid", own, flow, timestep_spacing="linspace", **options)
