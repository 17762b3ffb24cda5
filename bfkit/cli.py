"""The command line: ``bfkit steps | dataset | train | reproduce``, each with ``--profile``."""

import argparse
import sys
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import papermill
import polars as pl
import torch

from . import (
    bench,
    captions,
    cli_study,
    compare,
    launch,
    learning,
    paper,
    plan,
    predictor,
    prompts,
    reproduce,
    scores,
    shards,
)
from .advisor import StepAdvisor
from .clip import load_clip
from .generate import check_steps
from .metrics import METRICS, load_judges
from .pipelines import check_device, load_pipeline
from .profiles import PROFILES, Profile, get_profile

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def steps(profile: Profile, arguments: argparse.Namespace) -> None:
    """Print each prompt's plateaus and t*."""
    frame = StepAdvisor.from_pretrained(profile.name, DEVICE).steps(arguments.prompts)
    names = {name: info.label for name, info in METRICS.items()} | {"steps": "t*"}
    with pl.Config(tbl_hide_dataframe_shape=True, tbl_hide_column_data_types=True, fmt_str_lengths=80, tbl_rows=-1,
                   tbl_width_chars=140):  # fmt: skip
        print(frame.rename(names))


def dataset(profile: Profile, arguments: argparse.Namespace) -> None:
    """Draw and measure prompts x seeds x step counts into parquet shards."""
    for number in arguments.steps or ():
        check_steps(number)
    if arguments.steps:
        profile = replace(profile, step_counts=tuple(sorted(set(arguments.steps))))
    if arguments.batch is not None:
        profile = replace(profile, batch=_at_least_1("--batch", arguments.batch))
    device = check_device(arguments.device)
    shards = launch.build_dataset(
        profile,
        _prompts(profile, arguments, device),
        arguments.out,
        device,
        arguments.workers,
        arguments.compile,
        keep_images=arguments.keep_images,
        part=arguments.part,
        launch=arguments.launch,
        address=arguments.address,
    )
    print(f"{len(shards)} shards in {arguments.out}: {sum(len(shard.keys()) for shard in shards):,} rows")
    if arguments.table:
        scores.write_table(scores.read_scores(arguments.out), arguments.table, scores.read_metadata(shards[0].path))
        print(f"one table: {arguments.table}")


def _at_least_1(option: str, value: int) -> int:
    if value < 1:
        raise ValueError(f"{option} must be at least 1; got {value}")
    return value


def _prompts(profile: Profile, arguments: argparse.Namespace, device: torch.device) -> list[str]:
    """The first dissimilar captions, as many as asked for; chosen once a folder."""
    count = profile.prompts if arguments.prompts is None else _at_least_1("--prompts", arguments.prompts)
    offered = captions.read_captions(arguments.captions or profile.captions)

    def choose() -> list[str]:
        return prompts.select_prompts(offered, load_clip(profile.clip, device), count)

    return launch.settle_prompts(arguments.out, profile, offered, count, choose)


def train(profile: Profile, arguments: argparse.Namespace) -> None:
    """Train the curve predictor on 90% of a score table's prompts and report its error on the rest."""
    source = arguments.scores or Path(profile.scores)
    training, held_out = scores.split(scores.read_scores(source))
    clip = load_clip(profile.clip, DEVICE)
    texts, curves = scores.dense_curves(training)
    fitted = predictor.fit(clip.embed_texts(texts).cpu(), curves, profile.predictor, arguments.seed)
    test_texts, measured = scores.dense_curves(held_out)
    error = predictor.absolute_error(fitted(clip.embed_texts(test_texts).cpu()), measured)
    mae = {name: round(float(values.mean()), 4) for name, values in error.items()}
    notes = {
        "profile": profile.name,
        "clip": predictor.relative_to(arguments.out, Path(profile.clip))
        if Path(profile.clip).is_dir()
        else profile.clip,
        "examples": texts[:3],
        "training_prompts": len(texts),
        "held_out_prompts": len(test_texts),
        "held_out_mae": mae,
        "seed": arguments.seed,
    }
    predictor.save(fitted, arguments.out, notes)
    print(f"trained on {len(texts)} prompts, error on {len(test_texts)} others {mae}, saved in {arguments.out}")


