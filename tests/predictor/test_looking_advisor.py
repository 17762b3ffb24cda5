"""The whole way of a look: kept in a data set, learnt from, and used to draw each picture in its own steps."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from PIL import Image

from bfkit import cli
from bfkit.dataset.build import build_dataset
from bfkit.dataset.table import read_scores, write_table
from bfkit.models.pipelines import load_pipeline
from bfkit.predictor.advisor import StepAdvisor
from bfkit.predictor.choice import choose
from bfkit.predictor.training import train_advisor
from bfkit.profiles import PROFILES, PredictorSettings, Profile
from bfkit.sampling.conditioning import embed
from bfkit.sampling.counting import counting
from bfkit.sampling.generate import generate
from bfkit.sampling.looked import look_at_all
from bfkit.sampling.pixels import to_bytes

PROMPTS = [f"{number} {colour} circles" for number in ("two", "three", "four") for colour in ("red", "blue", "green")]
SEEDS = [5, 6, 7]


@pytest.fixture(scope="module")
def profile(random_profile, tmp_path_factory) -> Profile:
    folder, few = tmp_path_factory.mktemp("looks"), dict.fromkeys(("l_snr", "d_sim", "i_clip"), 2)
    settings = PredictorSettings(layers=1, hidden=8, mlp=16, batch=4, epochs=few, grid=tuple(range(1, 10)))
    profile = replace(random_profile, name="own", step_counts=(1, 2, 4, 9), predictor=settings, batch=8)
    build_dataset(profile, PROMPTS, folder)
    return replace(profile, scores=str(folder))


@pytest.fixture(scope="module")
def advisor(profile, tmp_path_factory) -> StepAdvisor:
    folder = tmp_path_factory.mktemp("advisor")
    notes = train_advisor(profile, folder)
    assert -1 < notes["told_by_the_look"] < 1
    return StepAdvisor.from_pretrained(folder)


@pytest.fixture(scope="module")
def decided(advisor) -> StepAdvisor:
    """The same, with an opinion: random weights tell of no picture that it will take longer."""
    assert advisor.picture_predictor is not None
    weight = np.random.default_rng(0).normal(size=(len(advisor.picture_predictor.mean), 1))
    pictures = replace(advisor.picture_predictor, weight=np.repeat(3 * weight / len(weight) ** 0.5, 3, axis=1))
    return replace(advisor, picture_predictor=pictures)


@pytest.mark.parametrize("batch", [1, 2, 16])
def test_each_picture_is_the_one_of_its_own_steps_and_takes_no_evaluation_more(decided, profile, batch):
    pipe = load_pipeline(profile)
    asked = {"rule": "price", "mean_steps": 4}
    with counting(pipe, profile) as count:
        drawn = decided.generate(pipe, PROMPTS[:3], seeds=SEEDS, batch=batch, look=profile, **asked)
    read = decided.picture_predictor
    looked = look_at_all(pipe, profile, embed(pipe, profile, PROMPTS[:3], SEEDS), batch)
    curves = read(decided.clip.embed_texts(PROMPTS[:3]).numpy(), looked.features.half().float().numpy())
    steps = choose("price", None, 4, decided.weights, read.typical_curves).steps(curves)
    assert len(set(steps)) > 1, "the case is worth something"
    ordinary = to_bytes(generate(pipe, PROMPTS[:3], steps.tolist(), profile=profile, seeds=SEEDS, batch=1))
    for picture, expected in zip(drawn, ordinary, strict=True):
        assert np.abs(np.asarray(picture).astype(int) - expected).max() <= (0 if batch == 1 else 1)
    if batch == 1:
        assert count.made == steps.sum()


def test_what_a_look_cannot_do_is_one_sentence(advisor, profile):
    pipe = load_pipeline(profile)
    with pytest.raises(ValueError, match="the advisor was trained for own: give that profile for look"):
        advisor.generate(pipe, PROMPTS[0], look=True)
    with pytest.raises(ValueError, match="pictures are drawn as the profile says: leave out guidance_scale"):
        advisor.generate(pipe, PROMPTS[0], look=profile, guidance_scale=2.0)
    with pytest.raises(ValueError, match="this advisor cannot read looks: its score table keeps none"):
        replace(advisor, picture_predictor=None).generate(pipe, PROMPTS[0], look=profile)
    with pytest.raises(ValueError, match="it is another pipeline's, or guidance is on in one place alone"):
        advisor.generate(pipe, PROMPTS[0], look=replace(profile, guidance=1.0))


def test_an_advisor_trained_again_without_looks_reads_none(profile, tmp_path):
    train_advisor(profile, tmp_path)
    assert (tmp_path / "look.safetensors").is_file()
    write_table(read_scores(profile.scores), tmp_path / "scores.parquet", {})
    train_advisor(replace(profile, scores=str(tmp_path / "scores.parquet")), tmp_path)
    assert StepAdvisor.from_pretrained(tmp_path).picture_predictor is None


def test_the_command_line_draws_what_the_library_draws_and_goes_on_where_it_was(
    decided, profile, tmp_path, capsys, monkeypatch
):
    monkeypatch.setitem(PROFILES, "own", profile)
    monkeypatch.setattr(StepAdvisor, "from_pretrained", lambda *_: decided)
    asked = ["draw", "--profile", "own", *PROMPTS[:2], "--seeds", "2", "--seed", "5", "--rule", "price",
             "--mean-steps", "4", "--look", "--out", str(tmp_path)]  # fmt: skip
    assert cli.main(asked) == 0
    table = pl.read_csv(tmp_path / "pictures.csv")
    pipe, texts, seeds = load_pipeline(profile), table["prompt"].to_list(), table["seed"].to_list()
    _, steps = decided.look(pipe, profile, texts, seeds, rule="price", mean_steps=4)
    assert table["steps"].to_list() == steps and len(set(steps)) > 1
    drawn = decided.generate(pipe, texts, seeds=seeds, look=profile, rule="price", mean_steps=4)
    for file, expected in zip(table["file"], drawn, strict=True):
        with Image.open(tmp_path / file) as picture:
            assert np.abs(np.asarray(picture).astype(int) - np.asarray(expected)).max() <= 1
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    (tmp_path / table["file"][2]).unlink()
    capsys.readouterr()
    assert cli.main(asked) == 0 and "1 of them drawn now" in capsys.readouterr().out
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
    monkeypatch.setattr(StepAdvisor, "from_pretrained", lambda *_: replace(decided, picture_predictor=None))
    assert cli.main(asked) == 2 and "this advisor cannot read looks" in capsys.readouterr().err
