"""``bfkit quickstart``: an advisor of one's own model within an hour, its cost planned first."""

import argparse
from dataclasses import replace
from pathlib import Path

from bfkit.files import check_target
from bfkit.profiles import Profile

from .options import (
    add_command,
    add_device,
    add_models,
    add_offload,
    add_profile,
    check_numbers,
    chosen_device,
    show,
)


def quickstart(profile: Profile, arguments: argparse.Namespace) -> None:
    """Measure as many prompts as an hour pays for and train an advisor on them; says first what it will cost."""
    from bfkit.evaluation.prediction import prediction_finding
    from bfkit.evaluation.quickstart import describe, follow, settle

    check_numbers(arguments, prompts=1, workers=1)
    if not 0 < arguments.hours < 10_000:
        raise ValueError(f"--hours must be a number above 0; got {arguments.hours:g}")
    check_target(arguments.out, "folder")
    profile = profile if arguments.captions is None else replace(profile, captions=arguments.captions)
    device = chosen_device(arguments)
    plan = settle(profile, arguments.out, arguments.hours, arguments.prompts, device, arguments.workers)
    print(describe(plan, arguments.workers), flush=True)
    if arguments.plan:
        return
    notes, errors = follow(
        profile, plan, arguments.out, device, arguments.workers, arguments.compile, offload=arguments.offload
    )
    print(f"trained on {notes['training_prompts']} prompts; errors on {notes['held_out_prompts']} held-out ones:")
    show(errors.drop("paper"))
    print(f"{prediction_finding(errors)}.")
    folder = arguments.out / "advisor"
    print(f"the advisor is in {folder}: bfkit draw PROMPT --profile {profile.source} --advisor {folder} --out PICTURES")


def add_commands(commands: argparse._SubParsersAction) -> None:
    """Add ``quickstart`` to the parser's commands."""
    command = add_command(commands, "quickstart", quickstart)
    add_profile(command)
    command.add_argument(
        "--out", type=Path, required=True, help="folder of all that is made; an earlier run is resumed"
    )
    command.add_argument("--hours", type=float, default=1.0, help="that the whole may take (default 1)")
    command.add_argument("--prompts", type=int, help="how many, whatever it takes (default: what the hours pay for)")
    command.add_argument("--captions", help="world, train2017, val2017 or a file (default: the profile's)")
    command.add_argument("--plan", action="store_true", help="say what it will cost, and stop")
    command.add_argument("--workers", type=int, default=1, help="processes that share the drawing (default 1)")
    command.add_argument("--compile", action="store_true", help="compile the denoiser first: a slow start, then faster")
    add_models(command, "pipeline", "revision", "variant", "clip", "perceptual", "dtype", "guidance")
    add_device(command)
    add_offload(command)
