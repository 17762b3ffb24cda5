"""Pictures in rows with their captions, as one PIL image: for figures that show pictures rather than numbers."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from PIL import Image, ImageDraw, ImageFont

from .pixels import to_bytes

SCALE = 2  # everything is drawn at twice its nominal size, for sharp print
INK, FRAME = "#222222", "#e0562d"
GAP, LINE, LETTERS = 8, 15, 12  # nominal pixels: between pictures, of a line of text, of its letters


Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def _font() -> Font:
    return ImageFont.load_default(LETTERS * SCALE)


def _wrap(text: str, font: Font, width: int) -> list[str]:
    """Break a text into lines no wider than ``width`` pixels; a word that is wider stands alone."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return [line for line in lines if line] or [""]


def _picture(image: torch.Tensor, side: int) -> Image.Image:
    return Image.fromarray(to_bytes(image)).resize((side, side), Image.Resampling.LANCZOS)


def contact_sheet(
    images: torch.Tensor, captions: Sequence[str], columns: int, side: int = 128, marked: Sequence[int] = ()
) -> Image.Image:
    """Pictures (N, 3, H, W) in [0, 1] in rows, each above its caption; those in ``marked`` get a frame.

    Captions are wrapped to their picture's width and a row is as tall as its longest, so that none overlap. ``side`` is
    a picture's nominal size; the sheet is drawn at twice that. Raises ValueError if there is not a caption a picture.
    """
    if len(images) != len(captions):
        raise ValueError(f"{len(captions)} captions for {len(images)} pictures: give one for each")
    font, side, gap, line = _font(), side * SCALE, GAP * SCALE, LINE * SCALE
    texts = [_wrap(caption, font, side) for caption in captions]
    rows = [range(start, min(start + columns, len(images))) for start in range(0, len(images), columns)]
    heights = [side + line * max(len(texts[index]) for index in row) + gap for row in rows]
    sheet = Image.new("RGB", (columns * (side + gap) + gap, sum(heights) + gap), "white")
    pen, top = ImageDraw.Draw(sheet), gap
    for row, height in zip(rows, heights, strict=True):
        for place, index in enumerate(row):
            left = gap + place * (side + gap)
            sheet.paste(_picture(images[index], side), (left, top))
            if index in marked:
                pen.rectangle([left - 5, top - 5, left + side + 4, top + side + 4], outline=FRAME, width=7)
            for number, text in enumerate(texts[index]):
                pen.text((left, top + side + 6 + number * line), text, fill=INK, font=font)
        top += height
    sheet.info["description"] = f"{len(images)} pictures: {'; '.join(captions)}"
    return sheet


@dataclass(frozen=True)
class Row:
    """Pictures (N, 3, H, W) in [0, 1] under one heading, each with its caption; those in ``marked`` get a frame.

    ``beside`` stands at their right, such as their score curves.
    """

    heading: str
    captions: Sequence[str]
    pictures: torch.Tensor
    marked: Sequence[int] = ()
    beside: Image.Image | None = None


def under_headings(rows: Sequence[Row], side: int = 84, columns: int = 6) -> Image.Image:
    """Rows of pictures, each under its heading; one with more pictures than ``columns`` goes on below itself.

    Six of 84 pixels are as wide as a page of a telephone shows with letters that can be read.
    """
    font, line = _font(), LINE * SCALE
    sheets = [contact_sheet(r.pictures, r.captions, min(columns, len(r.captions)), side, r.marked) for r in rows]
    edge = max(sheet.width for sheet in sheets)
    headings = [_wrap(row.heading, font, edge - 2 * GAP * SCALE) for row in rows]
    heads = [line * len(own) + 6 * SCALE for own in headings]
    heights = [max(head + sheet.height, row.beside.height if row.beside else 0)
               for head, sheet, row in zip(heads, sheets, rows, strict=True)]  # fmt: skip
    width = edge + max(row.beside.width if row.beside else 0 for row in rows)
    whole = Image.new("RGB", (width, sum(heights)), "white")
    pen, top = ImageDraw.Draw(whole), 0
    for row, heading, head, sheet, height in zip(rows, headings, heads, sheets, heights, strict=True):
        for number, text in enumerate(heading):
            pen.text((GAP * SCALE, top + 8 + number * line), text, fill=INK, font=font)
        whole.paste(sheet, (0, top + head))
        if row.beside:
            whole.paste(row.beside, (edge, top + (height - row.beside.height) // 2))
        top += height
    whole.info["description"] = "; ".join(f"{row.heading}: {', '.join(row.captions)}" for row in rows)
    return whole


def ladders(
    rows: Sequence[tuple[str, Sequence[int], int, torch.Tensor]], side: int = 112, beside: Sequence[Image.Image] = ()
) -> Image.Image:
    """Prompts at rising step counts, one a row under its prompt, t* framed (Figures 7 and 13).

    Each row is ``prompt, steps, t*, pictures`` with one picture (3, H, W) for each of the steps, t* among them.
    ``beside`` is what stands at the right of each row, such as its score curves.
    """
    strips = []
    for (prompt, steps, t_star, pictures), other in zip(rows, beside or [None] * len(rows), strict=True):
        captions = [f"t* = {n} steps" if n == t_star else count_of_steps(n) for n in steps]
        strips.append(Row(f"“{prompt}”", captions, pictures, [list(steps).index(t_star)], other))
    return under_headings(strips, side, max(len(row.captions) for row in strips))


def count_of_steps(steps: int) -> str:
    """A number of steps in words: 1 step, 2 steps."""
    return f"{steps} step{'s' * (steps != 1)}"
