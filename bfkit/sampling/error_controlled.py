"""A sampler whose steps keep their own error small: long where the picture hardly changes, short where it tips over.

Second order in the logarithm of the noise level at one evaluation a step: each evaluation predicts the next level by a
straight line through the last two clean pictures, and corrects the last one (an embedded pair of Adams, as in UniPC);
how far the two lie apart is the error that a PI controller steers by (Hairer, Nørsett and Wanner, Solving Ordinary
Differential Equations I, II.4). A step whose error is too large is taken again, shorter, and has cost its evaluation.
Every picture has steps of its own, so that pictures are drawn one at a time; in the field, k-diffusion's
``sample_dpm_adaptive`` is of this kind, of order 3 at up to three evaluations a step.
"""

import math
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import torch
from diffusers import DiffusionPipeline, EulerDiscreteScheduler
from diffusers.schedulers.scheduling_euler_discrete import EulerDiscreteSchedulerOutput

from .hooks import DoesNotApply
from .samplers import sampling_by

NAME = "Error-controlled"
SCALE = 150.0  # over steps³ is the tolerance, so that about as many evaluations are made as asked for
ACCEPTED = 1.8  # times the tolerance: a step that is a little too long is not worth another evaluation
SAFETY, PROPORTIONAL, INTEGRAL = 0.8, 0.2, 1.0  # of the controller; the latter two are divided by the error's order
SHRINKS, GROWS = 0.2, 3.0  # a step, at most
SHORTEST = 1 / 500  # of the whole way: such a step is taken whatever its error


class Walk:
    """One picture's way from the highest noise level to the lowest, an evaluation at a time.

    ``guess`` at level ``sigma`` is what the denoiser is to see next; ``tell`` takes the clean picture that it sees
    there. Pictures have the noise added to them, not scaled: guess = clean + sigma * noise. ``tolerance`` is of the
    root mean square error of a step, in units of the denoiser's input, whose variance is 1.
    """

    def __init__(self, noise: torch.Tensor, highest: float, lowest: float, tolerance: float, first: float) -> None:
        self.picture = self.guess = noise
        self.at, self.end = -math.log(highest), -math.log(lowest)
        self.tolerance, self.shortest = tolerance, (self.end - self.at) * SHORTEST
        self.step, self.tried = first, 0.0
        self.clean: torch.Tensor | None = None  # at ``at``, and how fast it changes, from the step before
        self.slope: torch.Tensor | None = None
        self.before = 1.0  # the last accepted step's error
        self.rejected, self.done = 0, False

    @property
    def sigma(self) -> float:
        """The noise level of ``guess``."""
        return math.exp(-self.at - self.tried)

    def tell(self, clean: torch.Tensor) -> None:
        """Go on with the clean picture that the denoiser sees in ``guess``; the last one is the result."""
        if self.clean is None:
            self.clean = clean
        else:
            self._judge(clean, self.clean)
        self.done = self.at >= self.end - 1e-9
        self.guess = self.clean if self.done else self._predict(self.clean)

    def _judge(self, clean: torch.Tensor, old: torch.Tensor) -> None:
        """Take the tried step, or shorten it."""
        slope, order = (clean - old) / self.tried, 2 if self.slope is None else 3
        better = self._moved(old, slope)
        apart = (better - self.guess).square().mean().sqrt().item()
        error = max(apart / math.hypot(1, self.sigma) / self.tolerance, 1e-9)
        if (
            error > ACCEPTED and self.tried > self.shortest * 1.001
        ):  # what is no number is taken: others will tell of it
            self.rejected += 1
            self.step = self.tried * max(SHRINKS, min(SAFETY, SAFETY * error ** (-1 / order)))
            return
        factor = SAFETY * error ** (-INTEGRAL / order) * self.before ** (PROPORTIONAL / order)
        self.at, self.step = self.at + self.tried, self.tried * max(SHRINKS, min(GROWS, factor))
        self.picture, self.clean, self.slope, self.before = better, clean, slope, error

    def _predict(self, clean: torch.Tensor) -> torch.Tensor:
        """What the next level is expected to be; the last steps share what is left evenly."""
        left = self.end - self.at
        self.step = max(self.step, self.shortest)
        self.tried = left / math.ceil(left / self.step - 1e-6) if left < 2 * self.step else self.step
        return self._moved(clean, self.slope)

    def _moved(self, clean: torch.Tensor, slope: torch.Tensor | None) -> torch.Tensor:
        """The picture a step on, exactly if the clean one changes by ``slope`` with the logarithm of the level."""
        decay = math.exp(-self.tried)
        moved = decay * self.picture + (1 - decay) * clean
        return moved if slope is None else moved + (self.tried - 1 + decay) * slope


