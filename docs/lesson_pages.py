"""An executed notebook as a page of the book: its figures with captions and alternative texts, its tables to scroll."""

import html
import re
from collections.abc import Mapping
from typing import Any

from nbformat import NotebookNode, v4

FIGURE = re.compile(r'report\.figure\(\s*"(\w+)"')
TITLE = re.compile(r'aria-label="Title text \'(.*?)\'"', re.DOTALL)
STYLE = re.compile(r"<style.*?</style>", re.DOTALL)  # a table's own: the book dresses all tables alike
HIDDEN = {  # cells to be opened, by their tag: how much of them is folded away, and what the fold says
    "parameters": ("hide-input", "Show the parameters"),
    "solution": ("hide-cell", "Show a solution"),
}


def lesson_page(notebook: NotebookNode, name: str, manifest: Mapping[str, Any]) -> dict[str, str]:
    """Make a page of a notebook, in place; what the list of lessons says of it."""
    entries = {entry["name"]: entry for entry in manifest["artifacts"] if entry["notebook"] == name}
    run = manifest["runs"].get(name)
    cells = [cell for cell in notebook.cells if not _of_papermill(cell)]
    said = "This lesson was not run under this profile: it shows no results." if run is None else ""
    if run and run["failure"]:
        said = f"This lesson stopped in {run['failure']}. What it showed until then stands below."
    if said:
        cells.insert(1, v4.new_markdown_cell(f"```{{warning}}\n{said}\n```"))
    for cell in cells:
        if cell.cell_type == "code":
            _dress(cell, entries)
    notebook.cells = cells
    notebook.metadata.pop("papermill", None)
    notebook.metadata.pop("widgets", None)
    return _facts(cells[0].source)


def lessons_page(lessons: Mapping[str, dict[str, str]]) -> str:
    """Markdown: the list of lessons, each with its minutes, what comes before it and what one can do after it."""
    told = []
    for name, facts in lessons.items():
        minutes = f", {facts['minutes']} minutes" if facts["minutes"] else ""
        before = f", after {facts['before']}" if "](" in facts["before"] else ""
        told.append(f"[{facts['title']}]({name}.ipynb){minutes}{before}\n: After it you can {facts['goals']}.\n")
    listed, said = "\n".join(lessons), "\n".join(told)
    return (
        "# Lessons\n\nEach is a notebook that was run to make this book; `make lab` opens it for you to change.\n\n"
        f"{said}\n```{{toctree}}\n:hidden:\n\n{listed}\n```\n"
    )


def _facts(text: str) -> dict[str, str]:
    """What a lesson's first cell says: its title, and where they stand there, minutes, lessons before, goals."""
    found = {"title": text.splitlines()[0].lstrip("# "), "minutes": "", "before": "", "goals": ""}
    for name in ("minutes", "before"):
        if says := re.search(rf"\*\*{name}\*\*:?\s*(.*?)\s*(?:·|\n|$)", text, re.IGNORECASE):
            found[name] = says[1]
    goals = text.partition("you can**")[2]
    listed = re.findall(r"^- (.*?)[;.]?$(?=\n- |\n\n|\n?\Z)", goals, re.MULTILINE | re.DOTALL)
    found["goals"] = "; ".join(" ".join(goal.split()) for goal in listed)
    return found


def _of_papermill(cell: NotebookNode) -> bool:
    """True for what papermill added: the parameters it injected, and its words about an error."""
    tags = set(cell.metadata.get("tags", ()))
    return bool(tags & {"injected-parameters", "papermill-error-cell-tag"})


def _dress(cell: NotebookNode, entries: Mapping[str, dict]) -> None:
    """Give a code cell's outputs what a page needs that a notebook does not."""
    tags = cell.metadata.get("tags", [])
    for tag in HIDDEN.keys() & set(tags):
        cell.metadata.update(tags=[*tags, HIDDEN[tag][0]], mystnb={"code_prompt_show": HIDDEN[tag][1]})
    names = FIGURE.findall(cell.source)
    entry = entries.get(names[-1]) if names else None
    for output in cell.outputs:
        data = output.get("data", {})
        picture = next((data[kind] for kind in ("image/svg+xml", "image/png") if kind in data), None)
        if "<table" in data.get("text/html", ""):
            table = STYLE.sub("", data["text/html"])
            framed = f'<div class="scroll" tabindex="0" role="region" aria-label="Table">{table}</div>'
            output.data = NotebookNode({"text/html": framed})
        elif "text/html" in data or picture is None:
            continue
        elif entry:
            output.data = NotebookNode({"text/html": figure(entry)})
        else:
            title = TITLE.search(picture)
            alt = html.unescape(title[1]) if title else "The pictures that the code above draws."
            cell.metadata["mystnb"] = {**cell.metadata.get("mystnb", {}), "image": {"alt": alt}}


def figure(entry: Mapping[str, Any]) -> str:
    """HTML of a figure of the report: as it is saved there, with a narrow form for telephones where it has one."""
    files = {"narrow" if "-narrow" in file else file.rpartition(".")[2]: f"../{file}" for file in entry["files"]}
    shown = files.get("svg") or next(iter(files.values()))
    alt, caption = (html.escape(text) for text in (entry.get("alt") or entry["caption"], entry["caption"]))
    narrow = f'<source media="(max-width: 640px)" srcset="{files["narrow"]}">' if "narrow" in files else ""
    return (
        f'<figure id="{entry["name"]}"><a href="{shown}"><picture>{narrow}'
        f'<img src="{shown}" alt="{alt}"></picture></a><figcaption>{caption}</figcaption></figure>'
    )
