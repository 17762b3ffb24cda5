"""Pages of the library's reference, one a room, from the docstrings; the public names first."""

import inspect
import pkgutil
from pathlib import Path

from architecture import read_layers, says

import bfkit

PACKAGE = Path(bfkit.__file__).parent
GROUND = "ground"  # the page of the modules directly under bfkit/
CONSTANTS = {  # public names that have no docstring
    "METRICS": "The three metrics by name, each with its label, its direction and its best value.",
    "PROFILES": "The profiles by name: which models, how many steps, at which size.",
}


def write_reference(folder: Path) -> None:
    """index.md with the public names, and a page for each room."""
    folder.mkdir(parents=True)
    rooms = [room.strip() for layer in read_layers() for room in layer]
    packages = [room for room in rooms if (PACKAGE / room).is_dir()]
    modules = sorted(room for room in rooms if room not in packages and not room.startswith("_"))
    names = [_row(name) for name in bfkit.__all__ if name not in bfkit._FORMER]
    pages = "\n".join([*packages, GROUND])
    (folder / "index.md").write_text(
        "# Reference\n\nWhat `import bfkit` offers by name; each stands with its room.\n\n| name | what it is |\n"
        "| --- | --- |\n" + "\n".join(names) + "\n\nThe rooms, from the top; each imports from those below it only "
        f"([architecture](../architecture.md)).\n\n```{{toctree}}\n:maxdepth: 1\n\n{pages}\n```\n",
        encoding="utf-8",
    )
    for room in packages:
        found = [module.name for module in pkgutil.walk_packages([str(PACKAGE / room)], f"bfkit.{room}.")]
        own = [name for name in found if not name.rpartition(".")[2].startswith("_")]
        (folder / f"{room}.md").write_text(_page(room, f"{says(room)}.", own), encoding="utf-8")
    text = "Modules directly under `bfkit/`, from which every room may import."
    (folder / f"{GROUND}.md").write_text(_page(GROUND, text, [f"bfkit.{name}" for name in modules]), encoding="utf-8")


def _page(title: str, text: str, modules: list[str]) -> str:
    sections = [
        f"## {name.removeprefix('bfkit.')}\n\n```{{eval-rst}}\n.. automodule:: {name}\n```\n" for name in modules
    ]
    return f"# {title}\n\n{text}\n\n" + "\n".join(sections)


def _row(name: str) -> str:
    """A row of the table of public names: where it is documented, and its docstring's first line."""
    if name in CONSTANTS:
        return f"| `{name}` | {CONSTANTS[name]} |"
    said = (inspect.getdoc(getattr(bfkit, name)) or "").split("\n")[0].replace("``", "`")
    return f"| {{py:obj}}`{name} <bfkit.{bfkit._HOME[name]}.{name}>` | {said} |"
