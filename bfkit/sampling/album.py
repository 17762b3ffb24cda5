"""Pictures as files that say what they are: PNGs with their prompt, seed and steps, drawn once, and a sheet of them."""

import io
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from PIL.PngImagePlugin import PngInfo

from bfkit.files import write_file

from .contact_sheet import contact_sheet
from .generate import Drawn, are_whole
from .pixels import to_bytes

CHUNK = "bfkit"  # the text of a PNG that says what it is
COLUMNS, SIDE, MOST = 6, 128, 240  # of a sheet


@dataclass(frozen=True)
class Wanted:
    """A picture to be drawn: the file it goes into, and all that decides it."""

    path: Path
    prompt: str
    seed: int
    steps: int
    models: tuple[tuple[str, Any], ...] = ()  # what else decides it

    @property
    def noted(self) -> dict[str, Any]:
        return {"prompt": self.prompt, "seed": self.seed, "steps": self.steps, **dict(self.models)}

    def is_there(self) -> bool:
        """True if it has been drawn before; ValueError if another picture has its name."""
        if not self.path.exists():
            return False
        if read_noted(self.path) != self.noted:
            raise ValueError(f"{self.path} is another picture, of other words or models: choose another folder")
        return True


def file_name(number: int, prompt: str, seed: int, steps: int) -> str:
    """A picture's file, by its prompt's place and words.

    >>> file_name(3, "Two red circles, on a beach!", 0, 17)
    '003-two-red-circles-on-a-beach-seed0-steps17.png'
    """
    words = re.sub(r"[^a-z0-9]+", "-", prompt.lower()).strip("-")[:48].strip("-") or "prompt"
    return f"{number:03d}-{words}-seed{seed}-steps{steps}.png"


def read_noted(path: Path) -> dict[str, Any] | None:
    """What a PNG written here says of itself; None for any other file."""
    try:
        with Image.open(path) as picture:
            picture.load()
            return json.loads(picture.info[CHUNK])
    except (OSError, KeyError, ValueError, SyntaxError, UnidentifiedImageError):
        return None


def read_picture(path: Path) -> torch.Tensor:
    """A picture's file as it was drawn: (3, H, W) in [0, 1]."""
    with Image.open(path) as picture:
        return torch.from_numpy(np.array(picture.convert("RGB"))).permute(2, 0, 1) / 255


def _png(image: torch.Tensor, noted: dict[str, Any]) -> bytes:
    info, buffer = PngInfo(), io.BytesIO()
    info.add_itxt(CHUNK, json.dumps(noted))
    Image.fromarray(to_bytes(image)).save(buffer, "PNG", pnginfo=info)
    return buffer.getvalue()


def fill(album: Sequence[Wanted], parts: Iterable[Drawn]) -> Iterator[tuple[Wanted, bool]]:
    """Write each batch of an album's pictures as it is drawn; yields each with whether it was written or is broken."""
    for part in parts:
        for row, image, whole in zip(part.rows, part.images, are_whole(part.images).tolist(), strict=True):
            if whole:
                write_file(album[row].path, _png(image, album[row].noted))
            yield album[row], whole


def write_sheet(album: Sequence[Wanted], path: Path) -> None:
    """The first pictures of an album in one, each above its prompt and steps."""
    images = [read_picture(one.path) for one in album[:MOST]]
    captions = [f"{one.prompt} ({one.steps} step{'s' * (one.steps != 1)})" for one in album[:MOST]]
    buffer = io.BytesIO()
    contact_sheet(torch.stack(images), captions, min(COLUMNS, len(images)), SIDE).save(buffer, "PNG")
    write_file(path, buffer.getvalue())
