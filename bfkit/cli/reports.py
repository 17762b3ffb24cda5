"""``bfkit compare | networks | learning-curve | recipes | knowing | bench | reproduce``: comparisons and the report."""

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from bfkit.files import check_target
from bfkit.profiles import Profile, get_profile

from .options import (
    add_command,
    add_device,
    add_models,
    add_offload,
    add_profile,
    check_numbers,
    chosen_device,
    parameter,
    part,
    show,
)

if TYPE_CHECKING:
    import polars as pl

    from bfkit.evaluation.pieces import Pieces


def compare(profile: Profile, arguments: argparse.Namespace) -> None:
    """Draw held-out prompts by every system of Table 2 at equal cost, and measure them."""
    from bfkit.dataset.table import noted_hardware, read_scores, split_by_prompt, write_table
    from bfkit.evaluation.compare_run import compare

    check_numbers(arguments, prompts=1, seeds=1, batch=1, workers=1)
    check_target(arguments.out, "folder")
    if arguments.table:
        check_target(arguments.table, "file")
    profile = replace(profile, seeds=profile.seeds[: arguments.seeds])
    if arguments.batch is not None:
        profile = replace(profile, batch=arguments.batch)
    device = chosen_device(arguments)
    _, held_out = split_by_prompt(read_scores(arguments.scores or profile.scores))
    texts = held_out.select("prompt_id", "prompt").unique().sort("prompt_id")
    texts = texts if arguments.prompts is None else texts.head(arguments.prompts)
    made = compare(
        profile,
        dict(texts.iter_rows()),
        arguments.advisor or profile.advisor or profile.name,
        arguments.out,
        device,
        arguments.workers,
        arguments.compile,
        offload=arguments.offload,
        part=arguments.part,
        systems=arguments.systems,
    )
    if made.absent:
        print("left out: " + "; ".join(f"{name} ({why})" for name, why in made.absent.items()))
    if made.rows is None:
        done = "part {}/{}".format(*arguments.part)
        print(f"{done} is finished; {made.missing} jobs of other parts are not: the last to finish writes the table")
        return
    number = made.rows["system"].n_unique()
    print(f"{number} systems, {len(texts)} prompts, {len(profile.seeds)} seeds in {arguments.out}")
    if made.broken:
        print(f"{len(made.broken)} broken pictures; their prompts with that seed are left out of every system:")
        print("\n".join(f"  {said}" for said in made.broken))
    if arguments.table:
        noted = {"configuration": made.configuration, "absent": dict(made.absent), "broken": made.broken}
        write_table(made.rows, arguments.table, {**noted, "hardware": noted_hardware(arguments.out)})
        print(f"one table: {arguments.table}")


def _in_pieces(profile: Profile, arguments: argparse.Namespace, pieces: "Pieces") -> "pl.DataFrame | None":
    """Make and write a table in pieces; None, and a word on it, while those of other parts are missing."""
    from bfkit.evaluation.pieces import in_pieces
    from bfkit.files import write_file
    from bfkit.provenance import model_digest, table_digest

    decides = [table_digest(profile.scores), model_digest(profile.clip), repr(profile.predictor)]
    rows = in_pieces(pieces, arguments.out, decides, arguments.part)
    if rows is None:
        print(f"part {arguments.part[0]} of {arguments.part[1]} is made: {arguments.out} is written with the last part")
        return None
    write_file(arguments.out, rows.write_csv(float_precision=5).encode())
    print(f"written: {arguments.out}")
    return rows


def networks(profile: Profile, arguments: argparse.Namespace) -> None:
    """Train every network of Table 1 on a score table, and write its errors on held-out prompts."""
    from bfkit.dataset.table import read_scores
    from bfkit.evaluation import table1

    check_target(arguments.out, "file")
    device, profile = chosen_device(arguments), get_profile(profile.source, scores=arguments.scores)
    _in_pieces(profile, arguments, table1.networks(profile, read_scores(profile.scores), device=device))


def learning_curve(profile: Profile, arguments: argparse.Namespace) -> None:
    """Train the predictor on ever more prompts of a score table, and write its errors on held-out ones."""
    from bfkit.evaluation.learning_curve import trainings

    check_target(arguments.out, "file")
    device, profile = chosen_device(arguments), get_profile(profile.source, scores=arguments.scores)
    _in_pieces(profile, arguments, trainings(profile, device=device))


def recipes(profile: Profile, arguments: argparse.Namespace) -> None:
    """Try data sets that cost the same: many prompts or many seeds, all step counts or few."""
    from bfkit.evaluation.recipes import summary, trainings

    check_target(arguments.out, "file")
    device, profile = chosen_device(arguments), get_profile(profile.source, scores=arguments.scores)
    if (errors := _in_pieces(profile, arguments, trainings(profile, device=device))) is not None:
        show(summary(errors))


def knowing(profile: Profile, arguments: argparse.Namespace) -> None:
    """Look at a score table's pictures again: what prompt, noise and looks tell of the steps that each needs."""
    from bfkit.evaluation.knowing import BUDGETS, knowing_finding, measure
    from bfkit.files import write_file

    check_target(arguments.out, "file")
    device, profile = chosen_device(arguments), get_profile(profile.source, scores=arguments.scores)
    found = measure(profile, device)
    write_file(arguments.out, found.write_csv(float_precision=5).encode())
    show(found)
    print("\n".join(knowing_finding(found, budget) for budget in BUDGETS))
    print(f"written: {arguments.out}")


