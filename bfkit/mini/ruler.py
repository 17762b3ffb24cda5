"""How well a painter paints what it is asked, in numbers: verdicts on held-out captions, beside drawn pictures.

python -m bfkit.mini.ruler --pipeline bfkit/mini/weights/pipeline --name shipped --out report.csv
"""

import argparse
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
import torch
from diffusers import EulerDiscreteScheduler, StableDiffusionPipeline
from scipy import linalg

from bfkit.models.pipelines import calling

from . import world
from .judge import VERDICTS, Judge, Reading, load_judge, verdicts
from .scene import Scene

STEP_COUNTS = (5, 9, 17, 33, 65, 129)
ASKED_SEED, REFERENCE_SEED = 4, 5  # of the scenes asked for, and of those that a Fréchet distance is taken to
REFERENCE_SCENES = 2000
WEIGHTS = Path(__file__).parent / "weights"


def wilson(right: int, count: int, z: float = 1.959964) -> tuple[float, float]:
    """Wilson's 95% interval of a share; (0, 1) of nothing."""
    if not count:
        return 0.0, 1.0
    share, extra = right / count, z * z / count
    middle = (share + extra / 2) / (1 + extra)
    reach = z * math.sqrt(share * (1 - share) / count + extra / (4 * count)) / (1 + extra)
    return max(0.0, middle - reach), min(1.0, middle + reach)


def frechet_distance(first: torch.Tensor, second: torch.Tensor) -> float:
    """Fréchet distance between two sets of features (N, D), (M, D), each taken for a normal distribution."""
    (mean1, cov1), (mean2, cov2) = (
        (x.mean(0), np.cov(x, rowvar=False)) for x in (f.double().cpu().numpy() for f in (first, second))
    )
    root = linalg.sqrtm(cov1)
    between = linalg.eigvalsh(np.real(root @ cov2 @ root)).clip(min=0)
    return float(np.sum((mean1 - mean2) ** 2) + np.trace(cov1) + np.trace(cov2) - 2 * np.sqrt(between).sum())


@torch.inference_mode()
def paint(
    pipe: StableDiffusionPipeline, captions: Sequence[str], steps: int, guidance: float = 3.0, batch: int = 50
) -> torch.Tensor:
    """Pictures (N, 3, H, W) in [0, 1] of captions, each from a noise of its own that depends on its place alone."""
    pictures = []
    for start in range(0, len(captions), batch):
        part = list(captions[start : start + batch])
        generators = [torch.Generator().manual_seed(start + i) for i in range(len(part))]
        output = calling(pipe)(
            part, num_inference_steps=steps, guidance_scale=guidance, generator=generators, output_type="pt"
        )
        pictures.append(output.images.float().cpu())
    return torch.cat(pictures)


@torch.inference_mode()
def draw_and_read(judge: Judge, scenes: Sequence[Scene]) -> tuple[list[Reading], torch.Tensor]:
    """What the judge reads in the drawn pictures of scenes, and their features."""
    parts = [judge.read(world.draw(scenes[i : i + 100])) for i in range(0, len(scenes), 100)]
    return [reading for part, _ in parts for reading in part], torch.cat([features for _, features in parts])


def _rows(readings: Sequence[Reading], scenes: Sequence[Scene]) -> pl.DataFrame:
    """One row a picture, subset and verdict that its caption allows: ``subset``, ``verdict``, ``right``."""
    return pl.DataFrame(
        [
            (subset, name, right)
            for reading, scene in zip(readings, scenes, strict=True)
            for name, right in verdicts(reading, scene).items()
            if right is not None
            for subset in ("all", scene.arrangement)
        ],
        schema={"subset": pl.String, "verdict": pl.String, "right": pl.Boolean},
        orient="row",
    )


def _summary(readings: Sequence[Reading], scenes: Sequence[Scene]) -> pl.DataFrame:
    found = _rows(readings, scenes).group_by("subset", "verdict").agg(pl.len().alias("count"), pl.col("right").sum())
    bounds = [wilson(right, count) for right, count in found.select("right", "count").iter_rows()]
    return found.with_columns(
        (pl.col("right") / pl.col("count")).alias("value"),
        pl.Series("low", [low for low, _ in bounds]),
        pl.Series("high", [high for _, high in bounds]),
    ).drop("right")


