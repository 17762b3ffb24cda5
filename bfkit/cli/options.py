"""What the commands share: how one is added, and how options are read."""

import argparse
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

import polars as pl

from bfkit.own_profile import OWN
from bfkit.profiles import PROFILES, Profile

if TYPE_CHECKING:
    import torch


DTYPES = get_args(get_type_hints(Profile)["dtype"])
MODELS: dict[str, dict[str, Any]] = {  # options that stand for a field of the profile
    "pipeline": {"help": "a diffusers folder or hub id (default: the profile's)"},
    "revision": {"help": "the pipeline's commit, tag or branch on the hub (default: the newest)"},
    "variant": {"help": "which of the pipeline's files, such as fp16"},
    "clip": {"help": "open_clip's model: a folder, hf-hub:ID or MODEL/PRETRAINED (default: the profile's)"},
    "perceptual": {"help": "D-SIM's model: a folder, or dreamsim:BRANCH (default: the profile's)"},
    "classifier": {"help": "the inception score's: a folder (default: the profile's)"},
    "dtype": {
        "choices": get_args(get_type_hints(Profile)["dtype"]),
        "help": "of the pipeline (default: the profile's)",
    },
    "guidance": {"type": float, "help": "guidance scale (default: the profile's)"},
}
LARGEST = 2**63 - 1  # what seeds and counts are kept in
# more pictures of one prompt would be a slip, and all seeds are counted up from the first
MOST = {"seeds": 10_000, "seed": LARGEST - 10_000}
Action = Callable[[Profile, argparse.Namespace], int | None]  # an exit code; None for 0


def add_command(commands: argparse._SubParsersAction, name: str, action: Action) -> argparse.ArgumentParser:
    """A command that says of itself what its function says."""
    said = action.__doc__ or ""
    command = commands.add_parser(name, help=said.replace("%", "%%"), description=said)  # argparse formats but the one
    command.set_defaults(action=action, profile="mini")
    return command


def add_profile(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--profile",
        default="mini",
        help=f"which models: {', '.join(PROFILES)} (default mini), or a TOML file of your own",
    )


def add_models(command: argparse.ArgumentParser, *names: str) -> None:
    """Options of ``MODELS``; ``own_models`` takes what was given."""
    for name in names:
        command.add_argument(f"--{name}", **MODELS[name])


def own_models(profile: Profile, arguments: argparse.Namespace) -> Profile:
    """The profile with the options of ``MODELS`` that were given.

    Its tables and its advisor tell of its own models and of no others; another pipeline has another name.
    """
    given = {name: value for name in MODELS if (value := getattr(arguments, name, None)) is not None}
    if given.keys() & {"pipeline", "clip", "perceptual"}:
        given |= dict.fromkeys(OWN, "")
    if "pipeline" in given:
        given = {"name": Path(given["pipeline"]).name, "revision": "", "variant": ""} | given
    return replace(profile, **given) if given else profile


def with_seeds(profile: Profile, arguments: argparse.Namespace) -> Profile:
    """The profile with as many seeds as ``--seeds`` and ``--held-out-seeds`` say, from 0 on."""
    seeds = profile.seeds if arguments.seeds is None else tuple(range(arguments.seeds))
    more = vars(arguments).get("held_out_seeds")
    return replace(profile, seeds=seeds, more_seeds=tuple(range(len(seeds), more)) if more else profile.more_seeds)


def add_seeds(command: argparse.ArgumentParser) -> None:
    command.add_argument("--seeds", type=int, help="pictures of each prompt and step count (default: the profile's)")
    command.add_argument(
        "--held-out-seeds", type=int, metavar="N", help="of prompts that no predictor learns from (default: as many)"
    )


def add_device(command: argparse.ArgumentParser) -> None:
    command.add_argument("--device", help="cpu, cuda or cuda:N (default cuda where there is one, else cpu)")


def add_offload(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--offload", action="store_true", help="text models and denoiser take turns on a GPU that does not hold both"
    )


def chosen_device(arguments: argparse.Namespace) -> "torch.device":
    """The device that was asked for, or the best there is; ValueError for one that this machine has not."""
    from bfkit.devices import choose_device

    return choose_device(arguments.device)


def check_numbers(arguments: argparse.Namespace, **least: int) -> None:
    """Refuse numbers of options that were given and are too small, or too large for any machine: ValueError."""
    for name, low in least.items():
        value = getattr(arguments, name)
        if value is not None and value < low:
            raise ValueError(f"--{name} must be at least {low}; got {value}")
        if value is not None and value > MOST.get(name, LARGEST):
            raise ValueError(f"--{name} must be at most {MOST.get(name, LARGEST)}; got {value}")


def part(text: str) -> tuple[int, int]:
    """``3/16`` as (3, 16).

    >>> part("3/16")
    (3, 16)
    """
    number, slash, parts = text.partition("/")
    if not (slash and number.isdecimal() and parts.isdecimal() and 1 <= int(number) <= int(parts)):
        raise argparse.ArgumentTypeError(f"{text!r} is no part such as 3/16")
    return int(number), int(parts)


def parameter(text: str) -> tuple[str, int | float | str]:
    """``NAME=VALUE``, the value as a number where it is one.

    >>> parameter("prompts=8")
    ('prompts', 8)
    """
    name, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is no NAME=VALUE")
    for kind in (int, float):
        try:
            return name, kind(value)
        except ValueError:
            continue
    return name, value


def text(typed: str) -> str:
    """Words as they were typed, which are UTF-8 even where Python's locale knows nothing beyond ASCII."""
    return typed.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def show(frame: pl.DataFrame) -> None:
    """Print a table whole, and nothing but its rows."""
    try:
        "─│".encode(sys.stdout.encoding or "ascii")
        plain = False
    except UnicodeEncodeError:
        plain = True
    with pl.Config(ascii_tables=plain, tbl_hide_dataframe_shape=True, tbl_hide_column_data_types=True,
                   fmt_str_lengths=80, tbl_rows=-1, tbl_width_chars=140, float_precision=3):  # fmt: skip
        print(frame)
