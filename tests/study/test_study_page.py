"""The page itself, in a driven Chromium: what it records is what was on the screen and pressed."""

import json

import polars as pl
import pytest
from browsers import browsing, hindrances, needs_browser, scrolls_sideways, seen_as, smallest_letters
from study_helpers import answer, on_screen, pictures, press_go, serving, wait

from bfkit import study
from bfkit.study.folder import Page
from bfkit.study.records import SCHEMA

pytestmark = [pytest.mark.slow, needs_browser]
HOW = ("a", "b", "left", "right", "click A", "click B", "B")
SIDE = {"a": "A", "left": "A", "click A": "A", "b": "B", "right": "B", "click B": "B", "B": "B"}


def _conditions(made: study.Study) -> dict[str, tuple[str, str, int | None]]:
    return {
        picture.file: (stimulus.prompt, name, picture.steps)
        for stimulus in made.stimuli
        for name, picture in stimulus.pictures.items()
    }


def _check_rows(made: study.Study, rows: pl.DataFrame, seen: list[tuple[list[dict], str]]) -> None:
    """Rows against pictures read off the screen, from left to right, and what was pressed."""
    assert rows["position"].to_list() == list(range(len(seen)))
    known = _conditions(made)
    for row, (images, how) in zip(rows.iter_rows(named=True), seen, strict=True):
        (left_prompt, left, left_steps), *_, (_, right, right_steps) = (known[image["file"]] for image in images)
        assert (row["prompt"], row["seed"]) == (left_prompt, 7)
        assert (row["left_condition"], row["left_steps"]) == (left, left_steps)
        assert (row["right_condition"], row["right_steps"]) == (right, right_steps)
        assert (row["choice"], row["chosen"]) == (SIDE[how], left if SIDE[how] == "A" else right)
        assert row["input"] == ("button" if how.startswith("click") else "key")
        assert row["picture_px"] == pytest.approx(images[0]["width"], abs=0.1)
        assert 0 < row["rt_ms"] < 60_000 and row["simulated"] is False
        if made.design.protocol == "similar":
            assert (
                len(images) == 3 and known[images[1]["file"]][1:] == ("REFERENCE", 65) and row["reference_steps"] == 65
            )


def _take_part(browser, made: study.Study, seen: list, until: int) -> None:
    """Answer up to a position, reading the screen each time."""
    while len(seen) < until:
        how = HOW[len(seen) % len(HOW)]
        seen.append((answer(browser, how), how))
        if len(seen) <= made.design.practice:
            press_go(browser)


def test_a_whole_study_is_stored_as_it_was_shown_and_pressed(tmp_path):
    made = study.build(pictures(26), tmp_path / "page", trials=20, page=Page(code="DONE-42"))
    seen = []
    with serving(tmp_path / "page", tmp_path / "out") as server, browsing(tmp_path / "profile") as browser:
        browser.get(f"{server.url}?PROLIFIC_PID=5f0c&STUDY_ID=study1&SESSION_ID=session1")
        press_go(browser)
        press_go(browser)
        _take_part(browser, made, seen, len(made.orders[0]))
        assert wait(lambda: browser.execute_script("return document.getElementById('code')?.textContent")) == "DONE-42"
    rows = study.read_answers(tmp_path / "out")
    assert len(rows) == 28 and rows.filter(kind="main").height == 20
    assert rows["participant"].unique().to_list() == ["5f0c"]
    assert rows["prolific_study"].unique().to_list() == ["study1"]
    _check_rows(made, rows, seen)
    assert pl.read_parquet(tmp_path / "out" / "answers.parquet").equals(rows)


def test_a_reload_and_a_server_that_is_down_lose_no_answer_and_store_none_twice(tmp_path):
    made = study.build(pictures(14), tmp_path / "page", "reference", trials=12, checks=0, practice=1, repeats=2)
    seen = []
    with browsing(tmp_path / "profile") as browser:
        with serving(tmp_path / "page", tmp_path / "out") as server:
            port = server.server_address[1]
            browser.get(f"{server.url}?participant=ada")
            press_go(browser)
            press_go(browser)
            _take_part(browser, made, seen, 4)
            on_screen(browser)
            browser.refresh()
            press_go(browser)  # one page: welcome back
            _take_part(browser, made, seen, 6)
        _take_part(browser, made, seen, 9)  # nobody listens
        wait(lambda: "kept on this device" in browser.find_element("id", "status").text)
        assert len(study.read_answers(tmp_path / "out")) <= 6
        with serving(tmp_path / "page", tmp_path / "out", port) as server:
            _take_part(browser, made, seen, len(made.orders[0]))
            wait(lambda: "All your answers were received" in browser.find_element("id", "study").text, 60)
            browser.refresh()  # the end again, and nothing is sent again
            wait(lambda: "All your answers were received" in browser.find_element("id", "study").text)
    _check_rows(made, study.read_answers(tmp_path / "out"), seen)
    assert len((tmp_path / "out" / "answers.jsonl").read_text().splitlines()) == len(made.orders[0])