class _Ahead:
    """Timesteps that are decided while they are walked through."""

    def __init__(self, scheduler: "ErrorControlledScheduler") -> None:
        self.scheduler, self.given = scheduler, 0

    def __len__(self) -> int:
        return self.given

    def __iter__(self) -> Iterator[torch.Tensor]:
        while (timestep := self.scheduler.next_timestep()) is not None:
            self.given += 1
            yield timestep


class ErrorControlledScheduler(EulerDiscreteScheduler):
    """A ``Walk`` as a scheduler of diffusers, whose loop evaluates the denoiser wherever the walk asks for it."""

    scale = SCALE
    walk: Walk | None = None

    def set_timesteps(self, num_inference_steps: int, device: Any = None, **_: Any) -> None:
        """Prepare for a picture in about so many evaluations."""
        clean = self.alphas_cumprod.cpu().double().numpy()
        self._levels, self._device, self.walk = ((1 - clean) / clean) ** 0.5, device, None
        self._steps = self.num_inference_steps = num_inference_steps
        self.sigmas = torch.tensor([self._levels[-1], 0.0], dtype=torch.float32)
        self.timesteps: Any = _Ahead(self)

    @property
    def _sigma(self) -> float:
        return float(self._levels[-1]) if self.walk is None else self.walk.sigma

    def next_timestep(self) -> torch.Tensor | None:
        """Where the denoiser is evaluated next; None at the end."""
        if self.walk is not None and self.walk.done:
            return None
        known = np.arange(len(self._levels))
        timestep = np.interp(math.log(self._sigma), np.log(self._levels), known)
        return torch.tensor(timestep, dtype=torch.float32, device=self._device)

    def scale_model_input(self, sample: torch.Tensor, timestep: Any) -> torch.Tensor:
        """The denoiser's input, of variance 1."""
        self.is_scale_input_called = True
        return sample / math.hypot(1, self._sigma)

    def step(
        self,
        model_output: torch.Tensor,
        timestep: Any,
        sample: torch.Tensor,
        generator: Any = None,
        return_dict: bool = True,
    ) -> Any:
        """What the denoiser is to see next, or at the end the clean picture. ValueError for several pictures."""
        if not self.is_scale_input_called:
            raise DoesNotApply(
                f"{NAME} needs a pipeline that scales the denoiser's input, and this one does not: choose DPM-Solver++ "
                "2M"
            )
        if len(sample) > 1:
            raise ValueError(
                f"{NAME} draws one picture at a time, in steps of its own, and got {len(sample)}: draw with batch=1"
            )
        if self.walk is None:
            highest, lowest = float(self._levels[-1]), float(self._levels[0])
            first = math.log(highest / lowest) / self._steps
            self.walk = Walk(sample.float(), highest, lowest, self.scale / self._steps**3, first)
        sigma, seen, output = self.walk.sigma, self.walk.guess, model_output.float()
        kind = self.config["prediction_type"]
        if kind == "v_prediction":
            clean = seen / (1 + sigma**2) - sigma / math.hypot(1, sigma) * output
        else:
            clean = seen - sigma * output if kind == "epsilon" else output
        self.walk.tell(clean)
        moved = self.walk.guess.to(model_output.dtype)
        return EulerDiscreteSchedulerOutput(prev_sample=moved) if return_dict else (moved,)


def error_controlled(pipe: DiffusionPipeline, scale: float = SCALE) -> AbstractContextManager[DiffusionPipeline]:
    """Draw by steps that keep their error below ``scale`` / steps³, where ``steps`` are those asked for; one at a time.

    With a ``scale`` that fits the model, a picture takes about as many evaluations as asked for. ``DoesNotApply`` for a
    pipeline without betas.
    """
    if not 0 < scale < math.inf:
        raise ValueError(f"a scale is a number above 0; got {scale:g}")
    own = type("ErrorControlledScheduler", (ErrorControlledScheduler,), {"scale": scale})
    flow = "the logarithm of a flow's noise level, in which the steps are taken, begins at infinity"
    return sampling_by(pipe, NAME, own, flow, timestep_spacing="linspace")
