"""The whole training at its smallest: what it writes, and that running it again changes nothing."""

from dataclasses import fields, replace

import pytest
import torch

from bfkit.metrics.scorer import load_scorer
from bfkit.mini import train
from bfkit.mini.trainer import Stage
from bfkit.models.pipelines import load_pipeline
from bfkit.profiles import PROFILES
from bfkit.sampling.generate import generate


@pytest.mark.slow
def test_training_writes_models_that_load_and_resumes_to_the_same_weights(tmp_path):
    stages = {f.name: Stage(steps=2, batch=4, rate=1e-3) for f in fields(train.Settings) if f.type is Stage}
    settings = replace(train.Settings(), scenes=500, compiled=False, **stages)  # compiling takes minutes
    out, work = tmp_path / "weights", tmp_path / "work"
    run = train.Run(settings, work, out, torch.device("cpu"))
    train.train(run)
    first = {path.relative_to(out): path.read_bytes() for path in out.rglob("*.safetensors")}
    assert len(first) == 7  # vae, text encoder, unet, clip, embedder, classifier, judge
    for name in ("pipeline", "clip", "perceptual", "classifier", "judge"):
        assert "| hours |" in (out / name / "README.md").read_text()
    train.train(run)
    assert {path.relative_to(out): path.read_bytes() for path in out.rglob("*.safetensors")} == first

    # from the written weights alone, without a checkpoint, the painter goes on
    onward = replace(run, work=tmp_path / "onward", out=tmp_path / "later", start=out)
    train.train(onward, "diffusion")
    train.train(onward, "pipeline")
    later = {path.relative_to(onward.out): path.read_bytes() for path in onward.out.rglob("*.safetensors")}
    assert len(later) == 3
    unet = next(path for path in later if "unet" in str(path))
    assert {path for path in later if later[path] != first[path]} == {unet}

    folders = {"pipeline": out / "pipeline", "clip": out / "clip", "perceptual": out / "perceptual"}
    profile = replace(PROFILES["mini"], **{name: str(folder) for name, folder in folders.items()})
    picture = generate(load_pipeline(profile), ["a red circle on a white wall"], 2, profile=profile)
    scores = load_scorer(profile).score(picture, load_scorer(profile).features(picture))
    assert scores["d_sim"].item() == pytest.approx(0, abs=1e-5)
