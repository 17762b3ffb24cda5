"""Write what was found into README.md, from reports/manifest.json: ``make findings``."""

import json
import re
import textwrap
from pathlib import Path

from bfkit.report.contents import FINDINGS

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"(<!-- findings: .*? -->\n).*?(<!-- /findings -->)", re.DOTALL)


def found(manifest: dict) -> str:
    """The findings of a report as a numbered list in Markdown, in the order of its page."""
    sentences = {entry["name"]: entry["sentence"] for entry in manifest.get("findings", [])}
    told = [sentences[name].replace("*", "\\*") for name in FINDINGS if name in sentences]
    lines = [textwrap.fill(f"{n}. {one}", 118, subsequent_indent="   ") for n, one in enumerate(told, 1)]
    return "\n".join(lines)


def written(readme: str, manifest: dict) -> str:
    """README's text with the findings of a report in their place."""
    return BLOCK.sub(lambda block: f"{block[1]}{found(manifest)}\n{block[2]}", readme)


def main() -> None:
    path = ROOT / "README.md"
    manifest = json.loads((ROOT / "reports" / "manifest.json").read_text(encoding="utf-8"))
    path.write_text(written(path.read_text(encoding="utf-8"), manifest), encoding="utf-8")


if __name__ == "__main__":
    main()
