"""Draw the rooms of bfkit and what imports what, from the imports themselves: ``make architecture``.

Writes docs/architecture.svg and the table of rooms in docs/architecture.md; layers and their order are those of the
contract in pyproject.toml.
"""

import ast
import re
import textwrap
import tomllib
from pathlib import Path

import altair as alt
import grimp
import polars as pl

from bfkit.charts import INK, MUTED, RULE

DOCS = Path(__file__).parent
PACKAGE = DOCS.parent / "bfkit"
WIDTH, GAP, LINE, BETWEEN = 1000, 10, 11, 34  # pixels: the page, between boxes, a line of text, between layers


def read_layers() -> list[list[str]]:
    """The rooms of each layer, from the top."""
    contracts = tomllib.loads((DOCS.parent / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    return [[room.strip() for room in re.split("[|:]", layer)] for layer in layers]


def says(room: str) -> str:
    """The first sentence of a room about itself."""
    path = PACKAGE / f"{room}.py"
    path = path if path.is_file() else PACKAGE / room / "__init__.py"
    said = (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").split("\n")[0]
    return said.replace("``", "").removesuffix(".")


def count_imports() -> dict[tuple[str, str], int]:
    """How many files of a room import from another: (importer, imported) to a number."""
    graph = grimp.build_graph("bfkit", exclude_type_checking_imports=True)
    found: dict[tuple[str, str], int] = {}
    for module in graph.modules:
        for imported in graph.find_modules_directly_imported_by(module):
            rooms = tuple([*name.split("."), ""][1] for name in (module, imported))
            if all(rooms) and rooms[0] != rooms[1]:
                found[rooms] = found.get(rooms, 0) + 1
    return found


def needed_arrows(arrows: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """Those that do not follow from others: what a room reaches through another needs no arrow of its own."""
    below = {room: {target for source, target in arrows if source == room} for room, _ in arrows}

    def reach(room: str) -> set[str]:
        return below.get(room, set()).union(*(reach(target) for target in below.get(room, ())))

    return {(a, b) for a, b in arrows if not any(b in reach(other) for other in below[a] - {b})}


def place(layers: list[list[str]]) -> pl.DataFrame:
    """A box a room: ``room, text, x, x2, y, y2`` in pixels, the top layer first."""
    rows, top = [], 0
    for layer in layers:
        width = (WIDTH - GAP * (len(layer) - 1)) / len(layer) if len(layer) > 2 else 360
        left = (WIDTH - width * len(layer) - GAP * (len(layer) - 1)) / 2
        texts = [textwrap.wrap(says(room), max(14, int(width / 5.4))) for room in layer]
        bottom = top + 24 + LINE * max(map(len, texts))
        for number, (room, lines) in enumerate(zip(layer, texts, strict=True)):
            x = left + number * (width + GAP)
            rows.append((room, "\n".join(lines), x, x + width, top, bottom))
        top = bottom + BETWEEN
    return pl.DataFrame(rows, schema=["room", "text", "x", "x2", "y", "y2"], orient="row")


def draw(boxes: pl.DataFrame, arrows: set[tuple[str, str]]) -> alt.LayerChart:
    """The picture; an arrow leads from a room to one that it imports from."""
    at = {row["room"]: row for row in boxes.iter_rows(named=True)}
    ends = []
    for source, target in sorted(arrows):
        a, b = at[source], at[target]
        if a["y"] == b["y"]:  # neighbours of one layer
            left, middle = b["x"] < a["x"], (a["y"] + a["y2"]) / 2
            end = {"x": a["x" if left else "x2"], "y": middle, "x2": b["x2" if left else "x"], "y2": middle}
            end["head"] = "triangle-left" if left else "triangle-right"
        else:
            end = {"x": (a["x"] + a["x2"]) / 2, "y": a["y2"], "x2": (b["x"] + b["x2"]) / 2, "y2": b["y"] - 3}
            end["head"] = "triangle-down"
        ends.append(end)
    height = boxes["y2"].max()
    x = alt.X("x:Q", axis=None, scale=alt.Scale(domain=[0, WIDTH], nice=False))
    y = alt.Y("y:Q", axis=None, scale=alt.Scale(domain=[height, 0], nice=False))
    lines = alt.Chart(pl.DataFrame(ends)).mark_rule(color=MUTED, strokeWidth=1.1).encode(x=x, y=y, x2="x2", y2="y2")
    heads = (
        alt.Chart(pl.DataFrame(ends))
        .mark_point(filled=True, size=34, color=MUTED, opacity=1)
        .encode(
            x=alt.X("x2:Q", axis=None),
            y=alt.Y("y2:Q", axis=None),
            shape=alt.Shape("head:N", scale=None, legend=None),
        )
    )
    base = alt.Chart(boxes)
    rectangles = base.mark_rect(fill="#f6f7fa", stroke=RULE, cornerRadius=4, opacity=1).encode(
        x=x, y=y, x2="x2", y2="y2"
    )
    text = {"align": "left", "baseline": "top", "dx": 6}
    names = base.mark_text(**text, dy=6, fontSize=12, fontWeight="bold", color=INK).encode(x=x, y=y, text="room")
    said = base.mark_text(**text, dy=21, fontSize=9.5, lineBreak="\n", lineHeight=LINE, color=INK).encode(
        x=x, y=y, text="text"
    )
    return (lines + rectangles + heads + names + said).properties(
        width=WIDTH,
        height=height,
        title=alt.TitleParams(
            f"{len(boxes)} rooms, every import downwards",
            subtitle="An arrow leads to what a room imports from; arrows that follow from others are left out.",
        ),
    )


def table(layers: list[list[str]], imports: dict[tuple[str, str], int]) -> str:
    """Markdown: what each room is for and what it imports from."""
    lines = ["| room | what it is for | imports from |", "| --- | --- | --- |"]
    for room in (room for layer in layers for room in layer):
        targets = sorted(target for source, target in imports if source == room)
        lines.append(f"| `{room}` | {says(room)} | {', '.join(targets) or '–'} |")
    return "\n".join(lines)


def main(out: Path = DOCS) -> None:
    layers, imports = read_layers(), count_imports()
    draw(place(layers), needed_arrows(set(imports))).save(out / "architecture.svg")
    page = (DOCS / "architecture.md").read_text(encoding="utf-8")
    start, end = "<!-- rooms -->\n", "\n<!-- /rooms -->"
    before, after = page.split(start)[0], page.split(end)[1]
    (out / "architecture.md").write_text(before + start + table(layers, imports) + end + after, encoding="utf-8")


if __name__ == "__main__":
    main()
