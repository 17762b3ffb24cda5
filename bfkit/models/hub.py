"""Why a model could not be had from the Hugging Face Hub, in a sentence with a way out."""

from collections.abc import Iterator
from urllib.error import URLError

from huggingface_hub.errors import GatedRepoError, LocalEntryNotFoundError, RepositoryNotFoundError


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
