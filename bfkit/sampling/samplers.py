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
    FlowMatchEulerDiscreteScheduler,
    UniPCMultistepScheduler,
)

from .hooks import DoesNotApply, drawing_stage

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
            raise DoesNotApply(
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


# On flow matching, diffusers' multistep solvers round timesteps to whole numbers, which the denoiser was not trained
# on, and refuse a ``mu`` that Flux's pipeline hands to every scheduler.


def _mu(scheduler: ConfigMixin, mu: float | None) -> Any:  # one of the solvers hints at a bool
    return mu if scheduler.config["use_dynamic_shifting"] else None


class FlowDPMSolver(DPMSolverMultistepScheduler):
    """DPM-Solver++ for a denoiser that predicts a flow."""

    def set_timesteps(self, num_inference_steps: int, device: Any = None, mu: float | None = None) -> None:
        super().set_timesteps(num_inference_steps, device, mu=_mu(self, mu))
        self.timesteps = (self.sigmas[:-1] * self.config["num_train_timesteps"]).to(device)


class FlowUniPC(UniPC):
    """UniPC for a denoiser that predicts a flow."""

    def set_timesteps(self, num_inference_steps: int, device: Any = None, mu: float | None = None) -> None:
        super().set_timesteps(num_inference_steps, device, mu=_mu(self, mu))
        self.timesteps = (self.sigmas[:-1] * self.config["num_train_timesteps"]).to(device)


def _same_sampler(one: ConfigMixin, other: ConfigMixin) -> bool:
    configs = [{key: value for key, value in s.config.items() if not key.startswith("_")} for s in (one, other)]
    return type(one) is type(other) and configs[0] == configs[1]


@contextmanager
def sampling_by(
    pipe: DiffusionPipeline, name: str, kind: type, flow: type | str, **options: Any
) -> Iterator[DiffusionPipeline]:
    """Exchange the scheduler for another of the same noise schedule and prediction type.

    ``flow`` is what takes its place on flow matching, or the reason why nothing does. ``DoesNotApply`` if it cannot be.
    """
    stage = drawing_stage(pipe)
    before, config = (pipe.scheduler, stage.scheduler), stage.scheduler.config
    if isinstance(stage.scheduler, FlowMatchEulerDiscreteScheduler):
        if isinstance(flow, str):
            raise DoesNotApply(f"{name} needs a noise schedule of betas, and flow matching has none: {flow}")
        kind = flow
        options |= {"use_flow_sigmas": True, "prediction_type": "flow_prediction", "flow_shift": config.shift}
    elif "beta_schedule" not in config:
        raise DoesNotApply(
            f"{name} needs a noise schedule of betas or a flow, and this pipeline's {type(stage.scheduler).__name__} "
            "has neither: choose another pipeline"
        )
    scheduler = kind.from_config(config, **options)
    if _same_sampler(scheduler, stage.scheduler):
        raise DoesNotApply(f"this pipeline samples by {name} already: draw with it as it is, or choose another sampler")
    pipe.scheduler = stage.scheduler = scheduler
    try:
        yield pipe
    finally:
        pipe.scheduler, stage.scheduler = before


def ddim(pipe: DiffusionPipeline) -> AbstractContextManager[DiffusionPipeline]:
    """DDIM without noise (eta = 0; arXiv 2010.02502): linspace spacing, 999 towards 0, then to no noise at all.

    Taken as the first-order case of DPM-Solver, which it is (arXiv 2206.00927, Section 4.1): diffusers' own DDIM rounds
    the stride down to a whole number, so that 129 steps stop short, and at 61 or 103 steps its trailing spacing adds a
    step at timestep -1 that ruins the picture. Where the stride is whole, both give the same picture. Raises
    ``DoesNotApply`` for a pipeline without betas: on a flow it is Euler's method, which the pipeline has.
    """
    return sampling_by(
        pipe,
        "DDIM",
        DPMSolverMultistepScheduler,
        "there it is Euler's method, by which the pipeline samples already",
        algorithm_type="dpmsolver++",
        solver_order=1,
        timestep_spacing="linspace",
        final_sigmas_type="zero",
        variance_type=None,
    )


def euler_ancestral(pipe: DiffusionPipeline) -> AbstractContextManager[DiffusionPipeline]:
    """Euler's method with fresh noise in every step, on the timesteps of Euler's linspace spacing, 999 to 0.

    Inside, the pipeline must be called with one generator a picture. ``DoesNotApply`` for a pipeline without betas.
    """
    flow = "the noise that diffusers adds on a flow belongs to the batch, not to its picture"
    return sampling_by(pipe, "EulerAncestral", EulerAncestral, flow, timestep_spacing="linspace")


def dpm_solver(pipe: DiffusionPipeline) -> AbstractContextManager[DiffusionPipeline]:
    """DPM-Solver++ 2M (arXiv 2211.01095): second order from the previous evaluation; linspace spacing, 999 towards 0.

    The last step, to no noise at all, is of first order, and so is a single one. On a flow, at the flow's own times.
    """
    return sampling_by(
        pipe,
        "DPM-Solver++ 2M",
        DPMSolverMultistepScheduler,
        FlowDPMSolver,
        algorithm_type="dpmsolver++",
        solver_order=2,
        solver_type="midpoint",
        timestep_spacing="linspace",
        final_sigmas_type="zero",
        variance_type=None,
    )


def unipc(pipe: DiffusionPipeline) -> AbstractContextManager[DiffusionPipeline]:
    """UniPC (arXiv 2302.04867), order 2: each evaluation predicts the next step and corrects the last one.

    Linspace spacing, 999 towards 0. On a flow, at the flow's own times.
    """
    return sampling_by(
        pipe,
        "UniPC",
        UniPC,
        FlowUniPC,
        solver_order=2,
        solver_type="bh2",
        timestep_spacing="linspace",
        final_sigmas_type="zero",
    )
