"""The dataset: every prompt x seed x step count drawn and measured, as parquet shards; and the curves made of it.

A shard holds a few prompts, is written in one move, and carries the configuration that made it in its metadata. What
is finished is told by the shards alone, so a run that was killed is resumed by running it again.
"""

import hashlib
import json
import os
import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import torch
from diffusers import DiffusionPipeline
from numpy.typing import ArrayLike

from . import cost, generate, paper
from .metrics import Judges
from .profiles import Profile

SCHEMA = pl.Schema(
    {
        "prompt_id": pl.UInt32,
        "prompt": pl.String,
        "seed": pl.Int64,
        "steps": pl.UInt16,
        "l_snr": pl.Float32,
        "d_sim": pl.Float32,
        "i_clip": pl.Float32,
        "evals": pl.UInt16,
        "seconds": pl.Float32,
        "tflops": pl.Float32,
    }
)
ORDER = ("prompt_id", "seed", "steps")
PROMPTS_A_SHARD = 8
METADATA = "bfkit"


# --- what decides a shard's content ---------------------------------------------------------------------------------


def _weights_digest(folder: str) -> str:
    """A short hash of all weights under a local folder, or the id itself for a hub id."""
    files = sorted(Path(folder).rglob("*.safetensors"))
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.name.encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16] if files else folder


def configuration(profile: Profile) -> dict:
    """Everything but the prompts that decides the rows; two runs with the same one may share a folder."""
    return {
        "profile": profile.name,
        "pipeline": _weights_digest(profile.pipeline),
        "clip": _weights_digest(profile.clip),
        "perceptual": _weights_digest(profile.perceptual),
        "image_size": profile.image_size,
        "guidance": profile.guidance,
        "scheduler": f"EulerDiscreteScheduler, {profile.spacing}",
        "one_step_at": generate.FIRST_TIMESTEP,
        "seeds": list(profile.seeds),
        "step_counts": list(profile.step_counts),
        "l_snr": profile.l_snr,
        "i_clip": profile.i_clip,
    }


def _shard_path(folder: Path, number: int, config: dict, prompts: Sequence[str]) -> Path:
    key = hashlib.sha256(json.dumps([config, list(prompts)], sort_keys=True).encode()).hexdigest()[:12]
    return folder / f"shard-{number:05d}-{key}.parquet"


