"""``bfkit doctor``: what this machine has, and what is missing for a profile."""

import argparse

from bfkit.profiles import Profile

from .options import add_command, add_device, add_models, add_profile, chosen_device

SIGNS = {"ok": "ok", "missing": "MISSING", "note": "note"}


def doctor(profile: Profile, arguments: argparse.Namespace) -> int:
    """Say what is installed, which devices and models there are, what a profile lacks; draw a first picture."""
    from bfkit.doctor import examine

    missing, device = 0, chosen_device(arguments)
    print(f"profile {profile.name}")
    for found in examine(profile, device):
        missing += found.state == "missing"
        print(f"  {SIGNS[found.state]:<8}{found.what:<18}{found.said}", flush=True)
    print(f"{profile.name} lacks {missing} of what it needs" if missing else f"{profile.name} is ready")
    return 1 if missing else 0


def add_commands(commands: argparse._SubParsersAction) -> None:
    """Add ``doctor`` to the parser's commands."""
    command = add_command(commands, "doctor", doctor)
    add_profile(command)
    add_models(command, "pipeline", "revision", "variant", "clip", "perceptual", "classifier", "dtype")
    add_device(command)
