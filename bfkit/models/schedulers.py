"""Where sampling starts: Euler from pure noise, with one step too."""

import diffusers
import torch

FIRST_TIMESTEP = 999  # where sampling starts from pure noise


class EulerFromNoise(diffusers.EulerDiscreteScheduler):
    """Euler whose single step starts from noise: with one step, ``linspace`` picks timestep 0, where there is none."""

    def set_timesteps(
        self,
        num_inference_steps: int | None = None,
        device: torch.device | str | None = None,
        timesteps: list[int] | None = None,  # named, because pipelines look for them
        sigmas: list[float] | None = None,
    ) -> None:
        if num_inference_steps == 1 and timesteps is None and sigmas is None:
            num_inference_steps, timesteps = None, [FIRST_TIMESTEP]
        super().set_timesteps(num_inference_steps, device, timesteps, sigmas)
