"""What can be saved, what can be promised, and what one grid for all can do: ``bfkit ceiling | calibrate | grid``."""

import argparse
from pathlib import Path

from bfkit.files import check_target
from bfkit.predictor.choice import OFFERED
from bfkit.profiles import Profile, get_profile

from .advice import load_advisor
from .options import add_command, add_device, add_models, add_profile, check_numbers, chosen_device, show, with_seeds


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


def grid(profile: Profile, arguments: argparse.Namespace) -> None:
    """Try spacings of the noise levels on training prompts, the same for every picture, with three solvers."""
    from bfkit.dataset.table import read_scores, split_by_prompt
    from bfkit.evaluation.grids import best, search, search_finding
    from bfkit.files import write_file
    from bfkit.metrics.scorer import load_scorer
    from bfkit.models.pipelines import load_pipeline
    from bfkit.sampling.generate import check_steps

    check_numbers(arguments, prompts=1, seeds=1)
    check_steps(arguments.steps)
    if arguments.out:
        check_target(arguments.out, "file")
    device, profile = chosen_device(arguments), with_seeds(profile, arguments)
    training, _ = split_by_prompt(read_scores(arguments.scores or profile.scores))
    prompts = training["prompt"].unique(maintain_order=True).head(arguments.prompts).to_list()
    found = search(load_pipeline(profile, device), load_scorer(profile, device), profile, prompts, arguments.steps)
    show(found)
    print(search_finding(found))
    print(f"for a profile of your own, grids by solver: {dict(best(found))}")
    if arguments.out:
        write_file(arguments.out, found.write_csv(float_precision=5).encode())
        print(f"written: {arguments.out}")


def add_commands(commands: argparse._SubParsersAction) -> None:
    """Add ``ceiling``, ``calibrate`` and ``grid`` to the parser's commands."""
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
    command = add_command(commands, "grid", grid)
    add_profile(command)
    command.add_argument("--scores", help="score table whose training prompts are drawn (default: the profile's)")
    command.add_argument("--prompts", type=int, default=32, help="how many (default 32)")
    command.add_argument("--seeds", type=int, default=2, help="pictures of each prompt (default 2)")
    command.add_argument("--steps", type=int, default=17, help="of each picture (default 17)")
    command.add_argument("--out", type=Path, help="a CSV to write as well")
    add_models(command, "pipeline", "revision", "variant", "clip", "perceptual", "dtype", "guidance")
    add_device(command)
