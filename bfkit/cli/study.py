"""The command line of the user study: ``bfkit study pictures | build | serve | analyse``."""

import argparse
from dataclasses import replace
from pathlib import Path

from bfkit.files import check_target
from bfkit.profiles import Profile

from .advice import load_advisor
from .options import add_command, add_device, add_profile, check_numbers, chosen_device, text

MOST_ORDERS = 2**16  # an answer notes its order in two bytes


def study_pictures(profile: Profile, arguments: argparse.Namespace) -> None:
    """Draw the pictures of a study: held-out prompts in OURS, UNIFORM and REFERENCE; an earlier run is resumed."""
    from bfkit.dataset.table import read_scores
    from bfkit.models.hub import pinned
    from bfkit.models.pipelines import load_pipeline
    from bfkit.study import stimuli

    check_numbers(arguments, prompts=2, seed=0, batch=1)
    check_target(arguments.out, "folder")
    if not (scores := arguments.scores or profile.scores):
        raise ValueError(f"{profile.name} has no scores of its own to tell which prompts are held out: give --scores")
    advisor = load_advisor(profile, arguments)
    plans = stimuli.held_out_plans(read_scores(scores), advisor, arguments.prompts, arguments.seed, arguments.telling)
    profile = pinned(replace(profile, batch=arguments.batch or profile.batch))
    pipe = load_pipeline(profile, chosen_device(arguments))
    table = stimuli.draw_stimuli(pipe, profile, plans, arguments.out, arguments.seed)
    print(f"{len(table)} pictures of {arguments.prompts} held-out prompts, {profile.name}'s, in {arguments.out}")
    if arguments.telling:
        print("they were chosen because they differ: answers about them say nothing of other prompts")
    print(f"`bfkit study build {arguments.out / stimuli.TABLE} --out STUDY` makes a study of them")


def study_build(_: Profile, arguments: argparse.Namespace) -> None:
    """Make a 2AFC study of pictures: a folder that any web server, or a double click, serves."""
    from bfkit import study

    check_numbers(arguments, trials=2, repeats=0, checks=0, practice=0, orders=2, seed=0)
    if arguments.orders > MOST_ORDERS:
        raise ValueError(f"--orders must be at most {MOST_ORDERS}; got {arguments.orders}")
    check_target(arguments.out, "folder")
    page = study.Page(
        title=arguments.title,
        post=arguments.post,
        code=arguments.code,
        redirect=arguments.redirect,
        fullscreen=not arguments.no_fullscreen,
    )
    pictures = study.read_pictures(arguments.pictures)
    study.build(
        pictures,
        arguments.out,
        arguments.protocol,
        trials=arguments.trials,
        repeats=arguments.repeats,
        checks=arguments.checks,
        practice=arguments.practice,
        orders=arguments.orders,
        seed=arguments.seed,
        page=page,
    )
    print(f"open {arguments.out / 'index.html'}, or `bfkit study serve {arguments.out} --out ANSWERS` for a class")


def study_serve(_: Profile, arguments: argparse.Namespace) -> None:
    """Serve a study and keep its answers."""
    from bfkit import study

    if not 0 <= arguments.port < 2**16:
        raise ValueError(f"--port must be from 0 to {2**16 - 1}; got {arguments.port}")
    check_target(arguments.out, "folder")
    study.serve(arguments.folder, arguments.out, arguments.host, arguments.port)


def study_analyse(_: Profile, arguments: argparse.Namespace) -> None:
    """Analyse answers: shares, intervals, JNDs, checks, and Figure 9."""
    from bfkit import study

    check_target(arguments.out, "folder")
    if arguments.authors:
        rows = study.import_authors_csv(arguments.answers, arguments.authors, ours=arguments.ours)
    else:
        rows = study.read_answers(arguments.answers)
    study.write_report(rows, arguments.out)
    print(*(line for found in study.analyse(rows) for line in found.lines()), sep="\n")


def add_commands(commands: argparse._SubParsersAction) -> None:
    """Add ``study`` and its parts to the parser's commands."""
    parts = commands.add_parser("study", help="A user study: make it, serve it, analyse it.")
    parts = parts.add_subparsers(dest="part", required=True, metavar="PART")

    command = add_command(parts, "pictures", study_pictures)
    add_profile(command)
    command.add_argument("--prompts", type=int, default=20, help="how many, of those held out (default 20)")
    command.add_argument("--telling", action="store_true",
                         help="those in which OURS and UNIFORM differ most, to show and not to publish")  # fmt: skip
    command.add_argument("--scores", type=Path, help="the score table that tells them (default: the profile's)")
    command.add_argument("--advisor", help="folder of the trained predictor (default: the profile's)")
    command.add_argument("--seed", type=int, default=0, help="of the pictures and of the choice (default 0)")
    command.add_argument("--batch", type=int, help="pictures drawn at once at first; halved where memory is short")
    command.add_argument("--out", type=Path, required=True, help="folder of the pictures and their table")
    add_device(command)
    command = add_command(parts, "build", study_build)
    command.add_argument("pictures", type=Path, help="csv or parquet: prompt, seed, condition, steps, image (a path)")
    command.add_argument("--out", type=Path, required=True, help="folder of the study")
    command.add_argument("--protocol", choices=("similar", "reference"), default="similar",
                         help="which is more similar to the reference, or which is the reference")  # fmt: skip
    command.add_argument("--trials", type=int, help="trials a participant sees (default: as many as there are)")
    command.add_argument("--repeats", type=int, help="trials seen twice, for self-consistency")
    command.add_argument("--checks", type=int, default=4, help="trials that anybody awake gets right (default 4)")
    command.add_argument("--practice", type=int, default=2, help="trials that do not count (default 2)")
    command.add_argument("--orders", type=int, default=200, help="recorded orders to deal out (default 200)")
    command.add_argument("--seed", type=int, default=0)
    command.add_argument("--title", type=text, default="Comparing pictures", help="of the page")
    command.add_argument("--post", help="URL that answers are sent to")
    command.add_argument("--code", type=text, help="completion code shown at the end")
    command.add_argument("--redirect", help="URL to go to at the end")
    command.add_argument("--no-fullscreen", action="store_true", help="do not ask for the full screen")
    command = add_command(parts, "serve", study_serve)
    command.add_argument("folder", type=Path, help="what `bfkit study build` wrote")
    command.add_argument("--out", type=Path, required=True, help="folder of the answers")
    command.add_argument("--host", default="127.0.0.1", help="0.0.0.0 lets other machines in (default 127.0.0.1)")
    command.add_argument("--port", type=int, default=8000)
    command = add_command(parts, "analyse", study_analyse)
    command.add_argument("answers", type=Path, help="folder of answers, parquet, CSV or JSON")
    command.add_argument("--out", type=Path, required=True, help="folder of the report")
    command.add_argument("--authors", choices=("similar", "reference"), help="a CSV of the paper's own study page")
    command.add_argument("--ours", default="ours", help="the part of the authors' file names that marks OURS")
