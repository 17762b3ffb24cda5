"""The report's figures as slides, one below the other, in a page without a script: ``make slides``.

``python docs/slides.py [REPORT]`` writes REPORT/slides.html. Page Down goes on; printed, each slide is a page.
"""

import html
import json
import sys
from pathlib import Path

DOCS = Path(__file__).parent
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>bfkit: the figures</title>
<style>
html {{ scroll-snap-type: y mandatory }}
body {{ margin: 0; font: 1.4rem/1.4 Helvetica, Arial, sans-serif; color: #222; background: white }}
figure {{ height: 100vh; margin: 0; padding: 3vh 4vw; box-sizing: border-box; scroll-snap-align: start;
         display: flex; flex-direction: column; gap: 2vh; break-after: page }}
img {{ flex: 1; min-height: 0; object-fit: contain }}
small {{ color: #5b616c }}
@page {{ size: landscape; margin: 0 }}
</style>
</head>
<body>
<h1 hidden>The figures of the report</h1>
{slides}
</body>
</html>
"""


def slide(entry: dict) -> str:
    """HTML of a slide: the picture, its caption, and the lesson that drew it."""
    caption, alt = html.escape(entry["caption"]), html.escape(entry.get("alt") or entry["caption"])
    lesson = entry["notebook"].replace("_", " ")
    return (
        f'<figure id="{entry["name"]}"><img src="{next(iter(entry["files"]))}" alt="{alt}">'
        f"<figcaption>{caption} <small>Lesson {lesson}</small></figcaption></figure>"
    )


def main(report: Path = DOCS.parent / "reports") -> Path:
    """Write the slides of a report's figures, in the order of its lessons; the page."""
    noted = report / "manifest.json"
    if not noted.is_file():
        raise SystemExit(f"there is no report in {report}: run `make reproduce` first, then `make slides`")
    artifacts = json.loads(noted.read_text(encoding="utf-8"))["artifacts"]
    page = report / "slides.html"
    slides = "\n".join(slide(entry) for entry in artifacts if entry["kind"] == "figure")
    page.write_text(PAGE.format(slides=slides), encoding="utf-8")
    print(f"open {page}")
    return page


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
