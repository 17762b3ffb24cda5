"""The dataset's shards: what decides a shard's content, which shards there are, and how one is written.

A shard holds a few prompts, is written in one move, and carries the configuration that made it in its metadata. What
is finished is told by the shards alone, so a run that was killed is resumed by running it again.
"""

import hashlib
import json
import math
import platform
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from itertools import product
from pathlib import Path
from typing import Any

from diffusers import DiffusionPipeline

from bfkit.devices import hardware
from bfkit.files import is_sealed
from bfkit.metrics.scorer import Scorer
from bfkit.models.hub import pinned
from bfkit.models.schedulers import FIRST_TIMESTEP
from bfkit.profiles import Family, Profile
from bfkit.provenance import model_digest
from bfkit.sampling.generate import check_prompts, check_steps

from .measure import measure_prompts, picture_path
from .table import ORDER, held_out_among, read_metadata, read_table, write_table
from .truth import Checker

IMAGES_A_SHARD, MOST_IMAGES = 384, 1024
FORMAT = 2  # raise it when the same settings come to mean other rows


# --- what decides the rows ------------------------------------------------------------------------------------------


def _own_settings(family: Family) -> dict:
    """What a family sets, as JSON has it; a setting that families gain later does not change those without it."""
    values = {field.name: getattr(family, field.name) for field in fields(family)}
    return json.loads(json.dumps({f.name: values[f.name] for f in fields(family) if values[f.name] != f.default}))


def configuration(profile: Profile) -> dict:
    """Everything but the prompts that decides the rows; two runs with the same one may share a folder."""
    return {
        "format": FORMAT,
        "profile": profile.name,
        "pipeline": model_digest(profile.pipeline),
        "clip": model_digest(profile.clip),
        "perceptual": model_digest(profile.perceptual),
        "dtype": profile.dtype,
        "image_size": profile.image_size,
        "guidance": profile.guidance,
        "scheduler": f"{profile.family.scheduler}, {profile.spacing}",
        "one_step_at": FIRST_TIMESTEP,
        "family": _own_settings(profile.family),
        "seeds": list(profile.seeds),
        "step_counts": list(profile.step_counts),
        "l_snr": profile.l_snr,
        "i_clip": profile.i_clip,
        # data sets of before know nothing of these
        **({"scorer_tf32": True} if profile.scorer_tf32 else {}),
        **({"judge": model_digest(profile.judge)} if profile.judge else {}),
        **{name: value for name in ("revision", "variant") if (value := getattr(profile, name))},
    }


def deciding(profile: Profile) -> tuple[tuple[str, Any], ...]:
    """What of the ``configuration`` decides a single picture, beside its prompt, seed and steps."""
    config = configuration(profile)
    names = ("pipeline", "revision", "dtype", "image_size", "guidance", "scheduler")
    return tuple((name, config[name]) for name in names if name in config)


def as_before(profile: Profile, config: Mapping[str, Any] | None) -> Profile:
    """The profile at the commit of its pipeline that an earlier run in the folder had, or else at today's.

    ``config`` is that run's ``configuration``, if there was one. A revision of the user's own stays as it is.
    """
    earlier = config or {}
    if not profile.revision and earlier.get("pipeline") == profile.pipeline and "revision" in earlier:
        return replace(profile, revision=earlier["revision"])
    return pinned(profile)


def earlier_configuration(folder: Path) -> dict | None:
    """What the first readable shard of a folder says it was made with; None where there is none."""
    for path in sorted(folder.glob("shard-*.parquet")):
        with suppress(ValueError):
            return read_metadata(path)["configuration"]
    return None


# --- which shards there are -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Shard:
    """A few prompts with some or all of the seeds, the first prompt's id, and the file that their rows go into."""

    path: Path
    prompts: tuple[str, ...]
    first_id: int
    seeds: tuple[int, ...]
    step_counts: tuple[int, ...]

    def keys(self) -> list[tuple[int, int, int]]:
        """Prompt id, seed and steps of each row, in the table's order."""
        ids = range(self.first_id, self.first_id + len(self.prompts))
        return list(product(ids, sorted(self.seeds), sorted(self.step_counts)))

    def is_complete(self, pictures: Path | None = None) -> bool:
        """True if the file is undamaged and holds what its name says, and ``pictures`` the picture of every row.

        Pictures that are noted as broken are left out of both.
        """
        try:
            if not is_sealed(self.path.read_bytes()):
                return False
            frame, noted = read_table(self.path)
        except (OSError, ValueError):
            return False
        left_out = {tuple(row[name] for name in ORDER) for row in noted.get("failures", [])}
        keys = [key for key in self.keys() if key not in left_out]
        whole = (
            self.path.name == _name(self.first_id, noted.get("configuration", {}), self.prompts, self.seeds)
            and frame.select(ORDER).rows() == keys
            and frame["prompt"].to_list() == [self.prompts[key[0] - self.first_id] for key in keys]
        )
        return whole and (pictures is None or all(_is_filled(picture_path(pictures, *key)) for key in keys))


