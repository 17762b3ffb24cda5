"""``bfkit draw``: every picture in its prompt's steps, in a file that says what it is, drawn once."""

from dataclasses import replace

import families
import numpy as np
import polars as pl
import pytest
import torch
from PIL import Image

from bfkit import cli
from bfkit.models.pipelines import load_pipeline
from bfkit.predictor.advisor import StepAdvisor
from bfkit.profiles import PROFILES
from bfkit.sampling.album import read_noted
from bfkit.sampling.generate import generate
from bfkit.sampling.pixels import to_bytes

PROMPTS = ["a white and empty wall", "two red circles on a beach"]


@pytest.fixture(autouse=True)
def profile(random_profile, monkeypatch):
    """The miniature's advisor and words, an untrained painter."""
    small = replace(random_profile, name="mini", clip=PROFILES["mini"].clip, advisor=PROFILES["mini"].advisor)
    monkeypatch.setitem(PROFILES, "mini", small)
    return small


def run(*arguments: object) -> int:
    return cli.main(["draw", *(str(argument) for argument in arguments)])


def pixels(path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.array(picture)


def test_each_prompt_is_drawn_in_its_own_steps_from_its_own_seeds(profile, tmp_path, capsys):
    assert run(*PROMPTS, "--seeds", 2, "--seed", 5, "--out", tmp_path) == 0
    table = pl.read_csv(tmp_path / "pictures.csv")
    chosen = StepAdvisor.from_pretrained(profile.advisor).steps(PROMPTS)["steps"].to_list()
    assert table.select("prompt", "seed", "steps").rows() == [
        (prompt, seed, steps) for prompt, steps in zip(PROMPTS, chosen, strict=True) for seed in (5, 6)
    ]
    pipe = load_pipeline(profile)
    for row in table.iter_rows(named=True):
        (alone,) = generate(pipe, [row["prompt"]], row["steps"], profile=profile, seeds=[row["seed"]])
        drawn = pixels(tmp_path / row["file"]).astype(int)
        assert np.abs(drawn - to_bytes(alone)).max() <= 1, "the same but for rounding"
        noted = read_noted(tmp_path / row["file"])
        assert (noted["prompt"], noted["seed"], noted["steps"]) == (row["prompt"], row["seed"], row["steps"])
        assert noted["image_size"] == profile.image_size
    said = capsys.readouterr().out
    assert f"4 pictures in {tmp_path}: {2 * sum(chosen)} steps in all, where 65 for each would be 260" in said
    assert pixels(tmp_path / "sheet.png").shape[0] > 200


@pytest.mark.parametrize("option", [("--rule", "price"), ("--mean-steps", 9), ("--tolerance", 0), ("--look",)])
def test_the_same_steps_for_all_go_with_no_rule(option, tmp_path, capsys):
    assert run(*PROMPTS, "--steps", 3, *option, "--out", tmp_path / "new") == 2
    assert f"--steps is the same for all, and no rule is asked: leave out {option[0]}" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_what_is_there_is_not_drawn_again_and_another_picture_is_not_overwritten(tmp_path, capsys, monkeypatch):
    assert run(*PROMPTS, "--steps", 2, "--out", tmp_path) == 0
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    (tmp_path / pl.read_csv(tmp_path / "pictures.csv")["file"][1]).unlink()
    capsys.readouterr()
    assert run(*PROMPTS, "--steps", 2, "--out", tmp_path) == 0
    assert "1 of them drawn now" in capsys.readouterr().out
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert run(*PROMPTS, "--steps", 2, "--guidance", 1.5, "--out", tmp_path) == 2
    assert "is another picture, of other words or models: choose another folder" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_prompt_that_cannot_be_read_refuses_only_itself(tmp_path, capsys):
    file = tmp_path / "prompts.txt"
    file.write_text(f"{PROMPTS[1]}\n\nxyzzy\n", encoding="utf-8")
    assert run(PROMPTS[0], "--file", file, "--out", tmp_path / "out") == 2
    assert "no word of 'xyzzy' is known" in capsys.readouterr().err
    assert pl.read_csv(tmp_path / "out" / "pictures.csv")["prompt"].to_list() == PROMPTS


def test_a_broken_picture_is_named_and_the_others_are_written(profile, tmp_path, capsys, monkeypatch):
    def fails(_, inputs, output):
        output[0][0] = torch.nan
        return output

    def loaded(*asked):
        pipe = load_pipeline(*asked)
        pipe.unet.conv_out.register_forward_hook(fails)
        return pipe

    monkeypatch.setattr("bfkit.models.pipelines.load_pipeline", loaded)
    assert run(*PROMPTS, "--steps", 2, "--out", tmp_path) == 2
    assert "have values that are no numbers, drawn in float32 too (000-" in capsys.readouterr().err
    assert [path.name[:3] for path in tmp_path.glob("*.png")] == ["001"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "no prompts: give at least one text"),
        (["a wall", " ", "--steps", 2], "prompt 1 is empty: describe a picture in words"),
        (["a wall", "--steps", 0], "a step count must be a whole number from 1 to 1000; got 0"),
        (["a wall", "--seeds", 0], "--seeds must be at least 1"),
        (["a wall", "--seeds", 2**62], "--seeds must be at most 10000; got 4611686018427387904"),
        (["a wall", "--profile", "sd2"], "sd2 has no advisor of its own"),
        (["a wall", "--steps", 1, "--pipeline", "/no/model"], "no pipeline in /no/model"),
        (["a wall", "--file", "/no/prompts.txt"], "/no/prompts.txt cannot be used"),
    ],
)
def test_bad_input_is_one_sentence(tmp_path, capsys, arguments, words):
    assert run(*arguments, "--out", tmp_path / "out") == 2
    assert words in capsys.readouterr().err
    assert not list(tmp_path.glob("out/*.png"))


def test_the_advisor_of_one_model_is_not_asked_for_another(tmp_path, capsys):
    families.save_tiny("sd15", tmp_path / "tiny")
    assert run("a red circle", "--pipeline", tmp_path / "tiny", "--out", tmp_path / "out") == 2
    assert "tiny has no advisor of its own: name the folder of one with --advisor" in capsys.readouterr().err
    asked = ("--pipeline", tmp_path / "tiny", "--advisor", PROFILES["mini"].advisor)
    assert run("a red circle", *asked, "--out", tmp_path / "out") == 0


def test_any_family_draws_with_steps_given(tmp_path, monkeypatch):
    tiny = families.save_tiny("flux", tmp_path / "pipeline")
    monkeypatch.setitem(PROFILES, "flux", tiny)
    assert run("a red circle", "--profile", "flux", "--steps", 3, "--out", tmp_path / "out") == 0
    assert pixels(next((tmp_path / "out").glob("000*.png"))).shape == (families.SIZE, families.SIZE, 3)
