"""Other samplers for the same denoiser: they change how the steps are taken, at one evaluation a step."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, cast

import torch
from diffusers import (
    ConfigMixin,
    DiffusionPipeline,
    DPMSolverMultistepScheduler,
    EulerAncestralDiscreteScheduler,
    UniPCMultistepScheduler,
)

from .hooks import drawing_stage

Generators = torch.Generator | list[torch.Generator] | None


class EulerAncestral(EulerAncestralDiscreteScheduler):
    """diffusers' scheduler with two traps closed: one step starts from noise, and noise belongs to its picture."""

    def set_timesteps(self, num_inference_steps: int, device: torch.device | str | None = None) -> None:
        # with one step, linspace would pick timestep 0, where there is no noise to remove; trailing picks the other end
        self.register_to_config(timestep_spacing="trailing" if num_inference_steps == 1 else "linspace")
        super().set_timesteps(num_inference_steps, device)

    def step(
        self,
        model_output: torch.Tensor,
        timestep: float | torch.Tensor,
        sample: torch.Tensor,
        generator: Generators = None,
        return_dict: bool = True,
    ) -> Any:
        """One step, with noise from each picture's own generator; ValueError if there is not one for each."""
        given = len(generator) if isinstance(generator, list) else int(generator is not None)
        if given != len(sample):
            raise ValueError(
                f"EulerAncestral adds noise at every step and got {given} generators for {len(sample)} pictures: call "
                "the pipeline with generator=[...], one a picture, or a picture would depend on its batch"
            )
        if not self.is_scale_input_called:
            raise ValueError(
                "EulerAncestral needs a pipeline that scales the denoiser's input, and this one does not: choose DDIM "
                "or DPM-Solver++ 2M"
            )
        one = cast("torch.Generator", generator)  # diffusers' hint leaves out the list, which it takes
        return super().step(model_output, timestep, sample, one, return_dict)


class UniPC(UniPCMultistepScheduler):
    """diffusers' scheduler, for pipelines too that hand a generator to every scheduler; it draws nothing."""

    def step(
        self,
        model_output: torch.Tensor,
        timestep: int | torch.Tensor,
        sample: torch.Tensor,
        return_dict: bool = True,
        generator: Generators = None,
    ) -> Any:
        """One step."""
        return super().step(model_output, timestep, sample, return_dict)


def _same_sampler(one: ConfigMixin, other: ConfigMixin) -> bool:
    configs = [{key: value for key, value in s.config.items() if not key.startswith("_")} for s in (one, other)]
    return type(one) is type(other) and configs[0] == configs[1]


@contextmanager
def _sampling(pipe: DiffusionPipeline, name: str, kind: type, **options: Any) -> Iterator[DiffusionPipeline]:
    """Exchange the scheduler for another of the same noise schedule and prediction type; ValueError if it cannot be."""
    stage = drawing_stage(pipe)
    before = pipe.scheduler, stage.scheduler
    if "beta_schedule" not in stage.scheduler.config:
        raise ValueError(
            f"{name} needs a noise schedule of betas, and this pipeline's {type(stage.scheduler).__name__} has none: "
            "choose a pipeline that is not trained by flow matching"
        )
    scheduler = kind.from_config(stage.scheduler.config, **options)
    if _same_sampler(scheduler, stage.scheduler):
        raise ValueError(f"this pipeline samples by {name} already: draw with it as it is, or choose another sampler")
    pipe.scheduler = stage.scheduler = scheduler
    try:
        yield pipe
    finally:
        pipe.scheduler, stage.scheduler = before


def ddim(pipe: DiffusionPipeline) -> AbstractContextManager[DiffusionPipeline]:
    """DDIM without noise (eta = 0; arXiv 2010.02502): linspace spacing, 999 towards 0, then to no noise at all.

    Taken as the first-order case of DPM-Solver, which it is (arXiv 2206.00927, Section 4.1): diffusers' own DDIM rounds
    the stride down to a whole number, so that 129 steps stop short, and at 61 or 103 steps its trailing spacing adds a
    step at timestep -1 that ruins the picture. Where the stride is whole, both give the same picture. Raises ValueError
    for a pipeline without betas.
    """
    return _sampling(
        pipe,
        "DDIM",
        DPMSolverMultistepScheduler,
        algorithm_type="dpmsolver++",
        solver_order=1,
        timestep_spacing="linspace",
        final_sigmas_type="zero",
        variance_type=None,
    )


def euler_ancestral(pipe: DiffusionPipeline) -> AbstractContextManager[DiffusionPipeline]:
    """Euler's method with fresh noise in every step, on the timesteps of Euler's linspace spacing, 999 to 0.

    Inside, the pipeline must be called with one generator a picture. Raises ValueError for a pipeline without betas.
    """
    return _sampling(pipe, "EulerAncestral", EulerAncestral, timestep_spacing="linspace")


def dpm_solver(pipe: DiffusionPipeline) -> AbstractContextManager[DiffusionPipeline]:
    """DPM-Solver++ 2M (arXiv 2211.01095): second order from the previous evaluation; linspace spacing, 999 towards 0.

    The last step, to no noise at all, is of first order, and so is a single one. Raises ValueError for a pipeline
    without betas.
    """
    return _sampling(
        pipe,
        "DPM-Solver++ 2M",
        DPMSolverMultistepScheduler,
        algorithm_type="dpmsolver++",
        solver_order=2,
        solver_type="midpoint",
        timestep_spacing="linspace",
        final_sigmas_type="zero",
        variance_type=None,
    )


def unipc(pipe: DiffusionPipeline) -> AbstractContextManager[DiffusionPipeline]:
    """UniPC (arXiv 2302.04867), order 2: each evaluation predicts the next step and corrects the last one.

    Linspace spacing, 999 towards 0. Raises ValueError for a pipeline without betas.
    """
    return _sampling(
        pipe,
        "UniPC",
        UniPC,
        solver_order=2,
        solver_type="bh2",
        timestep_spacing="linspace",
        final_sigmas_type="zero",
    )
