"""What a data set will cost, before it is made: evaluations, hours, kWh, bytes.

Every figure says where it comes from: *measured* by a short run of the same code, *counted* from the profile and the
models' operations, or *given* by whoever asks. What is none of these is "not measured".
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl
import torch

from bfkit.devices import choose_device, hardware
from bfkit.metrics.scorer import load_scorer
from bfkit.models import architectures
from bfkit.models.hub import is_local
from bfkit.models.pipelines import load_pipeline
from bfkit.profiles import PROFILES, Profile
from bfkit.sampling import cost
from bfkit.sampling.conditioning import embed
from bfkit.sampling.energy import EnergyMeter
from bfkit.sampling.generate import fitting_batch, sample

from . import looks
from .measure import measure_prompts
from .shards import blocks
from .table import ORDER, encode_table, held_out_among, read_table

NOT_MEASURED = "not measured"
PROBE_PROMPT = "a red circle on a white wall"  # words that every stack knows, the miniature's too
PROBE_STEPS = (1, 2, 9)
LOOK_WIDTH = 384  # numbers of a look: those of a guided UNet with four latent channels
PATIENCE = 10  # seconds that the probe's batch may take a step count; a slower device draws fewer pictures, and once


@dataclass(frozen=True)
class Price:
    """What one picture costs, in seconds: an evaluation of the denoiser, and what follows it; and who says so."""

    how: str
    evaluation: float | None = None
    besides: float = 0.0
    watts: float | None = None
    picture_bytes: float | None = None


# --- what one picture costs -----------------------------------------------------------------------------------------


def probe(profile: Profile, device: torch.device | str | None, keep_images: bool = False) -> Price:
    """Draw and measure one batch at two step counts and at three: two equations in evaluations and pictures.

    On a GPU, NVML tells the mean power meanwhile. Raises what loading the models raises.
    """
    pipe, scorer = load_pipeline(profile, device), load_scorer(profile, device)

    def run(step_counts: Sequence[int], count: int, keep: Path | None) -> tuple[EnergyMeter, int]:
        one = replace(profile, step_counts=tuple(step_counts), seeds=(0,))
        with EnergyMeter(pipe.device) as meter:
            rows, _ = measure_prompts(pipe, scorer, one, [PROBE_PROMPT] * count, 0, 0.0, keep)
        return meter, int(rows["evals"].sum()) // count

    run(PROBE_STEPS[:1], 1, None)  # warm-up
    count = max(1, min(profile.batch, round(PATIENCE / run(PROBE_STEPS[:1], 1, None)[0].seconds)))
    repeats = 3 if count == profile.batch else 1
    with TemporaryDirectory() as folder:
        keep = Path(folder) if keep_images else None
        run(PROBE_STEPS[:1], count, keep)  # warm-up, and the batch that memory holds
        few, more = ([run(steps, count, keep) for _ in range(repeats)] for steps in (PROBE_STEPS[:2], PROBE_STEPS))
        kept = [path.stat().st_size for path in Path(folder).rglob("*.webp")]
    t1, t2 = (statistics.median(meter.seconds for meter, _ in runs) / count for runs in (few, more))
    e1, e2 = few[0][1], more[0][1]
    evaluation = max(0.0, (2 * t2 - 3 * t1) / (2 * e2 - 3 * e1))
    joules = [meter.joules for meter, _ in more if meter.joules is not None]
    seconds = sum(meter.seconds for meter, _ in more)
    at_once = min(count, fitting_batch(pipe, profile))  # memory may have held fewer than were asked for
    return Price(
        f"measured, {at_once} pictures at once on {hardware(pipe.device)['device']}",
        evaluation,
        max(0.0, (t1 - e1 * evaluation) / 2),
        sum(joules) / seconds if len(joules) == len(more) else None,
        statistics.mean(kept) if kept else None,
    )


@torch.inference_mode()
def count_tflops(profile: Profile) -> tuple[float, float]:
    """TFLOPs of one evaluation, guidance included, and of what else a picture takes, which is mostly its decoding.

    From the local pipeline, or else from ``architectures``; ValueError where there is neither.
    """
    if is_local(profile.pipeline):
        pipe = load_pipeline(profile, "cpu")  # operations are the same everywhere
        evaluation = cost.tflops_per_evaluation(pipe, profile)
        conditioning = embed(pipe, profile, [PROBE_PROMPT], [0])
        with cost.flop_counter() as counter:
            sample(pipe, profile, conditioning, 1)
        return evaluation, counter.get_total_flops() / 1e12 - evaluation
    unet, vae = architectures.build_unet(profile.name), architectures.build_vae(profile.name)
    inputs = architectures.unet_inputs(unet, profile.name, 2 if profile.guidance > 1 else 1, profile.image_size)
    with cost.flop_counter() as counter:
        vae.decode(inputs["sample"][:1])
    return cost.tflops_of(unet, (), inputs), counter.get_total_flops() / 1e12


# --- what all of them cost ------------------------------------------------------------------------------------------


def evaluations_a_set(step_counts: Sequence[int]) -> int:
    """Denoiser evaluations for one prompt and seed: the first one is shared by all step counts."""
    return sum(step_counts) - (len(step_counts) - 1)


def bytes_a_row(profile: Profile, prompts: int) -> float:
    """Of a shard's parquet file, measured on rows of the miniature's table, as many as such a shard has.

    Looks and truths are random numbers, which take the room that real ones do.
    """
    each, seeds = blocks(profile)
    table, noted = read_table(Path(PROFILES["mini"].scores))
    pictures = table.select(looks.PICTURE).unique(maintain_order=True).head(min(each, prompts) * len(seeds[0]))
    counts = table["steps"].unique().sort().tail(len(profile.step_counts))
    rows = table.filter(pl.col("steps").is_in(counts.implode())).join(pictures, on=looks.PICTURE, how="semi")
    shown = looks.listed(torch.randn(len(pictures), LOOK_WIDTH), len(pictures))
    last = pictures.with_columns(pl.Series(looks.LOOK, shown, looks.SCHEMA[looks.LOOK]), steps=counts.max())
    rows = rows.join(last.cast({"steps": rows["steps"].dtype}), on=ORDER, how="left", maintain_order="left")
    rows = rows.with_columns(pl.Series("clip_score", torch.rand(len(rows)).numpy(), pl.Float32))
    return len(encode_table(rows, {**noted, "prompts": rows["prompt"].unique().to_list()})) / len(rows)


def estimate(
    profile: Profile,
    prompts: int,
    device: torch.device | str | None = None,
    *,
    gpus: int = 1,
    tflops: float | None = None,
    watts: float | None = None,
    keep_images: bool = False,
) -> pl.DataFrame:
    """What ``build_dataset`` will take for that many prompts: rows of ``quantity, value, unit, how``; no value, null.

    With ``tflops``, the TFLOPs a second that a GPU sustains, operations are counted and nothing is loaded or run;
    without, a probe runs on a GPU, and on a CPU if the pipeline is a local folder. ``watts`` is what a GPU draws, used
    where NVML measures nothing. Raises ValueError for bad numbers or, with ``tflops``, an unknown architecture.
    """
    for name, value in (("prompts", prompts), ("gpus", gpus), ("tflops", tflops), ("watts", watts)):
        if value is not None and not 0 < value < math.inf:
            raise ValueError(f"{name} must be a number above 0; got {value}")
    more = len(held_out_among(range(prompts))) if profile.more_seeds else 0
    sets = prompts * len(profile.seeds) + more * len(profile.more_seeds)
    evaluations, images = sets * evaluations_a_set(profile.step_counts), sets * len(profile.step_counts)
    each, groups = blocks(profile)
    shards = math.ceil(prompts / each) * len(groups) + more
    operations, counted = _count(profile, must=tflops is not None)
    price = _price(profile, choose_device(device), tflops, operations, keep_images)
    hours = None
    if price.evaluation is not None:
        hours = (evaluations * price.evaluation + images * price.besides) / 3600
    power, power_how = (price.watts, "NVML, while it was measured") if price.watts else (watts, "the watts given")
    energy = None if hours is None or power is None else hours * power / 1000
    rows = [
        ("prompts", prompts, "", "given"),
        ("images", images, "", "counted"),
        ("shards", shards, "", "counted"),
        ("evaluations", evaluations, "", f"counted, {evaluations_a_set(profile.step_counts)} for a prompt and seed"),
        ("operations", operations and (evaluations * operations[0] + images * operations[1]) / 1e3, "PFLOP", counted),
        ("time on one device", hours, "h", price.how),
    ]
    if gpus > 1:
        parallel = None if hours is None else hours / shards * math.ceil(shards / gpus)
        rows.append((f"time on {gpus}", parallel, "h", f"{price.how}; whole shards, {math.ceil(shards / gpus)} each"))
    rows += [
        ("energy", energy, "kWh", NOT_MEASURED if energy is None else f"of the devices alone: time x {power_how}"),
        ("parquet", images * bytes_a_row(profile, prompts) / 1e6, "MB", "measured on rows of the miniature's table"),
    ]
    if keep_images:
        size = price.picture_bytes and images * price.picture_bytes / 1e6
        rows.append(("WebP", size, "MB", NOT_MEASURED if size is None else "measured on the pictures that were drawn"))
    schema = {"quantity": pl.String, "value": pl.Float64, "unit": pl.String, "how": pl.String}
    return pl.DataFrame(rows, schema=schema, orient="row")


def _count(profile: Profile, must: bool) -> tuple[tuple[float, float] | None, str]:
    try:
        return count_tflops(profile), "counted, denoiser and decoder"
    except ValueError as error:
        if must:
            raise
        return None, f"{NOT_MEASURED}: {error}"


def _price(
    profile: Profile,
    device: torch.device,
    tflops: float | None,
    operations: tuple[float, float] | None,
    keep_images: bool,
) -> Price:
    if tflops is not None and operations is not None:
        how = f"counted operations at the {tflops:g} TFLOP/s given, the scorer's not among them"
        return Price(how, *(count / tflops for count in operations))
    if device.type == "cuda" or is_local(profile.pipeline):
        return probe(profile, device, keep_images)
    return Price(f"{NOT_MEASURED}: there is no GPU here; give the TFLOP/s that yours sustains")


def describe(rows: pl.DataFrame) -> str:
    """An estimate as text, a line a quantity."""
    return "\n".join(
        f"{quantity:<20} {_readable(value):>16} {unit:<6} {how}" for quantity, value, unit, how in rows.iter_rows()
    )


def _readable(value: float | None) -> str:
    if value is None:
        return NOT_MEASURED
    return f"{value:,.0f}" if value >= 1000 or value == int(value) else f"{value:.3g}"
