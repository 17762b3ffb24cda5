"""A profile of your own: a TOML file that says which profile it is like, and what differs.

like = "sd2"
pipeline = "my-model"       # a folder, seen from the file, or a hub id
dtype = "bfloat16"

[predictor]
hidden = 256
"""

import tomllib
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

if TYPE_CHECKING:
    from .profiles import Profile

# never taken over: they are what other models gave
OWN = ("scores", "advisor", "systems", "networks", "knowing", "dense")
MODELS = ("pipeline", "clip", "perceptual", "classifier", "captions")  # a path, or a name that others know
FIXED = ("family", "file")


def read_own_profile(path: Path, known: Mapping[str, "Profile"]) -> "Profile":
    """The profile in a file, named as the file is unless it says another name.

    Raises FileNotFoundError for a file that is not there, ValueError naming what in it is wrong.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no profile {path}: name a TOML file or one of {', '.join(known)}")
    try:
        given = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is no TOML file: {error}") from None
    like = str(given.pop("like", ""))
    if like not in known:
        raise ValueError(f"{path} does not say which profile it is like: begin with `like =` one of {', '.join(known)}")
    base = replace(known[like], **dict.fromkeys(OWN, ""), name=path.stem, file=str(path.resolve()))
    if isinstance(predictor := given.get("predictor"), dict):
        given["predictor"] = replace(base.predictor, **_checked(path, base.predictor, predictor))
    for name in {*OWN, *MODELS} & given.keys():
        beside = path.resolve().parent / str(given[name])
        if given[name] and (name in OWN or beside.exists()):
            given[name] = str(beside)
    own = replace(base, **_checked(path, base, given))
    if own.name in known:
        raise ValueError(f"{path}: the name {own.name} is taken: give it another one, as `name =` or as the file's")
    return own


def _checked(path: Path, base: Any, given: Mapping[str, Any]) -> dict[str, Any]:
    """The settings given, as the record has them; ValueError for one that it has not, or not of this kind."""
    names = [field.name for field in fields(base) if field.name not in FIXED]
    hints, checked = get_type_hints(type(base)), {}
    for name, value in given.items():
        if name not in names:
            raise ValueError(f"{path}: there is no setting {name!r}, only {', '.join(names)}")
        before = getattr(base, name)
        value = tuple(value) if isinstance(before, tuple) and isinstance(value, list) else value
        value = float(value) if isinstance(before, float) and type(value) is int else value
        choices = [choice for choice in get_args(hints[name]) if isinstance(choice, str)]
        if type(value) is not type(before) or (choices and value not in choices):
            wanted = f"one of {', '.join(choices)}" if choices else f"as in {name} = {before!r}"
            raise ValueError(f"{path}: {name} = {value!r} will not do, it is {wanted}")
        checked[name] = value
    return checked
