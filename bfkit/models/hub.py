"""Models of the Hugging Face Hub: which commit is meant, and in a sentence with a way out, why one cannot be had."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.error import URLError

from huggingface_hub import hf_hub_download
from huggingface_hub.errors import GatedRepoError, LocalEntryNotFoundError, RepositoryNotFoundError

from bfkit.profiles import Profile


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error and those beneath it, the nearest first."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def hub_reason(name: str, error: BaseException, way_out: str) -> str | None:
    """One sentence on a model that the hub did not give; None where the hub is not to blame."""
    beneath = list(causes(error))

    def due_to(*kinds: type[BaseException]) -> bool:
        return any(isinstance(cause, kinds) for cause in beneath)

    if due_to(GatedRepoError):
        return f"{name} is gated: accept its licence on huggingface.co and run `hf auth login`, or {way_out}"
    if due_to(RepositoryNotFoundError):
        return f"there is no model {name} on the hub, or it is private: log in with `hf auth login`, or {way_out}"
    if due_to(LocalEntryNotFoundError, URLError):
        return f"{name} is not on this machine and the hub cannot be reached: connect once to fetch it, or {way_out}"
    return None


def is_local(model: str) -> bool:
    """True for a folder, there or not; False for a hub id."""
    return Path(model).is_absolute() or Path(model).is_dir()


def pinned(profile: Profile) -> Profile:
    """The profile with its pipeline's revision as the commit that it stands for today; a local folder has none.

    Branches move on: whoever loads that commit, later or on another machine, has the same weights. Where the hub cannot
    be reached, the commit that this machine has. Raises FileNotFoundError if it has none.
    """
    if is_local(profile.pipeline):
        return profile
    try:
        path = hf_hub_download(profile.pipeline, "model_index.json", revision=profile.revision or None)
    except (OSError, ValueError) as error:
        way_out = "name another model or a local folder in the profile's `pipeline`"
        first = str(error).partition("\n")[0]
        why = f"{profile.pipeline} is no text-to-image pipeline of the hub's ({first}): {way_out}"
        raise FileNotFoundError(hub_reason(profile.pipeline, error, way_out) or why) from error
    return replace(profile, revision=Path(path).parent.name)
