"""Prompts to steps, and the data set and the predictor behind that: ``bfkit steps | dataset | plan | train``."""

import argparse
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from bfkit import paper
from bfkit.extras import extra
from bfkit.files import check_target
from bfkit.metrics.registry import METRICS
from bfkit.predictor.choice import UNITS
from bfkit.profiles import Profile

from .advice import add_advice, asked_prompts, load_advisor, refusals, rule_of, say_refused
from .options import (
    add_command,
    add_device,
    add_models,
    add_offload,
    add_profile,
    add_seeds,
    check_numbers,
    chosen_device,
    part,
    show,
    with_seeds,
)


def steps(profile: Profile, arguments: argparse.Namespace) -> int:
    """Print each prompt's steps, by its plateaus or another rule; prompts that the model cannot read have none."""
    import polars as pl

    if arguments.unit != "steps" and arguments.total is None:
        raise ValueError("--unit is that of a --total: give both")
    if arguments.total is not None and rule_of(arguments):
        raise ValueError("--total shares out a budget by its own price: it goes with no rule")
    prompts = asked_prompts(arguments)
    advisor = load_advisor(profile, arguments)
    refused = refusals(advisor, prompts)
    rows = pl.DataFrame({"prompt": prompts}).with_row_index("row")
    if known := [number for number in range(len(rows)) if number not in refused]:
        readable = [prompts[number] for number in known]
        if arguments.total is None:
            found = advisor.steps(readable, **rule_of(arguments))
        else:
            found = advisor.allocate(readable, arguments.total, arguments.unit)
        found = found.drop("prompt").with_columns(row=pl.Series(known, dtype=pl.UInt32))
        rows = rows.join(found, on="row", how="left").sort("row").drop("row")
        if refused:
            rows = rows.with_columns(pl.exclude("prompt").cast(pl.String).fill_null("-"))
        by_plateau = arguments.rule in (None, "plateau") and arguments.total is None
        labels = {name: info.label for name, info in METRICS.items()} | ({"steps": "t*"} if by_plateau else {})
        show(rows.rename(labels, strict=False))
    say_refused(refused)
    return 2 if refused else 0


def dataset(profile: Profile, arguments: argparse.Namespace) -> None:
    """Draw and measure prompts x seeds x step counts into parquet shards."""
    from bfkit.dataset.build import build_dataset, dataset_prompts
    from bfkit.dataset.executors.ray import check_address
    from bfkit.dataset.failures import FILE, failures_in, failures_of
    from bfkit.dataset.measure import BESIDE
    from bfkit.dataset.table import ORDER, noted_hardware, read_beside, read_metadata, read_scores, write_table
    from bfkit.sampling.generate import check_steps

    check_numbers(arguments, prompts=1, batch=1, workers=1, seeds=1, held_out_seeds=1)
    if arguments.address and arguments.executor != "ray":
        raise ValueError("--address is that of a Ray cluster: it goes with --executor ray")
    with extra("ray"):
        if arguments.executor == "ray" and find_spec("ray") is None:
            raise ModuleNotFoundError(name="ray")
    if arguments.address:
        check_address(arguments.address)
    check_target(arguments.out, "folder")
    if arguments.table:
        check_target(arguments.table, "file")
    for number in arguments.steps or ():
        check_steps(number)
    if arguments.steps:
        profile = replace(profile, step_counts=tuple(sorted(set(arguments.steps))))
    profile = with_seeds(profile, arguments)
    if arguments.batch is not None:
        profile = replace(profile, batch=arguments.batch)
    profile = replace(profile, scorer_tf32=arguments.tf32 or profile.scorer_tf32)
    device = chosen_device(arguments)
    shards = build_dataset(
        profile,
        dataset_prompts(profile, arguments.out, arguments.captions, arguments.prompts, device),
        arguments.out,
        device,
        arguments.workers,
        arguments.compile,
        keep_images=arguments.keep_images,
        offload=arguments.offload,
        part=arguments.part,
        executor=arguments.executor,
        address=arguments.address,
    )
    broken = failures_of(shard.path for shard in shards)
    rows = sum(len(shard.keys()) for shard in shards) - len(broken)
    print(f"{len(shards)} shards in {arguments.out}: {rows:,} rows")
    if len(broken):
        print(f"{len(broken):,} broken pictures are left out: which and why stands in {arguments.out / FILE}")
    if arguments.table:
        scores, beside = read_scores(arguments.out), read_beside(arguments.out, BESIDE)  # of all parts that are there
        rows = scores.join(beside, on=ORDER, how="left", maintain_order="left")
        noted = read_metadata(min(arguments.out.glob("shard-*.parquet")))  # this part itself may hold no shard
        noted |= {"hardware": noted_hardware(arguments.out), "failures": failures_in(arguments.out).to_dicts()}
        write_table(rows, arguments.table, noted)
        print(f"one table: {arguments.table}")


