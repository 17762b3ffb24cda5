"""What a picture costs: floating-point operations, counted by torch, and seconds, measured."""

import statistics
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

import polars as pl
import torch
from diffusers import DiffusionPipeline
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from bfkit import paper
from bfkit.devices import synchronize
from bfkit.models.pipelines import denoiser
from bfkit.profiles import Profile
from bfkit.stats import interval, mean

from .conditioning import Conditioning, embed
from .energy import EnergyMeter
from .generate import sample
from .hooks import replaced


class _Seen(Exception):
    """Ends a sampling once the denoiser's inputs have been seen."""


def first_inputs(
    pipe: DiffusionPipeline, profile: Profile, conditioning: Conditioning
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Arguments of the denoiser's first call when pictures are drawn, whatever the pipeline's family."""
    module, seen = denoiser(pipe, profile), []

    def look(*args: Any, **kwargs: Any) -> None:
        seen.append((args, kwargs))
        raise _Seen

    with replaced(module, "forward", look), suppress(_Seen):
        sample(pipe, profile, conditioning, 2)
    return seen[0]


def flop_counter() -> FlopCounterMode:
    """torch's counter; by itself it takes attention on a CPU to be free."""
    return FlopCounterMode(
        display=False, custom_mapping={torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention_flops}
    )


def _attention_flops(query: torch.Size, key: torch.Size, value: torch.Size, *_: Any, **__: Any) -> int:
    return sdpa_flop_count(query, key, value)


@torch.inference_mode()
def tflops_of(module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> float:
    """TFLOPs of one call of a module; two operations a multiply-add."""
    with flop_counter() as counter:
        module(*args, **kwargs)
    return counter.get_total_flops() / 1e12


def tflops_per_evaluation(pipe: DiffusionPipeline, profile: Profile) -> float:
    """TFLOPs of one denoiser evaluation for one picture, guidance included."""
    conditioning = embed(pipe, profile, ["a picture"], [0])
    return tflops_of(denoiser(pipe, profile), *first_inputs(pipe, profile, conditioning))


@torch.inference_mode()
def seconds_per_evaluation(pipe: DiffusionPipeline, profile: Profile, batch: int = 64, repeats: int = 5) -> float:
    """Median seconds of one denoiser evaluation a picture, ``batch`` at once, without guidance's second half."""
    alone = replace(profile, guidance=1.0)
    args, kwargs = first_inputs(pipe, alone, embed(pipe, alone, ["a picture"] * batch, range(batch)))
    module, times = denoiser(pipe, profile), []
    for _ in range(repeats + 1):
        synchronize(pipe.device)
        began = time.perf_counter()
        module(*args, **kwargs)
        synchronize(pipe.device)
        times.append((time.perf_counter() - began) / batch)
    return statistics.median(times[1:])


def summary(pipe: DiffusionPipeline, profile: Profile) -> pl.DataFrame:
    """What a denoising step costs here: ``quantity, value``; GFLOPs are thousand million operations."""
    weights = sum(p.numel() for p in denoiser(pipe, profile).parameters())
    found = {
        "million weights in the denoiser": weights / 1e6,
        f"ms an evaluation (batch {profile.batch})": 1e3 * seconds_per_evaluation(pipe, profile, profile.batch),
        "GFLOPs a step, guidance included": 1e3 * tflops_per_evaluation(pipe, profile),
    }
    return pl.DataFrame({"quantity": list(found), "value": list(found.values())})


TIMED = pl.Schema(
    {"system": pl.String, "prompt": pl.String, "steps": pl.UInt16, "seconds": pl.Float64, "joules": pl.Float64}
)


def timed_pictures(
    pipe: DiffusionPipeline, profile: Profile, ours: Mapping[str, int], advise: Callable[[str], object] = lambda _: None
) -> pl.DataFrame:
    """OURS, as prompt to steps, and REFERENCE, drawn in turn and one by one, a row of ``TIMED`` a picture.

    From the text on: its embedding counts, and for OURS what ``advise`` takes to choose the steps. ``joules`` is
    missing where nothing measures them.
    """
    rows = []
    for prompt, steps in ours.items():
        for system, count in (("OURS", steps), ("REFERENCE", paper.REFERENCE_STEPS)):
            if len(rows) < 2:  # a warm-up of each
                advise(prompt)
                sample(pipe, profile, embed(pipe, profile, [prompt], profile.seeds[:1]), 1)
            with EnergyMeter(pipe.device) as used:
                if system == "OURS":
                    advise(prompt)
                sample(pipe, profile, embed(pipe, profile, [prompt], profile.seeds[:1]), count)
            rows.append((system, prompt, count, used.seconds, used.joules))
    return pl.DataFrame(rows, schema=TIMED, orient="row")


def seconds_an_image(timed: pl.DataFrame) -> pl.DataFrame:
    """``timed_pictures`` in a row a system: ``system, pictures, steps, seconds, sd, joules``, means but for ``sd``,
    which is the standard deviation of the seconds between pictures."""
    return timed.group_by("system", maintain_order=True).agg(
        pictures=pl.len(), steps=pl.col("steps").mean(), seconds=pl.col("seconds").mean(),
        sd=pl.col("seconds").std(), joules=pl.col("joules").mean(),
    )  # fmt: skip


def time_saved(timed: pl.DataFrame) -> tuple[float, float, float]:
    """The share of REFERENCE's time that OURS saves, with its interval over the pictures of ``timed_pictures``."""
    ours, reference = (timed.filter(system=name)["seconds"].to_numpy() for name in ("OURS", "REFERENCE"))
    return interval(lambda a, b: 1 - mean(a) / mean(b), ours, reference)


def time_finding(timed: pl.DataFrame) -> str:
    """One sentence on ``timed_pictures``, beside the paper's."""
    saved, low, high = time_saved(timed)
    published = 1 - paper.SECONDS["OURS"][0] / paper.SECONDS["REFERENCE"][0]
    what = f"of the time of {paper.REFERENCE_STEPS} steps ({low:.0%} to {high:.0%}); in the paper, {published:.0%}"
    return f"OURS saves {saved:.0%} {what}" if low > 0 else f"OURS saves nothing sure: {saved:.0%} {what}"
