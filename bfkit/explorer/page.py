"""The explorer as one file that needs nothing else: no network, no Python."""

import json
import re
from pathlib import Path

import jinja2
import polars as pl
import torch

from bfkit import files
from bfkit.devices import choose_device
from bfkit.models.pipelines import load_pipeline
from bfkit.predictor.advisor import StepAdvisor
from bfkit.profiles import Profile
from bfkit.sampling.generate import generate

from .data import data_uri, gather, resolve

VIEW = Path(__file__).parent / "view"
SCRIPTS = ("plateau.js", "elements.js", "chart.js", "reading.js", "explorer.js")  # none imports from one behind it


def script(*more: str) -> str:
    """The view, and more files of its folder, as one ES module: what a file imports stands above it."""
    texts = [(VIEW / name).read_text(encoding="utf-8") for name in (*SCRIPTS, *more)]
    return "\n".join(re.sub(r"^import .*\n", "", text, flags=re.MULTILINE) for text in texts)


def style() -> str:
    """The view's style sheet, which touches nothing outside the explorer."""
    return (VIEW / "explorer.css").read_text(encoding="utf-8")


def write_explorer(
    path: str | Path,
    profile: Profile | str = "mini",
    prompts: int = 50,
    *,
    scores: str | Path | pl.DataFrame | None = None,
    advisor: StepAdvisor | str | Path | None = None,
    pictures: bool = True,
    device: torch.device | str | None = None,
) -> Path:
    """Write the explorer of ``prompts`` prompts as one offline HTML page; returns its path.

    ``scores`` and ``advisor`` default to the profile's. With ``pictures``, each prompt is drawn at every step count of
    the table from the profile's first seed. Raises FileNotFoundError or ValueError where a table, a model or the device
    is not there.
    """
    path, device = Path(path), choose_device(device)
    profile, frame, advisor, notes = resolve(profile, scores, advisor, device)
    data = gather(frame, advisor, prompts, notes, pictures)
    if pictures:
        _draw(data, profile, device)
    written = json.dumps(data, allow_nan=False).replace("<", "\\u003c")  # a prompt may say </script>
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(VIEW), autoescape=True, undefined=jinja2.StrictUndefined
    )
    page = environment.get_template("page.html").render(style=style(), data=written, script=script())
    files.write_file(path, page.encode())
    return path


def _draw(data: dict, profile: Profile, device: torch.device | str | None) -> None:
    """Put each prompt's pictures into ``data``, all prompts of a step count in one go."""
    pipe = load_pipeline(profile, device)
    for steps in data["steps"]:
        drawn = generate(pipe, [entry["prompt"] for entry in data["prompts"]], steps, profile=profile)
        for entry, image in zip(data["prompts"], drawn, strict=True):
            entry["pictures"][steps] = data_uri(image)