def _is_filled(path: Path) -> bool:
    try:
        return path.stat().st_size > 0
    except OSError:
        return False


def _name(first_id: int, config: dict, prompts: Sequence[str], seeds: Sequence[int]) -> str:
    decides = json.dumps([config, first_id, list(prompts), list(seeds)], sort_keys=True)
    return f"shard-{first_id:06d}-{hashlib.sha256(decides.encode()).hexdigest()[:12]}.parquet"


def blocks(profile: Profile) -> tuple[int, list[tuple[int, ...]]]:
    """How many prompts a shard has, and into which groups the seeds are split where one prompt alone would be too many.

    Whatever the profile, a shard that is not the last has 256 to 1,024 images.
    """
    seeds, counts = profile.seeds, len(profile.step_counts)
    groups = math.ceil(len(seeds) / (MOST_IMAGES // counts))
    split = [seeds[i * len(seeds) // groups : (i + 1) * len(seeds) // groups] for i in range(groups)]
    return max(1, round(IMAGES_A_SHARD / (len(seeds) * counts))), split


def _refuse_other_contents(folder: Path, config: dict, prompts: Sequence[str]) -> None:
    for path in sorted(folder.glob("shard-*.parquet")):
        try:
            noted = read_metadata(path)
        except ValueError:
            continue  # a damaged shard is simply made again
        other = noted["configuration"]
        differing = [key for key in {**config, **other} if config.get(key) != other.get(key)]
        if differing:
            values = "; ".join(f"{key}: {other.get(key)} there, {config.get(key)} here" for key in differing)
            raise ValueError(
                f"{folder} holds shards of another configuration ({values}): choose another folder, or the same "
                "settings to go on"
            )
        first_id = noted["first_id"]
        for number, (text, mine) in enumerate(zip(noted["prompts"], prompts[first_id:], strict=False), first_id):
            if text != mine:
                raise ValueError(
                    f"{folder} holds other prompts (number {number}: {text!r} there, {mine!r} here): choose another "
                    "folder, or the same prompts to go on"
                )


def list_shards(profile: Profile, prompts: Sequence[str], folder: Path) -> list[Shard]:
    """The shards of a data set, finished or not, in order; draws nothing.

    Raises ValueError for bad prompts, seeds or step counts, or if the folder holds shards of another configuration or
    of other prompts.
    """
    prompts = check_prompts(prompts)
    for steps in profile.step_counts:
        check_steps(steps)
    for name in ("seeds", "step_counts"):
        values = getattr(profile, name)
        if not values or len(set(values)) < len(values):
            raise ValueError(f"the profile's {name} are {values}: give at least one, and each once")
    config = configuration(profile)
    _refuse_other_contents(folder, config, prompts)
    each, groups = blocks(profile)
    shards = []
    for start in range(0, len(prompts), each):
        block = tuple(prompts[start : start + each])
        for seeds in groups:
            path = folder / _name(start, config, block, seeds)
            shards.append(Shard(path, block, start, seeds, profile.step_counts))
    for number in sorted(held_out_among(range(len(prompts)))) if profile.more_seeds else ():
        path = folder / _name(number, config, prompts[number : number + 1], profile.more_seeds)
        shards.append(Shard(path, (prompts[number],), number, profile.more_seeds, profile.step_counts))
    return shards


def write_shard(
    pipe: DiffusionPipeline,
    scorer: Scorer,
    profile: Profile,
    shard: Shard,
    tflops: float,
    pictures: Path | None = None,
    checker: Checker | None = None,
) -> None:
    """Draw and measure one shard's prompts and write its file; ``tflops`` is what one evaluation costs.

    ``pictures`` is a folder to keep the pictures in. Broken pictures are left out and noted in the file's metadata.
    Raises ValueError if the models are no longer those that the shard was planned with, or memory does not hold one
    picture; OSError if the disk is full or another than planned.
    """
    config = configuration(profile)
    if shard.path.name != _name(shard.first_id, config, shard.prompts, shard.seeds):
        raise ValueError(
            f"the models of {profile.name} are not those that {shard.path.name} was planned with: they have changed "
            "since, or differ between machines; run again with the same models everywhere"
        )
    if not shard.path.parent.is_dir():
        raise FileNotFoundError(
            f"{shard.path.parent} is not there on {platform.node()}: on several machines the data set's folder must "
            "be on a file system that all of them share"
        )
    seeds = replace(profile, seeds=shard.seeds)
    try:
        frame, failures = measure_prompts(pipe, scorer, seeds, shard.prompts, shard.first_id, tflops, pictures, checker)
    except OSError as error:
        if pictures is None:
            raise
        raise OSError(
            f"a picture cannot be written to {pictures} ({error.strerror or error}): see to the disk and run again; "
            "what is finished is kept"
        ) from None
    noted = {"configuration": config, "first_id": shard.first_id, "prompts": shard.prompts, "seeds": shard.seeds}
    write_table(frame, shard.path, {**noted, "failures": failures.to_dicts(), "hardware": hardware(pipe.device)})
