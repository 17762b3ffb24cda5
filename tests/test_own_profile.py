"""A profile of one's own differs from the one it is like in what its file says, and says what is wrong in it."""

from dataclasses import replace
from pathlib import Path

import pytest

from bfkit.profiles import PROFILES, get_profile
from bfkit.provenance import settings_digest


def write(folder: Path, text: str, name: str = "own.toml") -> str:
    path = folder / name
    path.write_text(text)
    return str(path)


def test_it_is_the_profile_it_is_like_but_for_what_the_file_says(tmp_path):
    (tmp_path / "model").mkdir()
    path = write(
        tmp_path,
        'like = "sd2"\npipeline = "model"\nclip = "hf-hub:some/clip"\nguidance = 5\nseeds = [0, 1]\n'
        'scores = "dataset"\n'
        "[predictor]\nhidden = 64\ngrid = [1, 2, 4]\n",
    )
    sd2 = PROFILES["sd2"]
    assert get_profile(path) == replace(
        sd2,
        name="own",
        file=path,
        pipeline=str(tmp_path / "model"),
        clip="hf-hub:some/clip",
        guidance=5.0,
        seeds=(0, 1),
        scores=str(tmp_path / "dataset"),
        predictor=replace(sd2.predictor, hidden=64, grid=(1, 2, 4)),
    )
    assert get_profile(path, scores="mine.parquet").scores == "mine.parquet"
    assert get_profile(get_profile(path).source) == get_profile(path)


def test_what_other_models_gave_is_not_taken_over(tmp_path):
    own = get_profile(write(tmp_path, 'like = "mini"\nguidance = 2.0'))
    assert (own.scores, own.advisor, own.systems, own.networks) == ("", "", "", "")
    assert own.pipeline == PROFILES["mini"].pipeline


def test_a_setting_that_changes_gives_other_results(tmp_path):
    first = settings_digest(get_profile(write(tmp_path, 'like = "mini"\nguidance = 2.0')))
    (tmp_path / "elsewhere").mkdir()
    assert settings_digest(get_profile(write(tmp_path / "elsewhere", 'like = "mini"\nguidance = 2.0'))) == first
    assert settings_digest(get_profile(write(tmp_path, 'like = "mini"\nguidance = 2.5'))) != first


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("like = ", "is no TOML file"),
        ('pipeline = "x"', "does not say which profile it is like: begin with `like =` one of mini, sd2"),
        ('like = "sd9"', "does not say which profile it is like"),
        ('like = "sd2"\ncolour = "red"', "there is no setting 'colour', only name, pipeline"),
        ('like = "sd2"\nseeds = 4', r"seeds = 4 will not do, it is as in seeds = \(0, 1, 2, 3\)"),
        ('like = "sd2"\ndtype = "float8"', "dtype = 'float8' will not do, it is one of float32, float16, bfloat16"),
        ('like = "sd2"\nname = "sd15"', "the name sd15 is taken"),
        ('like = "sd2"\n[predictor]\nhiden = 4', "there is no setting 'hiden', only network"),
        ('like = "sd2"\npredictor = 4', "predictor = 4 will not do"),
        ('like = "sd2"\nfamily = "sdxl"', "there is no setting 'family'"),
    ],
)
def test_what_is_wrong_in_the_file_is_said(text, sentence, tmp_path):
    with pytest.raises(ValueError, match=sentence):
        get_profile(write(tmp_path, text))


def test_a_file_that_is_not_there_is_named():
    with pytest.raises(FileNotFoundError, match=r"no profile nowhere\.toml: name a TOML file or one of mini"):
        get_profile("nowhere.toml")
