"""``bfkit reproduce --profile sd2``, every lesson, on tiny random weights that lie where the published ones would.

Lessons run in kernels of their own, which look the profile up by name: IPython's startup folder, which each of them
runs first, puts the tiny one in its place.
"""

import json
import re
from dataclasses import replace
from pathlib import Path

import families
import pytest

from bfkit import cli, paper
from bfkit.mini.world import captioned_scenes
from bfkit.models.perceptual import PerceptualEmbedder, save_embedder
from bfkit.profiles import PROFILES, Profile

INCEPTION_CLASSES = 1008  # of the classifier that sd2 is measured with
STARTUP = """
from bfkit import profiles
from bfkit.profiles import *
profiles.PROFILES["sd2"] = {profile!r}
"""


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Profile:
    """sd2 with its step counts and no file of its own, as published; its models tiny, its prompts few."""
    folder = tmp_path_factory.mktemp("sd2")
    save_embedder(PerceptualEmbedder(embed_dim=INCEPTION_CLASSES), folder / "classifier")
    (folder / "captions.txt").write_text("\n".join(captioned_scenes(120, seed=5)))
    settings = replace(PROFILES["sd2"].predictor, hidden=16, mlp=16, epochs=dict.fromkeys(paper.METRICS, 2))
    return replace(
        families.save_tiny("sd2", folder / "pipeline"),
        classifier=str(folder / "classifier"),
        captions=str(folder / "captions.txt"),
        predictor=settings,
        i_clip="image",  # captions take most of the time, and other tests have them
        seeds=(0, 1),
        prompts=24,
        batch=32,
    )


@pytest.fixture(scope="module")
def report(tiny, tmp_path_factory) -> Path:
    """Everything by the commands, in the order in which somebody with a GPU would give them."""
    out = tmp_path_factory.mktemp("out")
    (out / "ipython" / "profile_default" / "startup").mkdir(parents=True)
    (out / "ipython" / "profile_default" / "startup" / "00.py").write_text(STARTUP.format(profile=tiny))
    own = ("--profile", "sd2")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PROFILES, "sd2", tiny)
        patch.setenv("IPYTHONDIR", str(out / "ipython"))
        run("dataset", *own, "--out", out / "scores")
        run("train", *own, "--scores", out / "scores", "--out", out / "advisor")
        given = ("--scores", out / "scores", "--advisor", out / "advisor")
        run("compare", *own, *given, "--seeds", 2, "--out", out / "compared", "--table", out / "systems.parquet")
        cli.main([str(part) for part in ("reproduce", *own, *given, "--systems", out / "systems.parquet",
                                         "--out", out / "reports", "-p", "pictures=6", "-p", "timed=1")])  # fmt: skip
    return out / "reports"


def run(*arguments: object) -> None:
    assert cli.main([str(argument) for argument in arguments]) == 0


@pytest.mark.slow
def test_every_lesson_runs(report):
    runs = json.loads((report / "manifest.json").read_text())["runs"]
    failed = {name: noted["failure"] for name, noted in runs.items() if noted["failure"]}
    assert failed == {}


@pytest.mark.slow
def test_nothing_that_it_reports_speaks_of_the_miniature(report):
    """A lesson's text may, where it explains; a caption, a table or the page's own words are about sd2."""
    noted = json.loads((report / "manifest.json").read_text())
    captions = [artifact["caption"] for artifact in noted["artifacts"]]
    tables = [path.read_text() for path in (report / "tables").glob("*.md")]
    page = re.sub(r"<[^>]+>", " ", (report / "index.html").read_text())
    spoken = [text[max(0, hit.start() - 80) : hit.end() + 40] for text in (*captions, *tables, page)
              for hit in re.finditer("miniature", text, re.IGNORECASE)]  # fmt: skip
    assert spoken == []
