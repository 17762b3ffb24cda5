"""Pieces of a long measurement are kept as they are finished, shared, and never another's."""

import polars as pl
import pytest

from bfkit.evaluation.pieces import in_pieces, together


class Work:
    """Pieces that count how often each is made, one of which may fail."""

    def __init__(self) -> None:
        self.made: list[str] = []
        self.broken = ""

    def pieces(self):
        return {name: lambda name=name: self.make(name) for name in ("first", "second", "third")}

    def make(self, name: str) -> pl.DataFrame:
        if name == self.broken:
            raise KeyboardInterrupt
        self.made.append(name)
        return pl.DataFrame({"name": [name], "value": [len(name) / 3]})


@pytest.fixture
def work() -> Work:
    return Work()


def test_a_killed_run_goes_on_where_it_was_and_cleans_up(work, tmp_path):
    work.broken = "second"
    with pytest.raises(KeyboardInterrupt):
        in_pieces(work.pieces(), tmp_path / "rows.csv", ["table"])
    work.broken = ""
    rows = in_pieces(work.pieces(), tmp_path / "rows.csv", ["table"])
    assert work.made == ["first", "second", "third"]
    assert rows.equals(together(work.pieces()))
    assert list(tmp_path.iterdir()) == []


def test_parts_share_the_pieces_and_the_last_one_has_all(work, tmp_path):
    assert in_pieces(work.pieces(), tmp_path / "rows.csv", ["table"], (2, 2)) is None
    assert work.made == ["second"]
    rows = in_pieces(work.pieces(), tmp_path / "rows.csv", ["table"], (1, 2))
    assert rows["name"].to_list() == ["first", "second", "third"] and sorted(work.made) == sorted(rows["name"])


def test_what_another_table_or_other_settings_left_is_not_taken_for_theirs(work, tmp_path):
    in_pieces(work.pieces(), tmp_path / "rows.csv", ["one table"], (1, 2))
    in_pieces(work.pieces(), tmp_path / "rows.csv", ["another"], (1, 1))
    assert work.made == ["first", "third", "first", "second", "third"]