def bench(_: Profile, arguments: argparse.Namespace) -> None:
    """Measure speed side by side with what one would write first, and the GPU where there is one."""
    check_target(arguments.out, "folder")  # before the imports, which take seconds, and the benchmarks minutes
    if arguments.gpu:
        from bfkit.benchmarks import gpu_changes

        show(gpu_changes.run(arguments.out, chosen_device(arguments)))
        print(f"written: {arguments.out / 'gpu.json'}")
        return
    from bfkit.benchmarks import suite

    pairs = suite.run(arguments.out, chosen_device(arguments))
    show(pairs.select("what", "plain", "size", "device", "ours_seconds", "plain_seconds", "ratio"))
    print(f"written: {arguments.out / 'benchmarks.json'}")


def reproduce(profile: Profile, arguments: argparse.Namespace) -> int | None:
    """Run the notebooks and write the report: figures, tables, one page, and where each came from."""
    from bfkit.report.reproduce import INPUTS, NotebookError, check, make_advisor, make_scores, run

    check_numbers(arguments, prompts=1)
    check_target(arguments.out, "folder")
    if arguments.prompts is not None and not arguments.fresh:
        raise ValueError("--prompts is the number of prompts to draw anew: it goes with --fresh")
    if arguments.fresh and arguments.scores:
        raise ValueError("--fresh makes the scores that --scores would name: give one of the two")
    only = () if arguments.only is None else arguments.only.split(",")
    device, own = chosen_device(arguments), {name: getattr(arguments, name) for name in INPUTS}
    profile = get_profile(profile.source, **own)
    check(profile, arguments.out, only, dict(arguments.parameter), device)  # before hours of drawing
    if arguments.fresh:
        profile = make_scores(profile, arguments.out / "scores", arguments.prompts, device)
    if (arguments.fresh or arguments.scores) and not arguments.advisor:
        profile = make_advisor(profile, arguments.out / "advisor", device)
    try:
        page = run(profile, arguments.out, only, dict(arguments.parameter), arguments.force, device)
    except NotebookError as error:
        print(f"bfkit: {error}", file=sys.stderr)
        return 1
    print(f"done: open {page}")
    return None


# what is computed from a score table into a CSV
TABLES = (("networks", networks), ("learning-curve", learning_curve), ("recipes", recipes), ("knowing", knowing))


def add_commands(commands: argparse._SubParsersAction) -> None:
    """Add ``compare``, what is computed from score tables, ``bench`` and ``reproduce`` to the parser."""
    command = add_command(commands, "compare", compare)
    add_profile(command)
    command.add_argument("--scores", type=Path, help="score table or folder of shards (default: the profile's)")
    command.add_argument("--advisor", help="folder of the trained predictor (default: the profile's)")
    command.add_argument("--prompts", type=int, help="how many of the held-out prompts (default: all)")
    command.add_argument("--seeds", type=int, help="how many of the profile's seeds (default: all)")
    add_device(command)
    command.add_argument("--out", type=Path, required=True, help="folder of the results; an earlier run is resumed")
    add_models(command, "pipeline", "revision", "variant", "clip", "perceptual", "classifier", "dtype", "guidance")
    command.add_argument("--systems", nargs="*", metavar="NAME",
                         help="those beside OURS, UNIFORM and REFERENCE (default: all of Table 2)")  # fmt: skip
    command.add_argument("--batch", type=int, help="pictures drawn at once (default: the profile's)")
    command.add_argument("--workers", type=int, default=1, help="processes that share the work (default 1)")
    command.add_argument("--compile", action="store_true",
                         help="compile the denoiser first, but for systems that change what it computes")  # fmt: skip
    add_offload(command)
    command.add_argument("--part", type=part, default=(1, 1), metavar="I/N", help="only the I-th of N parts")
    command.add_argument("--table", type=Path, help="also write all rows into this one parquet file")
    for name, action in TABLES:
        command = add_command(commands, name, action)
        add_profile(command)
        command.add_argument("--scores", help="score table or folder of shards (default: the profile's)")
        command.add_argument("--out", type=Path, required=True, help="the CSV to write")
        add_device(command)
        if name != "knowing":
            command.add_argument("--part", type=part, default=(1, 1), metavar="I/N",
                                 help="only the I-th of N parts; the last to be finished writes the CSV")  # fmt: skip
    command = add_command(commands, "bench", bench)
    add_device(command)
    command.add_argument("--gpu", action="store_true", help="what pays on a GPU, one change at a time: ten minutes")
    command.add_argument("--out", type=Path, default=Path("reports"), help="where to write (default: reports)")
    command = add_command(commands, "reproduce", reproduce)
    add_profile(command)
    command.add_argument("--out", type=Path, default=Path("reports"), help="where to write (default: reports)")
    command.add_argument("--only", help="some notebooks, by the beginning of their names: 00,03")
    command.add_argument("--parameter", "-p", type=parameter, action="append", default=[], metavar="NAME=VALUE",
                         help="a notebook parameter; may be repeated")  # fmt: skip
    command.add_argument("--scores", help="your own score table or folder of shards (default: the profile's)")
    command.add_argument("--advisor", help="your own trained predictor (default: one trained on --scores)")
    command.add_argument("--systems", help="your own comparison of systems (default: the profile's)")
    command.add_argument("--networks", help="your own errors of every network for Table 1 (default: the profile's)")
    add_device(command)
    command.add_argument("--fresh", action="store_true", help="draw and measure the scores anew, into OUT/scores")
    command.add_argument("--prompts", type=int, help="how many prompts --fresh draws (default: the profile's)")
    command.add_argument("--force", action="store_true", help="run again what is up to date")
