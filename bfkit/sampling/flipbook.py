"""Pictures that move: a slider over frames, and the same frames standing still."""

import base64
import html
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from PIL import Image

from .contact_sheet import Row, under_headings
from .leafing import leafed
from .pixels import to_bytes

SIDE = 192  # pixels of a frame, at most: what it takes in a page is the square of it


@dataclass(frozen=True)
class Flipbook:
    """Frames to be leafed through with a slider, several pictures abreast; ``strip`` is the same standing still.

    ``tracks`` has pictures (N, 3, H, W) in [0, 1] by the name below them, ``labels`` name the N frames, ``over`` what
    the slider moves through, ``first`` is the frame that is seen first. Raises ValueError for other numbers of them.
    """

    tracks: Mapping[str, torch.Tensor]
    labels: Sequence[str]
    over: str
    first: int = 0

    def __post_init__(self) -> None:
        for name, pictures in self.tracks.items():
            if len(pictures) != len(self.labels):
                raise ValueError(f"{len(self.labels)} labels for {len(pictures)} pictures of {name!r}: give one each")
        if not 0 <= self.first < len(self.labels):
            raise ValueError(f"there is no frame {self.first} to begin with: there are {len(self.labels)}")

    def strip(self, columns: int = 6, side: int = 84) -> Image.Image:
        """All the frames in one picture, a track under the other; its description says what they are."""
        sheet = under_headings([Row(name, self.labels, own) for name, own in self.tracks.items()], side, columns)
        sheet.info["description"] = (
            f"{', '.join(self.tracks)}: {self.over}, from {self.labels[0]} to {self.labels[-1]}."
        )
        return sheet

    def _repr_html_(self) -> str:
        frames = [
            "".join(
                f'<figure><img alt="{html.escape(f"{name}, {label}")}" src="{_data_uri(own[index])}">'
                f"<figcaption>{html.escape(name)}</figcaption></figure>"
                for name, own in self.tracks.items()
            )
            for index, label in enumerate(self.labels)
        ]
        return leafed(frames, self.labels, self.over, self.first)


def _data_uri(image: torch.Tensor) -> str:
    """A picture (3, H, W) in [0, 1] for an ``<img>``."""
    picture, buffer = Image.fromarray(to_bytes(image)), io.BytesIO()
    picture.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    picture.save(buffer, "WEBP", quality=85, method=6)
    return f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def strip_of(steps: Sequence[int], pictures: torch.Tensor) -> list[tuple[int, str]]:
    """Step counts with their pictures (N, 3, H, W) as addresses of images, for ``charts.plateaus``."""
    return [(count, _data_uri(picture)) for count, picture in zip(steps, pictures, strict=True)]
