"""Comparisons, benchmarks and the report: ``bfkit compare | bench | reproduce``."""

import argparse
from dataclasses import replace
from pathlib import Path

from .. import bench, compare, inception, reproduce, scores, shards
from ..advisor import StepAdvisor
from ..metrics import load_judges
from ..pipelines import check_device, load_pipeline
from ..profiles import Profile, get_profile
from .options import add_command, add_device, add_profile, at_least_1, parameter, show


def compare_systems(profile: Profile, arguments: argparse.Namespace) -> None:
    """Draw held-out prompts by every system of Table 2 at equal cost, and measure them."""
    if arguments.seeds is not None:
        profile = replace(profile, seeds=profile.seeds[: at_least_1("--seeds", arguments.seeds)])
    device = check_device(arguments.device)
    _, held_out = scores.split(scores.read_scores(arguments.scores or profile.scores))
    texts = held_out.select("prompt_id", "prompt").unique().sort("prompt_id")
    texts = texts if arguments.prompts is None else texts.head(at_least_1("--prompts", arguments.prompts))
    advisor = StepAdvisor.from_pretrained(arguments.advisor or profile.name, device)
    steps_of = advisor.steps(texts["prompt"].to_list()).select("prompt", "steps").rows()
    ours = dict(zip(texts["prompt_id"], steps_of, strict=True))
    pipe = load_pipeline(profile, device)
    lab = compare.Lab(pipe, load_judges(profile, device), inception.load_classifier(profile, device), profile)
    frame = compare.compare(lab, ours, arguments.out)
    print(f"{frame['system'].n_unique()} systems, {len(texts)} prompts, {len(profile.seeds)} seeds in {arguments.out}")
    if arguments.table:
        scores.write_table(frame, arguments.table, {"configuration": shards.configuration(profile)})
        print(f"one table: {arguments.table}")


def measure_speed(_: Profile, arguments: argparse.Namespace) -> None:
    """Measure speed side by side with what one would write first, and the GPU where there is one."""
    pairs = bench.run(arguments.out)
    show(pairs.select("what", "plain", "size", "ours_seconds", "plain_seconds", "ratio"))
    print(f"written: {arguments.out / 'benchmarks.json'}")


def reproduce_all(profile: Profile, arguments: argparse.Namespace) -> None:
    """Run the notebooks and write the report: figures, tables, one page, and where each came from."""
    if arguments.prompts is not None and not arguments.fresh:
        raise ValueError("--prompts is the number of prompts to draw anew: it goes with --fresh")
    if arguments.fresh and arguments.scores:
        raise ValueError("--fresh makes the scores that --scores would name: give one of the two")
    only = arguments.only.split(",") if arguments.only else ()
    reproduce.choose(only)  # a wrong name is told before hours of drawing
    profile = get_profile(profile.name, scores=arguments.scores, advisor=arguments.advisor, systems=arguments.systems)
    if arguments.fresh:
        count = None if arguments.prompts is None else at_least_1("--prompts", arguments.prompts)
        profile = reproduce.make_scores(profile, arguments.out / "scores", count)
    if (arguments.fresh or arguments.scores) and not arguments.advisor:
        profile = reproduce.make_advisor(profile, arguments.out / "advisor")
    page = reproduce.run(profile, arguments.out, only, dict(arguments.parameter), arguments.force)
    print(f"done: open {page}")


def add_commands(commands: argparse._SubParsersAction) -> None:
    """Add ``compare``, ``bench`` and ``reproduce`` to the parser's commands."""
    command = add_command(commands, "compare", compare_systems)
    add_profile(command)
    command.add_argument("--scores", type=Path, help="score table or folder of shards (default: the profile's)")
    command.add_argument("--advisor", help="folder of the trained predictor (default: the profile's)")
    command.add_argument("--prompts", type=int, help="how many of the held-out prompts (default: all)")
    command.add_argument("--seeds", type=int, help="how many of the profile's seeds (default: all)")
    add_device(command)
    command.add_argument("--out", type=Path, required=True, help="folder of the results; an earlier run is resumed")
    command.add_argument("--table", type=Path, help="also write all rows into this one parquet file")
    command = add_command(commands, "bench", measure_speed)
    command.add_argument("--out", type=Path, default=Path("reports"), help="where to write (default: reports)")
    command = add_command(commands, "reproduce", reproduce_all)
    add_profile(command)
    command.add_argument("--out", type=Path, default=Path("reports"), help="where to write (default: reports)")
    command.add_argument("--only", help="some notebooks, by the beginning of their names: 00,03")
    command.add_argument("--parameter", "-p", type=parameter, action="append", default=[], metavar="NAME=VALUE",
                         help="a notebook parameter; may be repeated")  # fmt: skip
    command.add_argument("--scores", help="your own score table or folder of shards (default: the profile's)")
    command.add_argument("--advisor", help="your own trained predictor (default: one trained on --scores)")
    command.add_argument("--systems", help="your own comparison of systems (default: the profile's)")
    command.add_argument("--fresh", action="store_true", help="draw and measure the scores anew, into OUT/scores")
    command.add_argument("--prompts", type=int, help="how many prompts --fresh draws (default: the profile's)")
    command.add_argument("--force", action="store_true", help="run again what is up to date")