def read_metadata(path: Path) -> dict:
    """What ``bfkit dataset`` noted in a parquet file; ValueError if it is not one of ours or is cut short."""
    try:
        noted = pl.read_parquet_metadata(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise ValueError(
            f"{path} is no complete parquet file ({_first_line(error)}): delete it and run again"
        ) from None
    if METADATA not in noted:
        raise ValueError(f"{path} was not written by `bfkit dataset`: it has no configuration in its metadata")
    return json.loads(noted[METADATA])


def _refuse_other_configuration(folder: Path, config: dict) -> None:
    for path in sorted(folder.glob("shard-*.parquet")):
        try:
            other = read_metadata(path)["configuration"]
        except ValueError:
            continue  # a damaged shard is simply made again
        differing = sorted(key for key in {*config, *other} if config.get(key) != other.get(key))
        if differing:
            raise ValueError(
                f"{folder} holds shards of another configuration (different: {', '.join(differing)}): "
                "choose another folder, or the same settings to go on"
            )
        return


# --- making it ------------------------------------------------------------------------------------------------------


def _measure_prompts(
    pipe: DiffusionPipeline, judges: Judges, profile: Profile, prompts: Sequence[str], first_id: int, tflops: float
) -> pl.DataFrame:
    """All rows of a few prompts: their target pictures first, then every step count measured against them."""
    pairs = [(row, seed) for row in range(len(prompts)) for seed in profile.seeds]
    embeddings = generate.embed_prompts(pipe, prompts, profile.guidance)
    frames = []
    for start in range(0, len(pairs), profile.batch):
        part = pairs[start : start + profile.batch]
        texts = embeddings.rows([row for row, _ in part])
        latents = generate.noise(pipe, [seed for _, seed in part], profile.image_size)
        target = None
        for steps in sorted(profile.step_counts, reverse=True):
            began = time.perf_counter()
            with generate.EvaluationCounter(pipe) as counter:
                images = generate.sample(pipe, texts, latents, steps, profile.guidance)
            seconds = (time.perf_counter() - began) / len(part)
            seen = judges.look(images)
            target = seen if target is None else target
            scores = judges.compare(images, seen, target)
            for name, values in scores.items():
                if not torch.isfinite(values).all():
                    row = part[int(torch.nonzero(~torch.isfinite(values))[0])][0]
                    raise ValueError(
                        f"{name} of {prompts[row]!r} at {steps} steps is not a number: the picture is broken"
                    )
            rows = {
                "prompt_id": [first_id + row for row, _ in part],
                "prompt": [prompts[row] for row, _ in part],
                "seed": [seed for _, seed in part],
                "steps": [steps] * len(part),
                **{name: values.numpy() for name, values in scores.items()},
                "evals": [counter.calls] * len(part),
                "seconds": [seconds] * len(part),
                "tflops": [counter.calls * tflops] * len(part),
            }
            frames.append(pl.DataFrame(rows, schema=SCHEMA))
    return pl.concat(frames).sort(ORDER)


def write_table(frame: pl.DataFrame, path: Path, metadata: dict) -> None:
    """Write a score table with its configuration in one move: a kill leaves the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    frame.write_parquet(temporary, compression="zstd", compression_level=19, metadata={METADATA: json.dumps(metadata)})
    os.replace(temporary, path)


@dataclass(frozen=True)
class Shard:
    """A few prompts, the id of the first, and the file that their rows go into."""

    path: Path
    prompts: tuple[str, ...]
    first_id: int

    def is_complete(self) -> bool:
        """True if the file is there and can be read to its end."""
        try:
            read_metadata(self.path)
            pl.read_parquet(self.path)
        except (ValueError, OSError, pl.exceptions.PolarsError):
            return False
        return True


def plan_shards(profile: Profile, prompts: Sequence[str], folder: Path) -> list[Shard]:
    """The shards of a data set, finished or not, in order; draws nothing.

    Raises ValueError for bad prompts or step counts, or if the folder holds shards of another configuration.
    """
    prompts = generate.check_prompts(prompts)
    for steps in profile.step_counts:
        generate.check_steps(steps)
    config = configuration(profile)
    _refuse_other_configuration(folder, config)
    blocks = [tuple(prompts[start : start + PROMPTS_A_SHARD]) for start in range(0, len(prompts), PROMPTS_A_SHARD)]
    return [
        Shard(_shard_path(folder, number, config, block), block, number * PROMPTS_A_SHARD)
        for number, block in enumerate(blocks)
    ]


def write_shard(pipe: DiffusionPipeline, judges: Judges, profile: Profile, shard: Shard) -> None:
    """Draw and measure one shard's prompts and write its file."""
    tflops = cost.tflops_per_evaluation(pipe, profile)
    frame = _measure_prompts(pipe, judges, profile, shard.prompts, shard.first_id, tflops)
    hardware = {"machine": platform.machine(), "device": str(pipe.device), "torch": torch.__version__}
    write_table(frame, shard.path, {"configuration": configuration(profile), "hardware": hardware})


# --- using it -------------------------------------------------------------------------------------------------------


def read_scores(source: str | Path) -> pl.DataFrame:
    """A score table, from one parquet file or a folder of shards, in the order prompt, seed, steps.

    Raises FileNotFoundError if there is nothing there, ValueError if a file is cut short, foreign or lacks columns.
    """
    source = Path(source)
    paths = sorted(source.glob("shard-*.parquet")) if source.is_dir() else [source]
    if not paths or not all(path.is_file() for path in paths):
        raise FileNotFoundError(f"no score table at {source}: make one with `bfkit dataset --out {source}`")
    frames = []
    for path in paths:
        read_metadata(path)
        try:
            frame = pl.read_parquet(path)
        except pl.exceptions.PolarsError as error:
            raise ValueError(f"{path} cannot be read ({_first_line(error)}): delete it and run again") from None
        if missing := [name for name in SCHEMA if name not in frame.columns]:
            raise ValueError(f"{path} lacks the columns {', '.join(missing)}: it is no score table of bfkit")
        try:
            frames.append(frame.select(SCHEMA.names()).cast(SCHEMA))
        except pl.exceptions.PolarsError as error:
            raise ValueError(f"{path} has a column of the wrong type ({_first_line(error)})") from None
    table = pl.concat(frames)
    texts = table.group_by("prompt_id").agg(pl.col("prompt").unique()).filter(pl.col("prompt").list.len() > 1)
    if len(texts):
        raise ValueError(
            f"{source} mixes two lists of prompts (id {texts['prompt_id'][0]}: {' / '.join(texts['prompt'][0])})"
        )
    return table.unique(ORDER, keep="first").sort(ORDER)


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def split(frame: pl.DataFrame, share: float = paper.TEST_SHARE, seed: int = 0) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Training and held-out rows, split by prompt at random (Section 3.1)."""
    ids = frame["prompt_id"].unique().sort().to_numpy()
    held_out = np.random.default_rng(seed).permutation(ids)[: max(1, round(share * len(ids)))]
    test = pl.col("prompt_id").is_in(held_out.tolist())
    return frame.filter(~test), frame.filter(test)


def mean_curves(frame: pl.DataFrame) -> tuple[list[str], dict[str, np.ndarray], tuple[int, ...]]:
    """The mean over seeds (Eq. 5): prompts, each metric's values (prompts, step counts), and the step counts.

    Raises ValueError if a prompt lacks a step count that another has.
    """
    means = frame.group_by("prompt_id", "prompt", "steps").agg(pl.col(paper.METRICS).mean()).sort("prompt_id", "steps")
    steps = tuple(means["steps"].unique().sort().to_list())
    prompts = means.unique("prompt_id", keep="first").sort("prompt_id")["prompt"].to_list()
    if len(means) != len(prompts) * len(steps):
        counts = means.group_by("prompt_id", "prompt").len().filter(pl.col("len") < len(steps))["prompt"]
        raise ValueError(f"{counts[0]!r} lacks some of the step counts {steps}: make the dataset again to fill the gap")
    shape = (len(prompts), len(steps))
    return prompts, {name: means[name].to_numpy().reshape(shape) for name in paper.METRICS}, steps


def interpolate(values: ArrayLike, steps: Sequence[int], dense: Sequence[int] | None = None) -> np.ndarray:
    """Curves (..., len(steps)) linearly interpolated to every step (Section 3.3); ``dense`` defaults to 1..steps[-1].

    Raises ValueError if steps do not rise or do not match the values.
    """
    values, grid = np.asarray(values, float), np.asarray(steps, float)
    if values.shape[-1] != len(grid):
        raise ValueError(f"{values.shape[-1]} values for {len(grid)} step counts: give one value for each step count")
    if np.any(np.diff(grid) <= 0):
        raise ValueError(f"the step counts {list(steps)} do not rise: sort them, each once")
    dense = np.arange(1, int(grid[-1]) + 1) if dense is None else np.asarray(dense)
    flat = values.reshape(-1, len(grid))
    return np.stack([np.interp(dense, grid, row) for row in flat]).reshape(*values.shape[:-1], len(dense))


def dense_curves(frame: pl.DataFrame) -> tuple[list[str], dict[str, np.ndarray]]:
    """``mean_curves`` linearly interpolated to every step from 1 on (Section 3.3): values (prompts, last step)."""
    prompts, curves, steps = mean_curves(frame)
    return prompts, {name: interpolate(values, steps) for name, values in curves.items()}


def long_curves(prompts: Sequence[str], curves: Mapping[str, np.ndarray]) -> pl.DataFrame:
    """Curves (N, T) a metric as rows of ``prompt, metric, steps, value``, steps counted from 1."""
    frames = [
        pl.DataFrame({"prompt": prompt, "metric": name, "steps": np.arange(1, rows.shape[1] + 1), "value": rows[i]})
        for i, prompt in enumerate(prompts)
        for name, rows in curves.items()
    ]
    return pl.concat(frames)
