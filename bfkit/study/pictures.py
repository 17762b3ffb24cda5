"""Generated pictures as a study takes them: matched in prompt and seed, of one size, without their metadata."""

import io
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from PIL import Image

from .design import needed

FIELDS = ("prompt", "seed", "condition", "steps", "image")
TILES = 12  # across a decoy


def matched(pictures: pl.DataFrame | Iterable, protocol: str) -> dict[tuple[str, int], dict[str, tuple[int, bytes]]]:
    """Pictures by (prompt, seed) and condition, each as its step count and a PNG file's bytes, in the order given.

    ``pictures`` is a frame with the columns of ``FIELDS``, or their values as rows; an image is a path, a PIL image, or
    an array (3, H, W) in [0, 1]. Conditions the protocol does not show are left out. Raises ValueError or
    FileNotFoundError if a picture is missing, twice there, unreadable, or of another size than the first.
    """
    wanted = needed(protocol)
    found: dict[tuple[str, int], dict[str, tuple[int, bytes]]] = {}
    size = None
    for row in _rows(pictures):
        try:
            prompt, seed, condition, steps = str(row["prompt"]), int(row["seed"]), row["condition"], int(row["steps"])
        except (TypeError, ValueError):
            raise ValueError(f"seed and steps are whole numbers; got {row['seed']!r} and {row['steps']!r}") from None
        if condition not in wanted:
            continue
        name = f"the {condition} picture of {prompt!r}, seed {seed}"
        if condition in found.setdefault((prompt, seed), {}):
            raise ValueError(f"{name} is there twice: give one picture for each prompt, seed and condition")
        if not 1 <= steps < 2**16:
            raise ValueError(f"{name} took {steps} steps: a step count is at least 1")
        image = _open(row["image"], name)
        size = size or image.size
        if image.size != size:
            raise ValueError(f"{name} is {_by(image.size)}, others are {_by(size)}: a study wants pictures of one size")
        found[prompt, seed][condition] = steps, to_png(image)
    for (prompt, seed), conditions in found.items():
        if missing := [name for name in wanted if name not in conditions]:
            raise ValueError(f"{prompt!r}, seed {seed} has no {' and no '.join(missing)} picture: "
                             f"protocol {protocol} wants {', '.join(wanted)} of every prompt and seed")  # fmt: skip
    if not found:
        raise ValueError(f"there are no pictures of {', '.join(wanted)}: protocol {protocol} wants them")
    return found


def read_pictures(path: str | Path) -> pl.DataFrame:
    """A table of pictures, .csv or .parquet with the columns of ``FIELDS``; paths are relative to the table.

    Raises FileNotFoundError if there is no table, ValueError if it is none.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no table of pictures {path}: write one with {', '.join(FIELDS)}")
    parent = os.fsencode(path.parent).decode()  # UTF-8 like the table, whatever the locale has for file names
    try:
        frame = pl.read_parquet(path) if path.suffix == ".parquet" else pl.read_csv(path)
        return frame.select(FIELDS).with_columns(
            image=pl.col("image").map_elements(lambda name: str(Path(parent) / name), pl.String)
        )
    except (pl.exceptions.PolarsError, TypeError):
        raise ValueError(f"{path} is no table of pictures: its columns are {', '.join(FIELDS)}") from None


def _rows(pictures: pl.DataFrame | Iterable) -> Iterable[Mapping[str, Any]]:
    if isinstance(pictures, pl.DataFrame):
        if missing := [name for name in FIELDS if name not in pictures.columns]:
            raise ValueError(f"the pictures have no column {', '.join(missing)}: a study wants {', '.join(FIELDS)}")
        return pictures.iter_rows(named=True)
    return (_row(row) for row in pictures)


def _row(row: Any) -> Mapping[str, Any]:
    if isinstance(row, Mapping) and all(name in row for name in FIELDS):
        return row
    if isinstance(row, tuple | list) and len(row) == len(FIELDS):
        return dict(zip(FIELDS, row, strict=True))
    raise ValueError(f"a picture is given as ({', '.join(FIELDS)}); got {str(row)[:80]}")


def _open(image: Any, name: str) -> Image.Image:
    if isinstance(image, Image.Image):
        return image.convert("RGB")
    if isinstance(image, str | Path):
        image = os.fsdecode(image.encode()) if isinstance(image, str) else image
        if not Path(image).is_file():
            raise FileNotFoundError(f"{name} is missing: there is no file {image}")
        try:
            with Image.open(image) as opened:
                return opened.convert("RGB")
        except OSError:
            raise ValueError(f"{name} cannot be read: {image} is no picture, or damaged") from None
    if hasattr(image, "detach"):
        image = image.detach().float().cpu().numpy()
    if not isinstance(image, np.ndarray) or image.ndim != 3 or image.shape[0] != 3:
        raise ValueError(f"{name} is no picture: give a path, a PIL image, or an array (3, H, W) in [0, 1]")
    if not (np.isfinite(image).all() and image.min() >= 0 and image.max() <= 1):
        raise ValueError(f"{name} leaves [0, 1]: scale its values")
    return Image.fromarray((image * 255).round().astype(np.uint8).transpose(1, 2, 0))


def _by(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]}"


def to_png(image: Image.Image) -> bytes:
    """A PNG file's bytes, with pixels and nothing else: generators like to write the prompt into their files."""
    buffer = io.BytesIO()
    Image.fromarray(np.asarray(image)).save(buffer, "PNG")
    return buffer.getvalue()


def decoy(png: bytes, seed: int) -> bytes:
    """The picture under half-transparent tiles of random colours: wrong at one look, even where it was a plain wall."""
    with Image.open(io.BytesIO(png)) as opened:
        image = opened.convert("RGB")
    tiles = np.random.default_rng(seed).integers(0, 256, (TILES, TILES, 3), np.uint8)
    veil = Image.fromarray(tiles).resize(image.size, Image.Resampling.NEAREST)
    return to_png(Image.blend(image, veil, 0.6))
