"""A flipbook is a strip without its script, and with it a slider that keyboards and screen readers can work."""

import pytest
import torch
from browsers import browsing, needs_browser

from bfkit.sampling.flipbook import Flipbook, strip_of

TRACKS = {"noise & all": torch.rand(3, 3, 8, 8), "guess": torch.rand(3, 3, 8, 8)}
BOOK = Flipbook(TRACKS, ["before step 1", "before step 2", "finished <b>"], "denoising steps", first=1)


def test_every_frame_is_there_without_a_script_and_says_what_it_is():
    page = BOOK._repr_html_().split("<script>")[0]
    assert page.count("<img ") == 6 and page.count('src="data:image/webp') == 6
    assert 'alt="noise &amp; all, before step 2"' in page and "finished &lt;b&gt;" in page
    assert "hidden" not in page.split("</style>")[1]


def test_the_strip_shows_the_same_standing_still_and_describes_itself():
    strip = BOOK.strip(columns=2, side=40)
    assert strip.width < strip.height
    assert strip.info["description"] == ("noise & all, guess: denoising steps, from before step 1 to finished <b>.")


def test_a_strip_for_charts_has_each_picture_under_its_steps():
    strip = strip_of([1, 9, 129], TRACKS["guess"])
    assert [steps for steps, _ in strip] == [1, 9, 129] and len({address for _, address in strip}) == 3


@pytest.mark.parametrize(
    ("labels", "first", "words"),
    [(["one"], 0, "1 labels for 3 pictures of 'noise & all'"), (["1", "2", "3"], 3, "no frame 3 to begin with")],
)
def test_what_does_not_fit_together_is_one_sentence(labels, first, words):
    with pytest.raises(ValueError, match=words):
        Flipbook(TRACKS, labels, "steps", first)


@needs_browser
@pytest.mark.slow
def test_in_a_browser_one_frame_is_seen_and_the_arrow_keys_turn_the_leaves(tmp_path):
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    other = Flipbook({"guess": TRACKS["guess"]}, ["a", "b", "c"], "guidance")
    page = tmp_path / "page.html"
    page.write_text(f"<!doctype html><meta charset=utf-8>{BOOK._repr_html_()}{other._repr_html_()}{BOOK._repr_html_()}")
    with browsing(tmp_path / "profile", width=420) as browser:
        browser.get(page.as_uri())
        sliders = browser.find_elements(By.CSS_SELECTOR, "input[type=range]")
        assert len(sliders) == 3, "the same book may be shown twice"
        seen = [label.text for label in browser.find_elements(By.TAG_NAME, "output")]
        assert seen == ["before step 2", "a", "before step 2"]
        sliders[0].send_keys(Keys.ARROW_RIGHT)
        assert sliders[0].get_attribute("aria-valuetext") == "finished <b>"
        shown = [
            image.get_attribute("alt") for image in browser.find_elements(By.TAG_NAME, "img") if image.is_displayed()
        ]
        assert shown[:2] == ["noise & all, finished <b>", "guess, finished <b>"] and len(shown) == 5
        assert browser.execute_script("return document.documentElement.scrollWidth <= innerWidth")
        assert not browser.get_log("browser")
