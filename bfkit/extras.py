"""Optional dependencies: which extra of ``pip install 'bfkit[...]'`` a part of the library asks for."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def extra(name: str) -> Iterator[None]:
    """Around imports that need an extra of pyproject.toml: a missing package is told with the command that installs it.

    Raises ModuleNotFoundError.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("bfkit"):
            raise  # a mistake of ours
        raise ModuleNotFoundError(
            f"this needs {error.name}, which is not installed: run `pip install 'bfkit[{name}]'`", name=error.name
        ) from None