def plan(profile: Profile, arguments: argparse.Namespace) -> None:
    """Say what a data set will cost before it is made: evaluations, hours, kWh, bytes."""
    from bfkit.dataset.estimate import describe, estimate
    from bfkit.evaluation.learning_curve import expect

    check_numbers(arguments, prompts=1, gpus=1, seeds=1, held_out_seeds=1)
    profile = with_seeds(profile, arguments)
    count = profile.prompts if arguments.prompts is None else arguments.prompts
    rows = estimate(
        profile,
        count,
        chosen_device(arguments),
        gpus=arguments.gpus,
        tflops=arguments.tflops,
        watts=arguments.watts,
        keep_images=arguments.keep_images,
    )
    print(describe(rows))
    expected = expect([max(1, round((1 - paper.TEST_SHARE) * count))])  # the others are held out
    print("\nThe predictor's error to expect, by the miniature's learning curve (90% intervals):")
    for name, _, error, low, high in expected.select("metric", "prompts", "error", "low", "high").iter_rows():
        print(f"  {METRICS[name].label}: {error:.4f} ({low:.4f} to {high:.4f})")


def train(profile: Profile, arguments: argparse.Namespace) -> None:
    """Train the curve predictor on 90% of a score table's prompts and report its error on the rest."""
    from bfkit.predictor.training import train_advisor

    check_numbers(arguments, seed=0, epochs=1)
    check_target(arguments.out, "folder")
    device = chosen_device(arguments)
    profile = profile if arguments.scores is None else replace(profile, scores=str(arguments.scores))
    if arguments.epochs is not None:
        epochs = dict.fromkeys(METRICS, arguments.epochs)
        profile = replace(profile, predictor=replace(profile.predictor, epochs=epochs))
    notes = train_advisor(profile, arguments.out, arguments.seed, device)
    print(
        f"trained on {notes['training_prompts']} prompts, error on {notes['held_out_prompts']} others "
        f"{notes['held_out_mae']}, saved in {arguments.out}"
    )


def add_commands(commands: argparse._SubParsersAction) -> None:
    """Add ``steps``, ``dataset``, ``plan`` and ``train`` to the parser's commands."""
    command = add_command(commands, "steps", steps)
    add_profile(command)
    add_advice(command)
    command.add_argument("--total", type=float, metavar="N", help="share out so much among these prompts, instead")
    command.add_argument("--unit", choices=UNITS, default="steps", help="of the total (default steps)")
    command = add_command(commands, "dataset", dataset)
    add_profile(command)
    command.add_argument("--prompts", type=int, help="how many (default: the profile's)")
    command.add_argument("--steps", type=int, nargs="+", metavar="N", help="step counts (default: the paper's twelve)")
    add_seeds(command)
    command.add_argument(
        "--out", type=Path, required=True, help="folder of the shards; an earlier run there is resumed"
    )
    add_models(command, "pipeline", "revision", "variant", "clip", "perceptual", "dtype", "guidance")
    command.add_argument("--captions", help="world, train2017, val2017 or a file (default: the profile's)")
    add_device(command)
    command.add_argument("--batch", type=int, help="images drawn at once at first; halved where memory is short")
    command.add_argument("--workers", type=int, help="processes, or Ray actors, that share the work")
    command.add_argument("--compile", action="store_true", help="compile the denoiser first: a slow start, then faster")
    command.add_argument("--tf32", action="store_true", help="score with TF32 products on a GPU: faster, less exact")
    add_offload(command)
    command.add_argument("--keep-images", action="store_true", help="keep the pictures, as WebP, beside the shards")
    command.add_argument(
        "--part", type=part, default=(1, 1), metavar="I/N", help="only the I-th of N parts of the shards"
    )
    command.add_argument(
        "--executor", "--launch", choices=("here", "ray"), default="here", help="where the work is done (default here)"
    )
    command.add_argument("--address", help="of a Ray cluster (default: one is started on this machine)")
    command.add_argument("--table", type=Path, help="also write all rows into this one parquet file")
    command = add_command(commands, "plan", plan)
    add_profile(command)
    command.add_argument("--prompts", type=int, help="how many (default: the profile's)")
    add_seeds(command)
    add_models(command, "pipeline", "revision", "variant", "dtype", "guidance")
    add_device(command)
    command.add_argument("--gpus", type=int, default=1, help="devices that share the work (default 1)")
    command.add_argument("--tflops", type=float, metavar="RATE", help="TFLOPs a second that a GPU sustains: count only")
    command.add_argument("--watts", type=float, help="what a GPU draws, where nothing measures it")
    command.add_argument("--keep-images", action="store_true", help="count the pictures' bytes as well")
    command = add_command(commands, "train", train)
    add_profile(command)
    command.add_argument("--scores", type=Path, help="score table or folder of shards (default: the profile's)")
    command.add_argument("--out", type=Path, required=True, help="folder of the trained predictor")
    add_models(command, "clip")
    add_device(command)
    command.add_argument("--epochs", type=int, help="passes over the prompts, for each metric (default: the profile's)")
    command.add_argument("--seed", type=int, default=0)
