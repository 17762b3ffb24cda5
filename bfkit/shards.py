"""The dataset's shards: what decides a shard's content, which shards there are, and how one is written.

A shard holds a few prompts, is written in one move, and carries the configuration that made it in its metadata. What
is finished is told by the shards alone, so a run that was killed is resumed by running it again.
"""

import hashlib
import json
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import torch
from diffusers import DiffusionPipeline

from . import cost, generate
from .engine import measure_prompts
from .metrics import Judges
from .profiles import Profile
from .scores import read_metadata, write_table

PROMPTS_A_SHARD = 8


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
    frame = measure_prompts(pipe, judges, profile, shard.prompts, shard.first_id, tflops)
    hardware = {"machine": platform.machine(), "device": str(pipe.device), "torch": torch.__version__}
    write_table(frame, shard.path, {"configuration": configuration(profile), "hardware": hardware})
