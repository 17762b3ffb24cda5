"""A lesson, fitted to a profile, run headlessly and kept as a page."""

from pathlib import Path
from typing import cast

from bfkit.extras import extra
from bfkit.profiles import Profile

with extra("notebooks"):
    import nbformat
    import papermill
    from nbconvert import HTMLExporter

LEFT_OUT = (
    "*Table 1 is left out, for want of its errors on these scores. `bfkit networks --profile {profile} --scores SCORES "
    "--out FILE` makes them; name the file with `--networks`.*"
)


def fitting(notebook: Path, profile: Profile) -> nbformat.NotebookNode:
    """The lesson without what does not fit a profile, told by its cells' tags.

    Those tagged ``mini`` speak of the miniature; those tagged ``networks`` need the errors of Table 1, and leave a
    sentence where the first of them stood.
    """
    lesson = nbformat.read(notebook, as_version=4)
    tagged = [(cell, set(cell.metadata.get("tags", ()))) for cell in lesson.cells]
    needing = [cell for cell, tags in tagged if "networks" in tags and not profile.networks]
    if needing:
        left_out = nbformat.v4.new_markdown_cell(LEFT_OUT.format(profile=profile.source), id="left-out")
        tagged.insert([cell for cell, _ in tagged].index(needing[0]), (left_out, set()))
    foreign = [cell for cell, tags in tagged if "mini" in tags and profile.name != "mini"]
    lesson.cells = [cell for cell, _ in tagged if cell not in needing and cell not in foreign]
    return lesson


def run_lesson(notebook: Path, out: Path, settings: dict, profile: Profile) -> str | None:
    """Run a notebook and keep it as a page; returns the cell that failed and how, if one did."""
    executed, failure = out / "notebooks" / notebook.name, None
    try:
        papermill.execute_notebook(
            fitting(notebook, profile),
            executed,
            settings,
            cwd=notebook.parent,
            progress_bar=cast("bool", {"mininterval": 1.0}),  # its hint leaves out tqdm's options, which it takes
            kernel_name="python3",
            extra_arguments=["--log-level=CRITICAL"],
        )
    except papermill.PapermillExecutionError as error:
        failure = f"cell {error.exec_count}: {error.ename}: {error.evalue}"
    page, _ = HTMLExporter(exclude_input_prompt=True, exclude_output_prompt=True).from_filename(str(executed))
    executed.with_suffix(".html").write_text(page, encoding="utf-8")
    executed.unlink()
    return failure