def paint_report(
    pipe: StableDiffusionPipeline,
    judge: Judge,
    scenes: Sequence[Scene],
    step_counts: Sequence[int] = STEP_COUNTS,
    guidance: float = 3.0,
    name: str = "",
) -> pl.DataFrame:
    """The judge's verdicts on pictures painted of the scenes' captions, a row a painter, steps, subset and verdict.

    ``value`` is the share that is right with its 95% interval ``low`` to ``high`` over ``count`` pictures, ``drawn``
    what the same judge gives drawn pictures of the same scenes. Rows of the verdict "frechet" hold a distance to 2,000
    drawn pictures of other scenes in ``value``, and in ``drawn`` that of the drawn ones: the floor.
    """
    reference = draw_and_read(judge, world.sample_scenes(REFERENCE_SCENES, REFERENCE_SEED))[1]
    drawn_readings, drawn_features = draw_and_read(judge, scenes)
    drawn = _summary(drawn_readings, scenes).select("subset", "verdict", pl.col("value").alias("drawn"))
    floor = frechet_distance(drawn_features, reference)
    captions, tables = [scene.caption for scene in scenes], []
    for steps in step_counts:
        readings, features = judge.read(paint(pipe, captions, steps, guidance))
        distance = {"subset": "all", "verdict": "frechet", "count": len(scenes), "drawn": floor,
                    "value": frechet_distance(features, reference)}  # fmt: skip
        table = _summary(readings, scenes).join(drawn, on=["subset", "verdict"])
        table = pl.concat([table.cast({"count": pl.Int64}), pl.DataFrame([distance])], how="diagonal")
        tables.append(table.with_columns(pl.lit(steps).alias("steps")))
    columns = ["painter", "guidance", "steps", "subset", "verdict", "count", "value", "low", "high", "drawn"]
    order = pl.Enum([*VERDICTS, "frechet"])
    return (
        pl.concat(tables)
        .with_columns(pl.lit(name).alias("painter"), pl.lit(guidance).alias("guidance"), pl.col("verdict").cast(order))
        .select(columns)
        .sort("painter", "guidance", "steps", "subset", "verdict")
        .with_columns(pl.col("verdict").cast(pl.String), pl.col("value", "low", "high", "drawn").round(4))
    )


def ruler_title(table: pl.DataFrame) -> str:
    """The finding of ``paint_report`` at its last step count, in a line: what is right most often, and least."""
    last = table.filter(pl.col("steps") == pl.col("steps").max(), subset="all").filter(pl.col("verdict") != "frechet")
    most, least = last.sort("value", descending=True).row(0, named=True), last.sort("value").row(0, named=True)
    if most["low"] <= least["high"]:
        return f"Of what is asked, all is right about as often: in {_share(least)} to {_share(most)} of the pictures"
    first, second = (row["verdict"].replace("_", " ") for row in (most, least))
    return f"Of what is asked, {first} is right in {_share(most)} of the pictures, {second} in {_share(least)}"


def _share(row: dict) -> str:
    return f"{row['value']:.0%} ({row['low']:.0%} to {row['high']:.0%})"


def ruler_finding(table: pl.DataFrame) -> str:
    """One sentence on ``paint_report``: what more steps than the fewest surely mend, and what they do not."""
    rows = table.filter(pl.col("verdict") != "frechet", subset="all")
    ends = [rows.filter(pl.col("steps") == at) for at in (rows["steps"].min(), rows["steps"].max())]
    both = ends[0].join(ends[1], on="verdict", suffix="_last", maintain_order="left")
    mended = both.filter(pl.col("low_last") > pl.col("high"))["verdict"].str.replace_all("_", " ").to_list()
    rest = both.filter(pl.col("low_last") <= pl.col("high"))["verdict"].str.replace_all("_", " ").to_list()
    if not mended:
        said = "nothing becomes surely more often right"
    else:
        said = f"these become surely more often right: {', '.join(mended)}"
        said += f"; these do not: {', '.join(rest)}" if rest else ""
    return f"From {ends[0]['steps'][0]} steps to {ends[1]['steps'][0]}, {said}"


def asked_scenes(count: int) -> list[Scene]:
    """Held-out scenes whose captions a painter is asked for: seeds that no training uses."""
    return world.sample_scenes(count, ASKED_SEED)


def load_painter(folder: Path) -> StableDiffusionPipeline:
    """A pipeline folder in float32 with the Euler sampler, quiet."""
    pipe = StableDiffusionPipeline.from_pretrained(folder, dtype=torch.float32)
    pipe.scheduler = EulerDiscreteScheduler.from_config(pipe.scheduler.config, timestep_spacing="linspace")
    pipe.set_progress_bar_config(disable=True)
    return pipe


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bfkit.mini.ruler", description=__doc__ and __doc__.splitlines()[0])
    parser.add_argument("--pipeline", type=Path, default=WEIGHTS / "pipeline")
    parser.add_argument("--judge", type=Path, default=WEIGHTS / "judge")
    parser.add_argument("--out", type=Path, help="a CSV; rows of other painters, guidances and steps in it are kept")
    parser.add_argument("--name", default="", help="what the painter is called in the table")
    parser.add_argument("--captions", type=int, default=500)
    parser.add_argument("--steps", type=int, nargs="+", default=list(STEP_COUNTS))
    parser.add_argument("--guidance", type=float, default=3.0)
    given = parser.parse_args()
    scenes, judge, pipe = asked_scenes(given.captions), load_judge(given.judge), load_painter(given.pipeline)
    table = paint_report(pipe, judge, scenes, given.steps, given.guidance, given.name)
    shown = table.filter(pl.col("subset").is_in(["all", "single"]))
    with pl.Config(tbl_rows=-1, tbl_cols=-1, tbl_hide_dataframe_shape=True, ascii_tables=True):
        print(shown)
    if given.out:
        keys = ["painter", "guidance", "steps", "subset", "verdict"]
        if given.out.exists():
            old = pl.read_csv(given.out, schema=table.schema)
            table = pl.concat([old.join(table, on=["painter", "guidance", "steps"], how="anti"), table])
        table.with_columns(pl.col("verdict").cast(pl.Enum([*VERDICTS, "frechet"]))).sort(keys).write_csv(given.out)


if __name__ == "__main__":
    main()
