"""Prompts to pictures: ``bfkit draw``, each in the steps that it deserves."""

import argparse
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bfkit import paper
from bfkit.files import check_target, write_file
from bfkit.profiles import Profile

from .advice import add_advice, asked_prompts, load_advisor, refusals, rule_of, say_refused
from .options import (
    add_command,
    add_models,
    add_offload,
    add_profile,
    check_numbers,
    chosen_device,
    show,
)

DECIDING = ("pipeline", "revision", "dtype", "image_size", "guidance", "scheduler")  # of a data set's configuration


def draw(profile: Profile, arguments: argparse.Namespace) -> int:
    """Draw prompts, each in the steps that its advisor gives it, and write the pictures, a sheet and a table."""
    import polars as pl

    from bfkit.dataset.shards import configuration
    from bfkit.models.hub import pinned
    from bfkit.sampling.album import Wanted, file_name, write_sheet

    check_numbers(arguments, batch=1, seeds=1, seed=0)
    check_target(arguments.out, "folder")
    prompts = asked_prompts(arguments)
    chosen, profile = _steps(profile, arguments, prompts), pinned(profile)
    config = configuration(profile)
    models = tuple((name, config[name]) for name in DECIDING if name in config)
    seeds = range(arguments.seed, arguments.seed + arguments.seeds)
    album = [
        Wanted(arguments.out / file_name(number, prompts[number], seed, steps), prompts[number], seed, steps, models)
        for number, steps in chosen.items()
        for seed in seeds
    ]
    if not album:
        return 2
    missing = [one for one in album if not one.is_there()]
    seconds = _fill(profile, arguments, missing) if missing else 0.0
    write_sheet(album, arguments.out / "sheet.png")
    columns = {name: [getattr(one, name) for one in album] for name in ("prompt", "seed", "steps")}
    table = pl.DataFrame({**columns, "file": [one.path.name for one in album]})
    write_file(arguments.out / "pictures.csv", table.write_csv().encode())
    show(table)
    taken, fixed = sum(table["steps"]), paper.REFERENCE_STEPS * len(table)
    print(
        f"{len(table)} pictures in {arguments.out}: {taken:,} steps in all, where {paper.REFERENCE_STEPS} for each "
        f"would be {fixed:,}"
    )
    if missing:
        print(f"{len(missing)} of them drawn now, in {seconds:.1f} s after loading")
    return 0 if len(chosen) == len(prompts) else 2


def _steps(profile: Profile, arguments: argparse.Namespace, prompts: Sequence[str]) -> dict[int, int]:
    """The step count of each prompt, by its place; prompts that the advisor cannot read are told and left out."""
    from bfkit.sampling.generate import check_prompts, check_steps

    if arguments.steps is not None:
        if asked := [f"--{name.replace('_', '-')}" for name in rule_of(arguments)]:
            raise ValueError(f"--steps is the same for all, and no rule is asked: leave out {' and '.join(asked)}")
        return dict.fromkeys(range(len(check_prompts(prompts))), check_steps(arguments.steps))
    advisor = load_advisor(profile, arguments)
    refused = refusals(advisor, prompts)
    say_refused(refused)
    known = [number for number in range(len(prompts)) if number not in refused]
    found = advisor.steps([prompts[number] for number in known], **rule_of(arguments))["steps"] if known else []
    return dict(zip(known, found, strict=True))


def _fill(profile: Profile, arguments: argparse.Namespace, missing: Sequence) -> float:
    """Draw and write what is not there yet; returns the seconds that it took after loading."""
    from tqdm.auto import tqdm

    from bfkit.models.pipelines import compile_denoiser, load_pipeline
    from bfkit.sampling.album import fill

    profile = replace(profile, batch=arguments.batch or profile.batch)
    pipe = load_pipeline(profile, chosen_device(arguments), arguments.offload)
    if arguments.compile:
        compile_denoiser(pipe, profile)
    began, pictures = time.perf_counter(), fill(pipe, profile, missing)
    bar = tqdm(pictures, "draw", len(missing), unit="picture", mininterval=1.0)
    if broken := [one for one, written in bar if not written]:
        raise ValueError(
            f"{len(broken)} pictures have values that are no numbers, drawn in float32 too ({broken[0].path.name} is "
            "one): see to the model or its dtype; all others are written"
        )
    return time.perf_counter() - began


def add_commands(commands: argparse._SubParsersAction) -> None:
    """Add ``draw`` to the parser's commands."""
    command = add_command(commands, "draw", draw)
    add_profile(command)
    add_advice(command)
    command.add_argument("--steps", type=int, metavar="N", help="this many steps for all, and no advisor")
    command.add_argument("--seeds", type=int, default=1, help="pictures of each prompt (default 1)")
    command.add_argument("--seed", type=int, default=0, help="of the first of them (default 0)")
    command.add_argument("--out", type=Path, required=True, help="folder of the pictures; an earlier run is resumed")
    add_models(command, "pipeline", "revision", "variant", "dtype", "guidance")
    command.add_argument("--batch", type=int, help="pictures drawn at once at first; halved where memory is short")
    command.add_argument("--compile", action="store_true", help="compile the denoiser first: a slow start, then faster")
    add_offload(command)
