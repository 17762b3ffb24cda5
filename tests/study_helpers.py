"""Small studies of real pictures, and a driven browser to take part in them."""

import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from bfkit import study

STEPS = {"OURS": 17, "UNIFORM": 22, "REFERENCE": 65}


def pictures(count: int, size: int = 24) -> list[tuple]:
    """Noise of its own for every prompt and condition: no two pictures are alike."""
    rng = np.random.default_rng(0)
    return [
        (f"prompt {number}, with a “comma”", 7, name, steps, rng.random((3, size, size)))
        for number in range(count)
        for name, steps in STEPS.items()
    ]


@contextmanager
def serving(folder: Path, out: Path, port: int = 0) -> Iterator[study.StudyServer]:
    with study.StudyServer(folder, out, port=port) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def post(url: str, body: bytes, headers: dict[str, str] | None = None) -> tuple[int, dict]:
    """The status and the JSON a post was answered with."""
    request = urllib.request.Request(url + "answers", body, headers or {})
    try:
        with urllib.request.urlopen(request, timeout=60) as reply:
            return reply.status, json.load(reply)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def wait(condition: Callable[[], object], seconds: float = 30) -> object:
    """The first true value of a condition; fails when there is none for so long."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.02)
    raise AssertionError("what the test waits for did not happen")


ON_SCREEN = """
const ready = document.querySelector('[aria-busy=false] .pictures');
if (!ready) return null;
const images = [...ready.querySelectorAll('img')].map((image) => {
  const box = image.getBoundingClientRect();
  return {file: image.getAttribute('src'), x: box.x, y: box.y, width: box.width, bottom: box.bottom};
});
return images.sort((a, b) => a.x - b.x);
"""


def press_go(browser) -> None:
    """Press the button of a page of text."""
    wait(lambda: browser.execute_script("return document.querySelector('button.go')")).click()


def on_screen(browser) -> list[dict]:
    """The pictures of the trial on the screen, from left to right, as the browser lays them out."""
    return wait(lambda: browser.execute_script(ON_SCREEN))


def answer(browser, how: str) -> list[dict]:
    """Answer the trial on the screen with a key, or by a click on the button A or B; returns what was on the screen."""
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    seen = on_screen(browser)
    if how.startswith("click "):
        browser.find_element(By.CSS_SELECTOR, f".pictures button[aria-label^='Choose picture {how[-1]}']").click()
    else:
        browser.switch_to.active_element.send_keys({"left": Keys.ARROW_LEFT, "right": Keys.ARROW_RIGHT}.get(how, how))
    return seen
