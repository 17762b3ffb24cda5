"""The whole way of somebody with a GPU, to the last lesson: a profile like sd2's, its models in the real layout, tiny.

Weights are random: nothing that is drawn or learnt means anything, but every lesson has to run on it.
"""

import json
import os
import re
from pathlib import Path

import families
import pytest

from bfkit import cli, paper
from bfkit.mini.world import captioned_scenes
from bfkit.models.perceptual import PerceptualEmbedder, save_embedder

INCEPTION_CLASSES = 1008  # of the classifier that sd2 is measured with
# captions of pictures take most of the time, and other tests have them
SETTINGS = """
like = "{like}"
pipeline = "pipeline"
clip = "{clip}"
perceptual = "{perceptual}"
classifier = "classifier"
captions = "{captions}"
image_size = {size}
dtype = "float32"
i_clip = "image"
seeds = [0, 1]
prompts = 20
[predictor]
hidden = 16
mlp = 16
epochs = {epochs}
"""


# a UNet, a transformer on a flow, two pipelines in one; the others, minutes each: REPRODUCE_FAMILIES="sdxl pixart"
FAMILIES = os.environ.get("REPRODUCE_FAMILIES", "sd2 sd3 kandinsky").split()


@pytest.fixture(scope="module", params=FAMILIES)
def report(request, tmp_path_factory) -> Path:
    """Everything by the commands, in the order in which one would give them."""
    folder = tmp_path_factory.mktemp(f"like-{request.param}")
    tiny, captions = families.save_tiny(request.param, folder / "pipeline"), folder / "captions.txt"
    save_embedder(PerceptualEmbedder(embed_dim=INCEPTION_CLASSES), folder / "classifier")
    captions.write_text("\n".join(captioned_scenes(120, seed=5)))
    epochs = ", ".join(f"{name} = 2" for name in paper.METRICS)
    settings = SETTINGS.format(
        like=request.param,
        clip=tiny.clip,
        perceptual=tiny.perceptual,
        captions=captions,
        size=tiny.image_size,
        epochs=f"{{ {epochs} }}",
    )
    (folder / "tiny.toml").write_text(settings)
    scores, advisor, systems = folder / "scores", folder / "advisor", folder / "systems.parquet"
    run("dataset", folder, "--out", scores)
    run("train", folder, "--scores", scores, "--out", advisor)
    given = ("--scores", scores, "--advisor", advisor)
    run("compare", folder, *given, "--systems", "UniPC", "DeepCache", "--out", folder / "compared", "--table", systems)
    run("reproduce", folder, *given, "--systems", systems, "--out", folder / "reports", "-p", "pictures=32",
        "-p", "timed=1", code=None)  # fmt: skip
    return folder / "reports"


def run(command: str, folder: Path, *arguments: object, code: int | None = 0) -> None:
    asked = (command, "--profile", folder / "tiny.toml", *arguments)
    assert cli.main([str(part) for part in asked]) == code or code is None


@pytest.mark.slow
def test_every_lesson_runs(report):
    runs = json.loads((report / "manifest.json").read_text(encoding="utf-8"))["runs"]
    assert {name: noted["failure"] for name, noted in runs.items() if noted["failure"]} == {}


@pytest.mark.slow
def test_nothing_that_it_reports_speaks_of_the_miniature(report):
    """A lesson's text may, where it explains; captions, tables and the page's own words are about another profile."""
    noted = json.loads((report / "manifest.json").read_text(encoding="utf-8"))
    texts = [artifact["caption"] for artifact in noted["artifacts"]]
    texts += [path.read_text(encoding="utf-8") for path in (report / "tables").glob("*.md")]
    texts.append(re.sub(r"<[^>]+>", " ", (report / "index.html").read_text(encoding="utf-8")))
    spoken = [text[max(0, hit.start() - 80) : hit.end() + 40] for text in texts
              for hit in re.finditer("miniature", text, re.IGNORECASE)]  # fmt: skip
    assert spoken == []