def compare_systems(profile: Profile, arguments: argparse.Namespace) -> None:
    """Draw held-out prompts by every system of Table 2 at equal cost, and measure them."""
    if arguments.seeds is not None:
        profile = replace(profile, seeds=profile.seeds[: _at_least_1("--seeds", arguments.seeds)])
    device = check_device(arguments.device)
    _, held_out = scores.split(scores.read_scores(arguments.scores or Path(profile.scores)))
    texts = held_out.select("prompt_id", "prompt").unique().sort("prompt_id")
    texts = texts if arguments.prompts is None else texts.head(_at_least_1("--prompts", arguments.prompts))
    advisor = StepAdvisor.from_pretrained(arguments.advisor or profile.name, device)
    steps_of = advisor.steps(texts["prompt"].to_list()).select("prompt", "steps").rows()
    ours = dict(zip(texts["prompt_id"], steps_of, strict=True))
    pipe = load_pipeline(profile, device)
    lab = compare.Lab(pipe, load_judges(profile, device), compare.load_classifier(profile, device), profile)
    frame = compare.compare(lab, ours, arguments.out)
    print(f"{frame['system'].n_unique()} systems, {len(texts)} prompts, {len(profile.seeds)} seeds in {arguments.out}")
    if arguments.table:
        scores.write_table(frame, arguments.table, {"configuration": shards.configuration(profile)})
        print(f"one table: {arguments.table}")


def plan_dataset(profile: Profile, arguments: argparse.Namespace) -> None:
    """Say what a data set will cost before it is made: evaluations, hours, kWh, bytes."""
    count = profile.prompts if arguments.prompts is None else arguments.prompts
    rows = plan.plan(
        profile,
        count,
        check_device(arguments.device),
        gpus=arguments.gpus,
        tflops=arguments.tflops,
        watts=arguments.watts,
        keep_images=arguments.keep_images,
    )
    print(plan.describe(rows))
    expected = learning.expect([max(1, round((1 - paper.TEST_SHARE) * count))])  # the others are held out
    print("\nThe predictor's error to expect, by the miniature's learning curve (90% intervals):")
    for name, _, error, low, high in expected.select("metric", "prompts", "error", "low", "high").iter_rows():
        print(f"  {METRICS[name].label}: {error:.4f} ({low:.4f} to {high:.4f})")


def measure_speed(profile: Profile, arguments: argparse.Namespace) -> None:
    """Measure speed side by side with what one would write first, and the GPU where there is one."""
    pairs = bench.run(arguments.out)
    with pl.Config(tbl_hide_dataframe_shape=True, tbl_hide_column_data_types=True, fmt_str_lengths=60, tbl_rows=-1,
                   tbl_width_chars=140, float_precision=3):  # fmt: skip
        print(pairs.select("what", "plain", "size", "ours_seconds", "plain_seconds", "ratio"))
    print(f"written: {arguments.out / 'benchmarks.json'}")


def reproduce_all(profile: Profile, arguments: argparse.Namespace) -> None:
    """Run the notebooks and write reports/."""
    only = arguments.only.split(",") if arguments.only else ()
    page = reproduce.run(profile, arguments.out, only, dict(arguments.parameter))
    print(f"done: open {page}")


