"""Prompts to pictures: ``bfkit draw``, each in the steps that it deserves."""

import argparse
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

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

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

    from bfkit.predictor.advisor import StepAdvisor
    from bfkit.sampling.album import Wanted
    from bfkit.sampling.looked import Looked


def draw(profile: Profile, arguments: argparse.Namespace) -> int:
    """Draw prompts, each in the steps that its advisor gives it, and write the pictures, a sheet and a table."""
    import polars as pl

    from bfkit.dataset.shards import deciding
    from bfkit.models.hub import pinned
    from bfkit.sampling.album import Wanted, file_name, write_sheet

    check_numbers(arguments, batch=1, seeds=1, seed=0)
    check_target(arguments.out, "folder")
    prompts = asked_prompts(arguments)
    advisor, known = _advised(profile, arguments, prompts)
    if not known:
        return 2
    profile = pinned(replace(profile, batch=arguments.batch or profile.batch))
    models = deciding(profile)
    asked = [(number, seed) for number in known for seed in range(arguments.seed, arguments.seed + arguments.seeds)]
    texts, seeds = [prompts[number] for number, _ in asked], [seed for _, seed in asked]
    easel = _Easel(profile, arguments)
    looked, steps = None, [arguments.steps] * len(asked)
    if advisor and arguments.look:
        looked, steps = advisor.look(easel.pipe, profile, texts, seeds, **rule_of(arguments))
    elif advisor:
        own = advisor.steps([prompts[number] for number in known], **rule_of(arguments))["steps"]
        steps = [count for count in own for _ in range(arguments.seeds)]
    album = [
        Wanted(arguments.out / file_name(number, text, seed, count), text, seed, count, models)
        for (number, seed), text, count in zip(asked, texts, steps, strict=True)
    ]
    missing = [row for row, one in enumerate(album) if not one.is_there()]
    seconds = easel.fill(album, missing, looked) if missing else 0.0
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
    return 0 if len(known) == len(prompts) else 2


def _advised(
    profile: Profile, arguments: argparse.Namespace, prompts: Sequence[str]
) -> "tuple[StepAdvisor | None, list[int]]":
    """The advisor, if it is asked, and the prompts that it can read, by their places; the others are told."""
    from bfkit.sampling.generate import check_prompts, check_steps

    if arguments.steps is not None:
        asked = [f"--{name.replace('_', '-')}" for name in rule_of(arguments)] + ["--look"] * arguments.look
        if asked:
            raise ValueError(f"--steps is the same for all, and no rule is asked: leave out {' and '.join(asked)}")
        check_steps(arguments.steps)
        return None, list(range(len(check_prompts(prompts))))
    advisor = load_advisor(profile, arguments)
    refused = refusals(advisor, prompts)
    say_refused(refused)
    return advisor, [number for number in range(len(prompts)) if number not in refused]


class _Easel:
    """The pipeline that draws, loaded when it is first needed."""

    def __init__(self, profile: Profile, arguments: argparse.Namespace) -> None:
        self.profile, self.arguments = profile, arguments

    @cached_property
    def pipe(self) -> "DiffusionPipeline":
        from bfkit.models.pipelines import compile_denoiser, load_pipeline

        pipe = load_pipeline(self.profile, chosen_device(self.arguments), self.arguments.offload)
        if self.arguments.compile:
            compile_denoiser(pipe, self.profile)
        return pipe

    def fill(self, album: "Sequence[Wanted]", missing: Sequence[int], looked: "Looked | None") -> float:
        """Draw and write what is not there yet; returns the seconds that it took after loading."""
        from tqdm.auto import tqdm

        from bfkit.sampling.album import fill
        from bfkit.sampling.generate import drawn
        from bfkit.sampling.looked import drawn_on

        pipe, lacking = self.pipe, [album[row] for row in missing]
        began = time.perf_counter()
        if looked is None:
            prompts, steps, seeds = ([getattr(one, name) for one in lacking] for name in ("prompt", "steps", "seed"))
            pictures = fill(lacking, drawn(pipe, self.profile, prompts, steps, seeds))
        else:
            steps = [one.steps for one in album]
            pictures = fill(album, drawn_on(pipe, self.profile, looked, steps, wanted=missing))
        bar = tqdm(pictures, "draw", len(missing), unit="picture", mininterval=1.0)
        if broken := [one for one, written in bar if not written]:
            raise ValueError(
                f"{len(broken)} pictures have values that are no numbers, drawn in float32 too "
                f"({broken[0].path.name} is one): see to the model or its dtype; all others are written"
            )
        return time.perf_counter() - began


def add_commands(commands: argparse._SubParsersAction) -> None:
    """Add ``draw`` to the parser's commands."""
    command = add_command(commands, "draw", draw)
    add_profile(command)
    add_advice(command)
    command.add_argument("--steps", type=int, metavar="N", help="this many steps for all, and no advisor")
    command.add_argument("--look", action="store_true", help="choose each picture's steps by its first evaluation too")
    command.add_argument("--seeds", type=int, default=1, help="pictures of each prompt (default 1)")
    command.add_argument("--seed", type=int, default=0, help="of the first of them (default 0)")
    command.add_argument("--out", type=Path, required=True, help="folder of the pictures; an earlier run is resumed")
    add_models(command, "pipeline", "revision", "variant", "dtype", "guidance")
    command.add_argument("--batch", type=int, help="pictures drawn at once at first; halved where memory is short")
    command.add_argument("--compile", action="store_true", help="compile the denoiser first: a slow start, then faster")
    add_offload(command)
