import numpy as np
import pytest
import torch
from PIL import Image

from bfkit.sampling.contact_sheet import FRAME, GAP, LINE, SCALE, Row, contact_sheet, ladders, under_headings


def _at(sheet, x: int, y: int) -> tuple[int, ...]:
    return sheet.getpixel((x, y))


def test_pictures_stand_in_reading_order_and_keep_their_colours():
    images = torch.zeros(3, 3, 8, 8)
    images[0, 0] = images[1, 1] = images[2, 2] = 1.0
    sheet = contact_sheet(images, ["red", "green", "blue"], columns=2, side=40)
    side, gap = 40 * SCALE, GAP * SCALE
    assert _at(sheet, gap + side // 2, gap + side // 2) == (255, 0, 0)
    assert _at(sheet, 2 * gap + side + side // 2, gap + side // 2) == (0, 255, 0)
    below = gap + side + LINE * SCALE + gap + side // 2
    assert _at(sheet, gap + side // 2, below) == (0, 0, 255)


def test_a_long_caption_makes_its_row_taller_and_stays_within_its_column():
    images = torch.ones(2, 3, 8, 8) * 0.5
    short = contact_sheet(images, ["a", "b"], columns=2, side=60)
    long = contact_sheet(images, ["a crowd of many colorful shapes on a striped wall", ""], columns=2, side=60)
    assert long.height > short.height and long.width == short.width
    left = GAP * SCALE + 60 * SCALE
    text = np.asarray(long)[left + 4 :, left : left + GAP * SCALE]
    assert (text == 255).all(), "the caption runs into the gap between the columns"


def test_only_the_marked_picture_is_framed():
    images = torch.ones(2, 3, 8, 8)
    plain = np.asarray(contact_sheet(images, ["", ""], columns=2, side=40))
    marked = np.asarray(contact_sheet(images, ["", ""], columns=2, side=40, marked=[1]))
    changed = (plain != marked).any(axis=(0, 2)).nonzero()[0]
    assert changed.min() > 40 * SCALE


def test_a_sheet_wants_a_caption_for_each_picture():
    with pytest.raises(ValueError, match="1 captions for 2 pictures"):
        contact_sheet(torch.zeros(2, 3, 8, 8), ["one"], columns=2)


def test_ladders_put_each_prompt_above_its_pictures_and_frame_t_star():
    pictures = torch.rand(3, 3, 8, 8)
    sheet = ladders([("a wall", [1, 5, 9], 5, pictures), ("a park", [1, 5, 9], 9, pictures)], side=40)
    frame = np.asarray(sheet.convert("RGB")).reshape(-1, 3)
    assert (frame == tuple(int(FRAME[i : i + 2], 16) for i in (1, 3, 5))).all(axis=1).sum() > 100


def test_a_long_prompt_above_a_ladder_is_broken_into_lines():
    pictures = torch.zeros(2, 3, 8, 8)
    short = ladders([("a wall", [1, 5], 5, pictures)], side=40)
    long = ladders([("a wall with a very long story that nobody will ever read to the end", [1, 5], 5, pictures)], 40)
    assert long.height > short.height and long.width == short.width
    words = np.asarray(long.convert("L"))[: long.height - short.height, -GAP * SCALE :]
    assert (words == 255).all(), "no word runs over the edge"


def test_what_stands_beside_a_ladder_is_at_its_right_and_nothing_covers_it():
    pictures = torch.zeros(2, 3, 8, 8)
    rows = [("a wall", [1, 5], 5, pictures), ("a park", [1, 2, 9], 9, torch.zeros(3, 3, 8, 8))]
    plain = ladders(rows, side=40)
    curves = [Image.new("RGB", (50, height), (0, 0, 255)) for height in (30, 400)]
    sheet = ladders(rows, side=40, beside=curves)
    assert sheet.width == plain.width + 50 and sheet.height > plain.height, "a tall one makes its row taller"
    blue = (np.asarray(sheet) == (0, 0, 255)).all(axis=2)
    assert blue.sum() == 50 * 430 and not blue[:, : plain.width].any()


def test_a_row_with_more_pictures_than_columns_goes_on_below_and_a_long_heading_is_broken():
    def sheet(columns: int, heading: str = "a wall"):
        return under_headings([Row(heading, ["1"] * 6, torch.rand(6, 3, 8, 8))], side=40, columns=columns)

    one, two = sheet(6), sheet(3)
    assert two.width < one.width and two.height > one.height + 40
    long = np.asarray(sheet(3, "a crowd of many colorful shapes on a striped wall"))
    assert len(long) > two.height and (long[:, -GAP * SCALE // 2 :] == 255).all(), "the heading runs out of the sheet"
