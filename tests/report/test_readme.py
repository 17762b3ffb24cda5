"""README says what the report found, is short, and links only to what a clone has."""

import json
import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
findings = runpy.run_path(str(ROOT / "docs" / "findings.py"))


def test_readme_says_what_the_report_found():
    manifest = json.loads((ROOT / "reports" / "manifest.json").read_text(encoding="utf-8"))
    assert findings["written"](README, manifest) == README, "run `make findings`"


def test_findings_come_in_the_order_of_the_page_and_an_older_list_is_replaced():
    told = [
        {"name": "prompt", "sentence": "Words tell t* poorly."},
        {"name": "rule", "sentence": "It gains 2% [1, 3]."},
    ]
    once = findings["written"](README, {"findings": told[:1]})
    twice = findings["written"](once, {"findings": told})
    assert "\n1. It gains 2% [1, 3].\n2. Words tell t\\* poorly.\n<!--" in twice and twice.count("Words tell") == 1


def test_readme_is_at_most_120_lines():
    assert len(README.splitlines()) <= 120


@pytest.mark.parametrize(
    "page", [path.relative_to(ROOT) for path in (ROOT / "README.md", *ROOT.glob("docs/*.md"))], ids=str
)
def test_what_a_page_links_to_is_there(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    links = [link.split("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link]
    made = ("reference/", "lessons/")  # by the book
    links = [link for link in links if link and not link.startswith(made)]
    assert [link for link in links if not (ROOT / page).parent.joinpath(link).exists()] == []
