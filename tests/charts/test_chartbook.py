"""Charts behind a slider: all are there without a script, on axes that stay, and what they mark is right."""

import base64
import re

import altair as alt
import numpy as np
import polars as pl
import pytest
from browsers import browsing, needs_browser

from bfkit import charts, select_dissimilar

LEAVES = [charts.dealt(np.full(10, n), f"{n} for all", "of ten") for n in (5, 20, 200)]
BOOK = charts.ChartBook(LEAVES, ["few", "some", "many & more"], "steps", first=1)


def drawn(page: str) -> list[str]:
    return [base64.b64decode(one).decode() for one in re.findall(r"image/svg\+xml;base64,([^\"]+)", page)]


def test_every_chart_is_there_without_a_script_in_words_too():
    page = BOOK._repr_html_().split("<script>")[0]
    assert [">5 for all<" in svg or "5 for all" in svg for svg in drawn(page)] == [True, False, False]
    assert 'alt="20 for all. of ten."' in page and "many &amp; more" in page
    assert page.count("<img ") == 3 and "http" not in page.split("</style>")[1].split("base64")[0]


def values(chart: alt.TopLevelMixin) -> pl.DataFrame:
    spec = chart.to_dict()
    return pl.DataFrame(spec["datasets"][spec["data"]["name"] if "data" in spec else spec["layer"][0]["data"]["name"]])


def test_all_pictures_are_dealt_out_and_those_beyond_the_axis_stand_in_the_last_bar():
    for chart, place in zip(LEAVES, (4, 20, 76), strict=True):
        found = values(chart)
        assert found["share"].sum() == pytest.approx(1)
        assert found.filter(pl.col("share") > 0)["from"].to_list() == [place]


def test_what_is_filled_on_the_map_is_what_is_kept():
    rows = np.random.default_rng(0).normal(size=(40, 5))
    kept = select_dissimilar(rows, 0.4)
    found = values(charts.kept_on_map(rows, kept, "kept"))
    assert np.flatnonzero(found["kept"]).tolist() == kept.tolist()
    spread = found.select("across", "up").to_numpy().var(axis=0)
    assert spread[0] >= spread[1] > rows.var(axis=0).min() / 2


def test_a_dot_stands_where_loss_and_price_together_are_least():
    losses = np.stack([0.5 / np.arange(1, 30), 0.05 / np.arange(1, 30)])
    found = values(charts.priced(losses, ["much", "little"], 0.002, "priced")).filter("least")
    assert found["steps"].to_list() == [16, 5]  # the roots of .5 / .002 and .05 / .002
    assert found["sum"].to_list() == pytest.approx([0.5 / 16 + 0.032, 0.01 + 0.01])


@needs_browser
@pytest.mark.slow
def test_in_a_browser_one_chart_is_seen_and_keys_turn_the_leaves(tmp_path):
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    page = tmp_path / "page.html"
    page.write_text(f"<!doctype html><meta charset=utf-8>{BOOK._repr_html_()}")
    with browsing(tmp_path / "profile", width=420) as browser:
        browser.get(page.as_uri())
        (slider,) = browser.find_elements(By.CSS_SELECTOR, "input[type=range]")
        slider.send_keys(Keys.ARROW_RIGHT)
        shown = [one for one in browser.find_elements(By.TAG_NAME, "img") if one.is_displayed()]
        assert [one.get_attribute("alt") for one in shown] == ["200 for all. of ten."]
        assert shown[0].size["width"] > 300
        assert browser.execute_script("return document.documentElement.scrollWidth <= innerWidth")
