"""What ``bfkit steps`` and ``bfkit draw`` share: the advisor of a profile, and the prompts that it can read."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from bfkit.profiles import PROFILES, Profile

from .options import chosen_device

if TYPE_CHECKING:
    from bfkit.predictor.advisor import StepAdvisor


def load_advisor(profile: Profile, arguments: argparse.Namespace) -> "StepAdvisor":
    """The advisor of ``--advisor``, or else the profile's; FileNotFoundError where there is none."""
    from bfkit.predictor.advisor import StepAdvisor

    source = arguments.advisor or profile.advisor or (profile.name if profile.name in PROFILES else "")
    if not source:
        raise FileNotFoundError(f"{profile.name} has no advisor of its own: name the folder of one with --advisor")
    return StepAdvisor.from_pretrained(source, chosen_device(arguments))


def refusals(advisor: "StepAdvisor", prompts: Sequence[str]) -> dict[int, str]:
    """Why an advisor cannot read some of the prompts, by their places."""
    return {number: said for number, prompt in enumerate(prompts) if (said := advisor.refusal(prompt))}


def say_refused(refused: Mapping[int, str]) -> None:
    """Tell which prompts are left out, and why."""
    for number, said in refused.items():
        print(f"bfkit: {said.replace('a prompt', f'prompt {number}', 1)}", file=sys.stderr)
