"""What ``bfkit steps`` and ``bfkit draw`` share: the advisor of a profile, and the prompts that it can read."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bfkit.predictor.choice import OFFERED, PROMISED
from bfkit.profiles import PROFILES, Profile

from .options import add_device, chosen_device, text

if TYPE_CHECKING:
    from bfkit.predictor.advisor import StepAdvisor


def add_advice(command: argparse.ArgumentParser) -> None:
    """Prompts, the advisor that reads them, and the rule that reads its curves."""
    command.add_argument("prompts", nargs="*", type=text, metavar="PROMPT")
    command.add_argument("--file", type=Path, help="a text file of more prompts, one a line")
    command.add_argument("--advisor", help="folder of the trained predictor (default: the profile's)")
    command.add_argument("--remember", metavar="SCORES", help="a score table of earlier prompts, to learn from at once")
    command.add_argument("--rule", choices=(*OFFERED, PROMISED), help="what reads the curves (default plateau)")
    command.add_argument("--tolerance", type=float, metavar="LOSS", help="of quality, that the threshold may leave")
    command.add_argument(
        "--mean-steps", type=float, metavar="N", help="set the rule so that prompts like those trained on take so many"
    )
    add_device(command)


def asked_prompts(arguments: argparse.Namespace) -> list[str]:
    """The prompts of the command line and of ``--file``; ValueError where there are none, or the file is no text."""
    prompts = [*arguments.prompts, *_lines(arguments.file)]
    if not prompts:
        raise ValueError("no prompts: give at least one text")
    return prompts


def _lines(path: Path | None) -> list[str]:
    if path is None:
        return []
    try:
        return [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except UnicodeDecodeError:
        raise ValueError(f"{path} is no text in UTF-8: write one prompt a line") from None


def rule_of(arguments: argparse.Namespace) -> dict[str, Any]:
    """What was asked of ``StepAdvisor.steps``; empty where nothing was."""
    asked = {name: getattr(arguments, name) for name in ("rule", "tolerance", "mean_steps")}
    return {name: value for name, value in asked.items() if value is not None}


def load_advisor(profile: Profile, arguments: argparse.Namespace) -> "StepAdvisor":
    """The advisor of ``--advisor``, or else the profile's; FileNotFoundError where there is none."""
    from bfkit.dataset.table import read_scores
    from bfkit.predictor.advisor import StepAdvisor

    source = arguments.advisor or profile.advisor or (profile.name if profile.name in PROFILES else "")
    if not source:
        raise FileNotFoundError(f"{profile.name} has no advisor of its own: name the folder of one with --advisor")
    advisor = StepAdvisor.from_pretrained(source, chosen_device(arguments))
    remembered = getattr(arguments, "remember", None)  # what calibrates has no such option
    return advisor if remembered is None else advisor.remember(read_scores(remembered))


def refusals(advisor: "StepAdvisor", prompts: Sequence[str]) -> dict[int, str]:
    """Why an advisor cannot read some of the prompts, by their places."""
    return {number: said for number, prompt in enumerate(prompts) if (said := advisor.refusal(prompt))}


def say_refused(refused: Mapping[int, str]) -> None:
    """Tell which prompts are left out, and why."""
    for number, said in refused.items():
        print(f"bfkit: {said.replace('a prompt', f'prompt {number}', 1)}", file=sys.stderr)
