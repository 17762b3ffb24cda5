"""What a data set will cost, before it is made: evaluations, hours, kWh, bytes.

Every figure says where it comes from: *measured* by a short run of the same code, *counted* from the profile and the
models' operations, or *given* by whoever asks. What is none of these is "not measured".
"""

import math
import statistics
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl
import torch

from . import architectures, cost, generate, pipelines
from .engine import measure_prompts
from .metrics import load_judges
from .profiles import PROFILES, Profile
from .scores import encode, read_scores
from .shards import blocks

NOT_MEASURED = "not measured"
PROBE_PROMPT = "a red circle on a white wall"  # words that every stack knows, the miniature's too
PROBE_STEPS = (1, 2, 9)
REPEATS = 3


@dataclass(frozen=True)
class Price:
    """What one picture costs: an evaluation of the denoiser, and all that comes after it; and who says so."""

    how: str
    seconds_an_evaluation: float | None = None
    seconds_besides: float = 0.0
    watts: float | None = None
    bytes_a_picture: float | None = None
    shares_first: bool = True


# --- what one picture costs -----------------------------------------------------------------------------------------


def probe(profile: Profile, device: torch.device | str, keep_images: bool = False) -> Price:
    """Draw and measure one batch, at few steps and at more: the difference is what evaluations take, the rest the rest.

    On a GPU, NVML tells its mean power meanwhile. Raises what loading the models raises.
    """
    pipe, judges = pipelines.load_pipeline(profile, device), load_judges(profile, device)
    prompts = [PROBE_PROMPT] * math.ceil(profile.batch / len(profile.seeds))
    pictures = len(prompts) * len(profile.seeds)

    def run(step_counts: tuple[int, ...], keep: Path | None) -> tuple[cost.EnergyMeter, int]:
        with cost.EnergyMeter(pipe.device) as meter:
            rows = measure_prompts(
                pipe, judges, replace(profile, step_counts=step_counts), prompts, 0, 0.0, keep
            )
        return meter, rows["evals"].sum() // pictures

    with TemporaryDirectory() as folder:
        keep = Path(folder) if keep_images else None
        run(PROBE_STEPS, keep)  # warm-up, and the batch that fits
        kept = [path.stat().st_size for path in Path(folder).rglob("*.webp")]
        few = [run(PROBE_STEPS[:2], keep) for _ in range(REPEATS)]
        more = [run(PROBE_STEPS, keep) for _ in range(REPEATS)]
    seconds = {name: statistics.median(m.seconds for m, _ in runs) for name, runs in (("few", few), ("more", more))}
    # two equations in seconds an evaluation and seconds a picture
    (e1, p1), (e2, p2) = (few[0][1], 2), (more[0][1], 3)
    each = (seconds["more"] * p1 - seconds["few"] * p2) / (e2 * p1 - e1 * p2) / pictures
    besides = max(0.0, (seconds["few"] / pictures - e1 * each) / p1)
    joules = [meter.joules for meter, _ in more]
    watts = None if None in joules else sum(joules) / sum(meter.seconds for meter, _ in more)
    return Price(
        how=f"measured on this {'GPU' if pipe.device.type == 'cuda' else 'CPU'}",
        seconds_an_evaluation=each,
        seconds_besides=besides,
        watts=watts,
        bytes_a_picture=statistics.mean(kept) if kept else None,
        shares_first=e2 < sum(PROBE_STEPS),
    )
