"""A driven Chromium, for tests of pages as their readers see them."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

CHROMIUM, DRIVER = shutil.which("chromium") or shutil.which("chromium-browser"), shutil.which("chromedriver")
needs_browser = pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="needs chromium and chromedriver")


@contextmanager
def browsing(profile: Path, width: int = 1280, height: int = 800) -> Iterator[Any]:
    """A Chromium with an empty profile, which keeps its console for ``get_log("browser")``."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for name in ("headless=new", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-sync",
                 "disable-background-networking", "disable-component-update", f"user-data-dir={profile}",
                 f"window-size={width},{height}"):  # fmt: skip
        options.add_argument(f"--{name}")
    options.add_experimental_option("prefs", {"download.default_directory": str(profile / "saved")})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    try:
        yield browser
    finally:
        browser.quit()


def seen_as(browser: Any, width: int, dark: bool = False) -> None:
    """Show what is open as a reader with such a window has it, on light ground or on dark."""
    size = {"width": width, "height": 1000, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})


def hindrances(browser: Any) -> list[str]:
    """What axe finds that shuts readers out: its serious and critical findings, each with its first place."""
    from selenium_axe_python import Axe

    axe = Axe(browser)
    axe.inject()
    found = [one for one in axe.run()["violations"] if one["impact"] in ("serious", "critical")]
    return [f"{one['id']}: {one['nodes'][0]['target']} {one['nodes'][0]['failureSummary']}" for one in found]


def scrolls_sideways(browser: Any) -> bool:
    """True if the page is wider than its window."""
    return browser.execute_script("const page = document.documentElement; return page.scrollWidth > page.clientWidth")


def smallest_letters(browser: Any) -> float:
    """The size in pixels, as it is drawn, of the smallest letters in sight."""
    return browser.execute_script(LETTERS)


LETTERS = """
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), sizes = [];
while (walker.nextNode()) {
  const parent = walker.currentNode.parentElement, svg = parent.closest("svg[viewBox]");
  if (!walker.currentNode.data.trim() || !parent.getClientRects().length) continue;
  const scale = svg ? svg.getBoundingClientRect().width / svg.viewBox.baseVal.width : 1;
  sizes.push(scale * parseFloat(getComputedStyle(parent).fontSize));
}
return Math.min(...sizes);
"""