def test_a_double_click_on_the_folder_is_enough_and_the_saved_files_are_read_back(tmp_path):
    made = study.build(pictures(2), tmp_path / "page", trials=2, checks=0, practice=0, page=Page(code="SAVED"))
    seen = []
    with browsing(tmp_path / "profile") as browser:
        browser.get((tmp_path / "page" / "index.html").as_uri())
        press_go(browser)
        press_go(browser)
        _take_part(browser, made, seen, 2)
        wait(lambda: "Please save your answers" in browser.find_element("id", "study").text)
        assert not browser.execute_script("return document.getElementById('code')"), "the code came before the file"
        for button in (0, 1):
            wait(lambda: browser.execute_script("return document.querySelectorAll('.actions button')"))[button].click()
        assert browser.find_element("id", "code").text == "SAVED"
        files = wait(lambda: len(found := sorted((tmp_path / "profile" / "saved").glob("study-*[nv]"))) == 2 and found)
    for file in files:
        _check_rows(made, study.read_answers(file), seen)


def test_pictures_that_do_not_arrive_are_asked_for_again_until_they_do(tmp_path):
    made = study.build(pictures(2), tmp_path / "page", trials=2, checks=0, practice=0)
    seen = []
    with serving(tmp_path / "page", tmp_path / "out") as server, browsing(tmp_path / "profile") as browser:
        browser.execute_cdp_cmd("Network.enable", {})
        browser.execute_cdp_cmd("Network.setBlockedURLs", {"urls": ["*/pictures/*"]})
        browser.get(server.url)
        press_go(browser)
        press_go(browser)
        wait(lambda: "Waiting for the network" in browser.find_element("id", "study").text)
        browser.execute_cdp_cmd("Network.setBlockedURLs", {"urls": []})
        _take_part(browser, made, seen, 2)
        wait(lambda: "All your answers were received" in browser.find_element("id", "study").text)
    _check_rows(made, study.read_answers(tmp_path / "out"), seen)


def test_two_quick_presses_answer_one_trial_and_a_held_key_none(tmp_path):
    made = study.build(pictures(4), tmp_path / "page", trials=4, checks=0, practice=0)
    press = (
        "for (const repeat of arguments[0]) document.dispatchEvent(new KeyboardEvent('keydown', {key: 'a', repeat}))"
    )
    with serving(tmp_path / "page", tmp_path / "out") as server, browsing(tmp_path / "profile") as browser:
        browser.get(server.url + "?participant=quick")
        press_go(browser)
        press_go(browser)
        first = [image["file"] for image in on_screen(browser)]
        browser.execute_script(press, [True, True])
        assert [image["file"] for image in on_screen(browser)] == first
        browser.execute_script(press, [False, False, False])
        stored = f"return JSON.parse(localStorage.getItem('bfkit-{made.id}-quick')).rows.length"
        assert browser.execute_script(stored) == 1
        assert [image["file"] for image in on_screen(browser)] != first
        assert browser.execute_script(stored) == 1


def test_a_second_tab_goes_on_and_the_first_one_stops(tmp_path):
    made = study.build(pictures(4), tmp_path / "page", trials=4, checks=0, practice=0)
    seen = []
    with serving(tmp_path / "page", tmp_path / "out") as server, browsing(tmp_path / "profile") as browser:
        url = server.url + "?participant=twice"
        browser.get(url)
        press_go(browser)
        press_go(browser)
        _take_part(browser, made, seen, 1)
        on_screen(browser)
        first = browser.current_window_handle
        browser.switch_to.new_window("tab")
        browser.get(url)
        press_go(browser)
        _take_part(browser, made, seen, 2)
        second = browser.current_window_handle
        browser.switch_to.window(first)
        wait(lambda: "goes on in another tab" in browser.find_element("id", "study").text)
        browser.switch_to.window(second)
        _take_part(browser, made, seen, 4)
        wait(lambda: "All your answers were received" in browser.find_element("id", "study").text)
    _check_rows(made, study.read_answers(tmp_path / "out"), seen)