def _number(text: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _parameter(text: str) -> tuple[str, int | float | str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is no NAME=VALUE")
    return name, _number(value)


def _part(text: str) -> tuple[int, int]:
    number, slash, parts = text.partition("/")
    if not (slash and number.isdecimal() and parts.isdecimal()):
        raise argparse.ArgumentTypeError(f"{text!r} is no part such as 3/16")
    return int(number), int(parts)


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bfkit", description="How many denoising steps does a prompt deserve?")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, action: object) -> argparse.ArgumentParser:
        said = action.__doc__.replace("%", "%%")  # argparse formats its texts
        command = commands.add_parser(name, help=said, description=said)
        command.add_argument("--profile", default="mini", help=f"which models: {', '.join(PROFILES)} (default mini)")
        command.set_defaults(action=action)
        return command

    command = add("steps", steps)
    command.add_argument("prompts", nargs="+", metavar="PROMPT")
    command = add("dataset", dataset)
    command.add_argument("--prompts", type=int, help="how many (default: the profile's)")
    command.add_argument("--steps", type=int, nargs="+", metavar="N", help="step counts (default: the paper's twelve)")
    command.add_argument(
        "--out", type=Path, required=True, help="folder of the shards; an earlier run there is resumed"
    )
    command.add_argument("--captions", help="world, train2017, val2017 or a file (default: the profile's)")
    command.add_argument("--device", default=DEVICE, help=f"cpu, cuda or cuda:N (default {DEVICE})")
    command.add_argument("--batch", type=int, help="images drawn at once at first; halved where memory is short")
    command.add_argument("--workers", type=int, help="processes, or Ray actors, that share the work")
    command.add_argument("--compile", action="store_true", help="compile the denoiser first: a slow start, then faster")
    command.add_argument("--keep-images", action="store_true", help="keep the pictures, as WebP, beside the shards")
    command.add_argument(
        "--part", type=_part, default=(1, 1), metavar="I/N", help="only the I-th of N parts of the shards"
    )
    command.add_argument(
        "--launch", choices=("here", "ray"), default="here", help="where the work is done (default here)"
    )
    command.add_argument("--address", help="of a Ray cluster (default: one is started on this machine)")
    command.add_argument("--table", type=Path, help="also write all rows into this one parquet file")
    command = add("plan", plan_dataset)
    command.add_argument("--prompts", type=int, help="how many (default: the profile's)")
    command.add_argument("--device", default=DEVICE, help=f"cpu, cuda or cuda:N (default {DEVICE})")
    command.add_argument("--gpus", type=int, default=1, help="devices that share the work (default 1)")
    command.add_argument("--tflops", type=float, metavar="RATE", help="TFLOPs a second that a GPU sustains: count only")
    command.add_argument("--watts", type=float, help="what a GPU draws, where nothing measures it")
    command.add_argument("--keep-images", action="store_true", help="count the pictures' bytes as well")
    command = add("train", train)
    command.add_argument("--scores", type=Path, help="score table or folder of shards (default: the profile's)")
    command.add_argument("--out", type=Path, required=True, help="folder of the trained predictor")
    command.add_argument("--seed", type=int, default=0)
    command = add("compare", compare_systems)
    command.add_argument("--scores", type=Path, help="score table or folder of shards (default: the profile's)")
    command.add_argument("--advisor", help="folder of the trained predictor (default: the profile's)")
    command.add_argument("--prompts", type=int, help="how many of the held-out prompts (default: all)")
    command.add_argument("--seeds", type=int, help="how many of the profile's seeds (default: all)")
    command.add_argument("--device", default=DEVICE, help=f"cpu, cuda or cuda:N (default {DEVICE})")
    command.add_argument("--out", type=Path, required=True, help="folder of the results; an earlier run is resumed")
    command.add_argument("--table", type=Path, help="also write all rows into this one parquet file")
    cli_study.add_commands(commands)
    command = add("bench", measure_speed)
    command.add_argument("--out", type=Path, default=Path("reports"), help="where to write (default: reports)")
    command = add("reproduce", reproduce_all)
    command.add_argument("--out", type=Path, default=Path("reports"), help="where to write (default: reports)")
    command.add_argument("--only", help="some notebooks, by the beginning of their names: 00,03")
    command.add_argument("--parameter", "-p", type=_parameter, action="append", default=[], metavar="NAME=VALUE",
                         help="a notebook parameter; may be repeated")  # fmt: skip
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; bad input ends with one sentence on stderr and exit code 2."""
    arguments = build_parser().parse_args(argv)
    with warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)
        warnings.showwarning = lambda message, *_: print(f"bfkit: note: {message}", file=sys.stderr)
        try:
            arguments.action(get_profile(arguments.profile), arguments)
        except (ValueError, OSError, ChildProcessError) as error:
            print(f"bfkit: {error}", file=sys.stderr)
            return 2
        except papermill.PapermillExecutionError as error:
            print(
                f"bfkit: a notebook failed in cell {error.exec_count}: {error.ename}: {error.evalue}", file=sys.stderr
            )
            return 1
        except KeyboardInterrupt:
            print("bfkit: stopped; what was finished is kept, and the same command goes on from there", file=sys.stderr)
            return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
