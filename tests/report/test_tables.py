"""Tables as their readers see them: intervals beside their values, and never more than a page holds."""

import re

import polars as pl
import pytest

from bfkit.report.tables import MOST, presented, to_markdown, typeset

FRAME = pl.DataFrame(
    {
        "metric": ["l_snr", "i_clip"],
        "error": [0.0316, None],
        "low": [0.0251, 0.01],
        "high": [0.0393, 0.02],
        "saved": [0.123, -0.004],
        "saved_low": [0.1, -0.0104],
        "saved_high": [0.15, 0.002],
        "score": [8.0, 7.5],
        "score_error": [0.25, 0.5],
        "front": [True, False],
        "steps": [17, 3],
    }
)


def cells(columns: list[str] | None = None) -> dict[str, list[str]]:
    return {column.head: column.cells for column in presented(FRAME, columns)}


def test_intervals_and_errors_stand_beside_the_value_they_belong_to():
    shown = cells()
    assert shown["mean absolute error [95% interval]"] == ["0.0316 [0.0251, 0.0393]", "– [0.01, 0.02]"]
    assert shown["loss saved, % [95% interval]"] == ["12.3 [10.0, 15.0]", "−0.4 [−1.0, 0.2]"]
    assert shown["score ± standard error"] == ["8 ± 0.25", "7.5 ± 0.5"]
    assert shown["metric"] == ["L-SNR", "I-CLIP"] and shown["front"] == ["yes", "no"]
    assert list(shown)[-1] == "steps, mean" and len(shown) == 6


def test_chosen_columns_come_in_their_order_and_bring_their_intervals():
    assert list(cells(["saved", "metric"])) == ["loss saved, % [95% interval]", "metric"]


def test_a_column_that_is_not_there_and_too_many_of_them_are_refused_in_a_sentence():
    with pytest.raises(ValueError, match="no column 'sawed' to show: there are metric, error"):
        presented(FRAME, ["sawed"])
    wide = pl.DataFrame({f"x{number}": [1] for number in range(MOST + 1)})
    with pytest.raises(ValueError, match=r"9 columns are too many to read: name at most 8 of them with columns="):
        presented(wide)
    assert len(presented(wide, wide.columns[:MOST])) == MOST


def test_markdown_and_html_hold_the_same_cells_with_numbers_to_the_right():
    frame = pl.DataFrame({"name": ["a|b"], "value": [0.123456], "count": [7]})
    shown = presented(frame)
    assert to_markdown(shown) == "| name | value | count |\n| --- | --: | --: |\n| a\\|b | 0.123 | 7 |"
    html = typeset("rows", shown).as_raw_html()
    assert [re.findall(f">({cell})</td>", html) for cell in (r"a\|b", "0.123", "7")] == [["a|b"], ["0.123"], ["7"]]
    assert html.count("gt_row gt_left") == 1 and html.count("gt_row gt_right") == 2
    assert typeset("empty", presented(frame.clear())).as_raw_html().count("<th ") == 3