def test_a_phone_shows_all_pictures_equally_large_without_scrolling_and_a_on_the_left(tmp_path):
    study.build(pictures(2), tmp_path / "page", trials=2, checks=0, practice=0)
    with browsing(tmp_path / "profile") as browser:
        phone = {"width": 390, "height": 780, "deviceScaleFactor": 2, "mobile": True}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
        browser.get((tmp_path / "page" / "index.html").as_uri())
        press_go(browser)
        press_go(browser)
        left, middle, right = on_screen(browser)
        assert left["width"] == right["width"] == pytest.approx(middle["width"]) and left["width"] > 150
        assert left["x"] < middle["x"] < right["x"] and right["x"] + right["width"] <= 390
        assert middle["bottom"] < left["y"] == right["y"] and left["bottom"] < 780 - 44, "no place for the buttons"
        sizes = (
            "const e = document.documentElement; return [e.scrollWidth <= innerWidth, e.scrollHeight <= innerHeight]"
        )
        assert browser.execute_script(sizes) == [True, True]


def test_every_page_of_a_study_can_be_read_by_everybody(tmp_path):
    study.build(pictures(3), tmp_path / "page", trials=2, checks=0, practice=1, page=Page(code="DONE"))
    with browsing(tmp_path / "profile") as browser:

        def readable() -> None:
            for width in (1400, 400):
                seen_as(browser, width)
                assert hindrances(browser) == []
                assert not scrolls_sideways(browser) and smallest_letters(browser) >= 12

        browser.get((tmp_path / "page" / "index.html").as_uri())
        for _ in ("consent", "explanation"):
            wait(lambda: browser.execute_script("return document.querySelector('button.go')"))
            readable()
            press_go(browser)
        on_screen(browser)
        readable()
        answer(browser, "a")
        press_go(browser)
        for how in ("a", "b"):
            answer(browser, how)
        wait(lambda: "Please save your answers" in browser.find_element("id", "study").text)
        readable()


@pytest.mark.parametrize("name", ["..%2F..%2Fetc", "a/b", "x" * 65, ""])
def test_a_participant_id_with_path_characters_is_refused_with_a_sentence(tmp_path, name):
    study.build(pictures(2), tmp_path / "page", trials=2, checks=0, practice=0)
    with browsing(tmp_path / "profile") as browser:
        browser.get((tmp_path / "page" / "index.html").as_uri() + f"?participant={name}")
        text = wait(lambda: browser.find_element("id", "study").text)
        assert "1 to 64 letters, digits, - and _" in text
        assert browser.execute_script("return localStorage.length") == 0


def test_the_widgets_page_hands_its_answers_to_the_notebook(tmp_path):
    study.build(pictures(2), tmp_path / "page", trials=2, checks=0, practice=0)
    widget = study.StudyWidget(tmp_path / "page", participant="me", order=1)
    host = tmp_path / "host.html"
    script = widget._esm.replace("export default", "const widget =").replace("</script", "<\\/script")
    html = json.dumps(widget.html).replace("</", "<\\/")
    host.write_text(
        f"<!doctype html><div id=cell></div><script>const state = {{html: {html}, height: 640, answers: []}};"
        "const model = {get: (name) => state[name], set: (name, value) => state[name] = value, save_changes() {}};"
        f"{script}; widget.render({{model, el: document.getElementById('cell')}})</script>"
    )
    with browsing(tmp_path / "profile") as browser:
        browser.get(host.as_uri())
        browser.switch_to.frame(0)
        press_go(browser)
        press_go(browser)
        for how in ("a", "click B"):
            answer(browser, how)
        wait(lambda: "Thank you" in browser.find_element("id", "study").text)
        browser.switch_to.default_content()
        rows = wait(lambda: len(found := browser.execute_script("return state.answers")) == 2 and found)
    widget.answers = rows
    assert widget.rows["choice"].to_list() == ["A", "B"] and widget.rows.schema == SCHEMA
