"""What can be saved, and what can be promised: ``bfkit ceiling | calibrate``, from a score table alone."""

import argparse
from pathlib import Path

from bfkit.predictor.choice import OFFERED
from bfkit.profiles import Profile, get_profile

from .advice import load_advisor
from .options import add_command, add_device, add_profile, show


def ceiling(profile: Profile, arguments: argparse.Namespace) -> None:
    """Say how much of UNIFORM's loss any choice of steps could save, knowing the prompt or the picture."""
    from bfkit.dataset.table import read_scores
    from bfkit.evaluation.ceiling import ceiling_finding, ceilings

    profile = get_profile(profile.source, scores=arguments.scores)
    found = ceilings(read_scores(profile.scores), [arguments.mean_steps])
    show(found.drop("budget"))
    print(ceiling_finding(found, arguments.mean_steps))


def calibrate(profile: Profile, arguments: argparse.Namespace) -> None:
    """Find the fewest steps with which most prompts surely lose little, for each rule and for one count for all."""
    from bfkit.dataset.table import read_scores
    from bfkit.evaluation.promise import promises
    from bfkit.predictor.promise import FILE, Terms, save_promise

    terms = Terms(arguments.epsilon, arguments.alpha, arguments.delta)
    if arguments.keep and not arguments.advisor:
        raise ValueError("--keep writes beside an advisor of your own: name its folder with --advisor")
    profile = get_profile(profile.source, scores=arguments.scores)
    advisor, table = load_advisor(profile, arguments), read_scores(profile.scores)
    found, rows = promises(advisor, table, terms)
    show(rows)
    for promise in found.values():
        print(promise)
    if arguments.keep:
        save_promise(found[arguments.keep], Path(arguments.advisor))
        print(f"kept in {Path(arguments.advisor) / FILE}: bfkit steps --advisor {arguments.advisor} --rule promised")


def add_commands(commands: argparse._SubParsersAction) -> None:
    """Add ``ceiling`` and ``calibrate`` to the parser's commands."""
    command = add_command(commands, "ceiling", ceiling)
    add_profile(command)
    command.add_argument("--scores", help="score table or folder of shards (default: the profile's)")
    command.add_argument("--mean-steps", type=float, default=17, metavar="N", help="what is shared out (default 17)")
    command = add_command(commands, "calibrate", calibrate)
    add_profile(command)
    command.add_argument("--scores", help="score table or folder of shards (default: the profile's)")
    command.add_argument("--advisor", help="folder of the trained predictor (default: the profile's)")
    command.add_argument("--epsilon", type=float, default=0.02, help="what is a little loss (default .02)")
    command.add_argument("--alpha", type=float, default=0.1, help="share of prompts that may lose more (default .1)")
    command.add_argument("--delta", type=float, default=0.1, help="1 less the confidence (default .1)")
    command.add_argument(
        "--keep", choices=("constant", *OFFERED), metavar="RULE", help="write this rule's promise beside the advisor"
    )
    add_device(command)
