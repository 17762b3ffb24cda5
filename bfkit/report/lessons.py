"""A lesson, fitted to a profile, and run headlessly."""

from pathlib import Path
from typing import cast

from bfkit.extras import extra
from bfkit.profiles import Profile

with extra("notebooks"):
    import nbformat
    import papermill

LEFT_OUT = {  # tables that a profile may have, by the tag of the cells that need them
    "networks": "Table 1 is left out, for want of its errors on these scores. `bfkit networks --profile {profile} "
    "--scores SCORES --out FILE` makes them; name the file with `--networks`.",
    "knowing": "What noise and looks tell is left out, for want of a second look at these pictures. `bfkit knowing "
    "--profile {profile} --scores SCORES --out FILE` takes it; name the file in a profile of your own (knowing).",
    "dense": "Every step count is left out, for want of pictures. `bfkit dataset --profile {profile} --prompts 8 "
    "--steps $(seq 129) --out FOLDER` draws them; name the folder in a profile of your own (dense).",
}


def fitting(notebook: Path, profile: Profile) -> nbformat.NotebookNode:
    """The lesson without what does not fit a profile, told by its cells' tags.

    Those tagged ``mini`` speak of the miniature; those tagged by one of ``LEFT_OUT`` need a table that not every
    profile has, and leave a sentence where the first of them stood.
    """
    lesson = nbformat.read(notebook, as_version=4)
    tagged = [(cell, set(cell.metadata.get("tags", ()))) for cell in lesson.cells]
    unfit = [cell for cell, tags in tagged if "mini" in tags and profile.name != "mini"]
    for name, said in LEFT_OUT.items():
        if getattr(profile, name) or not (needing := [cell for cell, tags in tagged if name in tags]):
            continue
        left_out = nbformat.v4.new_markdown_cell(f"*{said.format(profile=profile.source)}*", id=f"no-{name}")
        tagged.insert([cell for cell, _ in tagged].index(needing[0]), (left_out, set()))
        unfit += needing
    lesson.cells = [cell for cell, _ in tagged if cell not in unfit]
    return lesson


def run_lesson(notebook: Path, out: Path, settings: dict, profile: Profile) -> str | None:
    """Run a notebook and keep it as it is then, for the book; returns the cell that failed and how, if one did."""
    try:
        papermill.execute_notebook(
            fitting(notebook, profile),
            out / "notebooks" / notebook.name,
            settings,
            cwd=notebook.parent,
            progress_bar=cast("bool", {"mininterval": 1.0}),  # its hint leaves out tqdm's options, which it takes
            kernel_name="python3",
            extra_arguments=["--log-level=CRITICAL"],
        )
    except papermill.PapermillExecutionError as error:
        return f"cell {error.exec_count}: {error.ename}: {error.evalue}"
    return None
