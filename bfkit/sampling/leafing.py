"""Frames behind a slider, in a notebook and on a page, with a kernel or without one.

It is HTML that mends itself: a strip of all the frames, which a few lines of script put behind a slider. Where scripts
do not run, in print or on a site that takes them out, the strip stays.
"""

import hashlib
import html
from collections.abc import Sequence

STYLE = """
.bf-flipbook { max-width: 720px; margin: 8px 0; padding: 0; font: 14px/1.4 Helvetica, Arial, sans-serif }
.bf-flipbook .frames { display: flex; flex-wrap: wrap; gap: 12px }
.bf-flipbook .frame { flex: 0 1 auto; min-width: 0; max-width: 100% }
.bf-flipbook .frame > div { display: flex; flex-wrap: wrap; gap: 8px }
.bf-flipbook figure { margin: 0; max-width: 100% }
.bf-flipbook img { display: block; margin: 0; width: 84px; max-width: 100%; height: auto; border-radius: 3px }
.bf-flipbook figure figcaption { width: 84px; font-size: 12px }
.bf-flipbook.moves .frame { width: 100% }
.bf-flipbook.moves .frame > div { flex-wrap: nowrap; gap: 12px }
.bf-flipbook.moves .frame figure { flex: 0 1 180px; min-width: 0 }
.bf-flipbook.moves img { width: 100% }
.bf-flipbook.charts img, .bf-flipbook.charts.moves img { width: auto }
.bf-flipbook.charts:not(.moves) img { width: 340px }
.bf-flipbook.charts.moves .frame figure { flex: 0 1 auto }
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


def leafed(frames: Sequence[str], labels: Sequence[str], over: str, first: int, kind: str = "") -> str:
    """HTML of frames, each of figures, one seen at a time; ``kind`` is a class of the whole."""
    parts = zip(frames, labels, strict=True)
    inside = "".join(
        f'<div class="frame" role="listitem"><p>{html.escape(label)}</p><div>{frame}</div></div>'
        for frame, label in parts
    )
    key = hashlib.sha256(inside.encode()).hexdigest()[:12]
    return (
        f'<style>{STYLE}</style><div class="{f"bf-flipbook {kind}".strip()}" role="group" '
        f'aria-label="{html.escape(over)}" data-flipbook="{key}" data-over="{html.escape(over)}" data-first="{first}">'
        f'<div class="frames" role="list">{inside}</div></div>'
        f"<script>{SCRIPT.replace('KEY', key)}</script>"
    )
