"""Pictures that move: a slider over frames, in a notebook and on a page, with a kernel or without one.

It is HTML that mends itself: a strip of all the frames, which a few lines of script put behind a slider. Where scripts
do not run, in print or on a site that takes them out, the strip stays.
"""

import base64
import hashlib
import html
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from PIL import Image

from .contact_sheet import Row, under_headings
from .pixels import to_bytes

SIDE = 192  # pixels of a frame, at most: what it takes in a page is the square of it
STYLE = """
.bf-flipbook { max-width: 720px; margin: 8px 0; padding: 0; font: 14px/1.4 Helvetica, Arial, sans-serif }
.bf-flipbook .frames { display: flex; flex-wrap: wrap; gap: 12px }
.bf-flipbook .frame { flex: 0 1 auto }
.bf-flipbook .frame > div { display: flex; flex-wrap: wrap; gap: 8px }
.bf-flipbook figure { margin: 0; max-width: 100% }
.bf-flipbook img { display: block; margin: 0; width: 84px; max-width: 100%; height: auto; border-radius: 3px }
.bf-flipbook figure figcaption { width: 84px; font-size: 12px }
.bf-flipbook.moves .frame { width: 100% }
.bf-flipbook.moves .frame > div { flex-wrap: nowrap; gap: 12px }
.bf-flipbook.moves .frame figure { flex: 0 1 180px; min-width: 0 }
.bf-flipbook.moves img { width: 100% }
.bf-flipbook.moves figure figcaption { width: auto; font-size: 13px }
.bf-flipbook.moves .frame > p { display: none }
.bf-flipbook .frame > p { margin: 0 0 2px; font-weight: 700; font-size: 12px }
.bf-flipbook label { display: flex; flex-wrap: wrap; align-items: center; gap: 4px 12px; margin-top: 8px }
.bf-flipbook input { flex: 1 1 160px; max-width: 400px; min-width: 0; margin: 6px 0; accent-color: #1d4fb8 }
.bf-flipbook input:focus-visible { outline: 3px solid #f0b429; outline-offset: 2px }
.bf-flipbook output { flex: 0 0 auto; font-weight: 700 }
@media print { .bf-flipbook label { display: none } .bf-flipbook.moves .frame[hidden] { display: block !important } }
"""
SCRIPT = """
for (const book of document.querySelectorAll('[data-flipbook="KEY"]:not(.moves)')) {
  const frames = [...book.querySelectorAll(".frame")];
  const said = (frame) => frame.querySelector("p").textContent;
  const label = document.createElement("label");
  const name = document.createElement("span");
  const input = document.createElement("input");
  const output = document.createElement("output");
  name.textContent = book.dataset.over;
  Object.assign(input, { type: "range", min: 0, max: frames.length - 1, step: 1 });
  const show = () => {
    frames.forEach((frame, index) => { frame.hidden = index !== input.valueAsNumber; });
    output.textContent = said(frames[input.valueAsNumber]);
    input.setAttribute("aria-valuetext", output.textContent);
  };
  input.value = book.dataset.first;
  input.addEventListener("input", show);
  label.append(name, input, output);
  book.append(label);
  book.classList.add("moves");
  show();
}
"""


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
        frames = "".join(self._frame(index, label) for index, label in enumerate(self.labels))
        key = hashlib.sha256(frames.encode()).hexdigest()[:12]
        return (
            f'<style>{STYLE}</style><div class="bf-flipbook" role="group" aria-label="{html.escape(self.over)}" '
            f'data-flipbook="{key}" data-over="{html.escape(self.over)}" data-first="{self.first}">'
            f'<div class="frames" role="list">{frames}</div></div>'
            f"<script>{SCRIPT.replace('KEY', key)}</script>"
        )

    def _frame(self, index: int, label: str) -> str:
        label = html.escape(label)
        pictures = "".join(
            f'<figure><img alt="{html.escape(name)}, {label}" src="{_data_uri(own[index])}">'
            f"<figcaption>{html.escape(name)}</figcaption></figure>"
            for name, own in self.tracks.items()
        )
        return f'<div class="frame" role="listitem"><p>{label}</p><div>{pictures}</div></div>'


def _data_uri(image: torch.Tensor) -> str:
    """A picture (3, H, W) in [0, 1] for an ``<img>``."""
    picture, buffer = Image.fromarray(to_bytes(image)), io.BytesIO()
    picture.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    picture.save(buffer, "WEBP", quality=85, method=6)
    return f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def strip_of(steps: Sequence[int], pictures: torch.Tensor) -> list[tuple[int, str]]:
    """Step counts with their pictures (N, 3, H, W) as addresses of images, for ``charts.plateaus``."""
    return [(count, _data_uri(picture)) for count, picture in zip(steps, pictures, strict=True)]
