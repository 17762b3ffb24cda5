"""What the repository ships: trained weights, the score table, the predictor."""

import json
from pathlib import Path

import polars as pl
import pytest
import torch

from bfkit import paper
from bfkit.dataset.prompts import nearest_similarity
from bfkit.dataset.shards import configuration
from bfkit.dataset.table import read_metadata, read_scores, split_by_prompt
from bfkit.evaluation import compare, compare_pictures, prediction
from bfkit.metrics.inception import load_classifier
from bfkit.metrics.scorer import load_scorer
from bfkit.mini import world
from bfkit.models.clip import retrieval
from bfkit.models.pipelines import load_pipeline
from bfkit.predictor.advisor import StepAdvisor
from bfkit.profiles import PROFILES
from bfkit.sampling.conditioning import embed
from bfkit.sampling.generate import sample
from bfkit.sampling.systems import SYSTEMS, count_cost

MINI = PROFILES["mini"]
WEIGHTS = Path(MINI.pipeline).parent


@pytest.fixture(scope="module")
def mini_pipe():
    return load_pipeline(MINI)


@pytest.fixture(scope="module")
def table() -> pl.DataFrame:
    return read_scores(MINI.scores)


@pytest.fixture(scope="module")
def mini_scorer():
    return load_scorer(MINI)


def test_the_weights_are_safetensors_alone_and_at_most_40_megabytes():
    files = [path for path in WEIGHTS.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} <= {".safetensors", ".json", ".md", ".txt"}
    assert sum(path.stat().st_size for path in files) <= 40e6


def test_each_model_has_a_card_that_says_how_it_was_made():
    for name in ("pipeline", "clip", "perceptual"):
        card = (WEIGHTS / name / "README.md").read_text()
        for row in ("data", "training", "last losses", "hardware", "hours", "command"):
            assert f"| {row} |" in card, f"{name}'s card lacks {row}"


def test_the_table_is_complete_and_its_prompts_are_dissimilar(table, mini_scorer):
    texts = table["prompt"].unique(maintain_order=True).to_list()
    assert len(texts) >= 600
    assert len(table) == len(texts) * paper.SEEDS * len(paper.STEP_COUNTS)
    assert table.group_by("prompt_id").len()["len"].unique().to_list() == [paper.SEEDS * len(paper.STEP_COUNTS)]
    assert nearest_similarity(mini_scorer.clip.embed_texts(texts)).max() < paper.DISSIMILARITY
    assert (table["evals"] == table["steps"]).all()


def test_the_table_carries_the_configuration_that_made_it():
    noted = read_metadata(Path(MINI.scores))["configuration"]
    assert noted == configuration(MINI)


@pytest.mark.slow
@pytest.mark.parametrize(("system", "share"), [("OURS", None), ("DeepCache", None), ("UNIFORM + ToMe", 0.5)])
def test_rows_of_the_comparison_come_out_again(system, share, mini_scorer, mini_pipe):
    shipped = pl.read_parquet(MINI.systems).filter(pl.col("share").eq_missing(share), system=system, seed=1)
    shipped = shipped.sort("prompt_id").head(3)
    sampler = SYSTEMS.get(system.removeprefix("UNIFORM + "))
    steps = dict(shipped.select("prompt", "steps").iter_rows())
    reference = 0 if sampler is None or share else shipped["reference_steps"][0]
    plan = compare.Entry(system, steps, reference, count_cost(mini_pipe, MINI, sampler), sampler, share)
    lab = compare_pictures.Lab(mini_pipe, mini_scorer, load_classifier(MINI), None, MINI)
    pairs = shipped.select("prompt_id", "prompt", "seed").rows()
    again = compare_pictures.measure(lab, plan, pairs, compare_pictures.plain_targets(lab, pairs))
    for name in ("l_snr", "d_sim", "d_sim_plain"):
        torch.testing.assert_close(again[name].to_torch(), shipped[name].to_torch(), rtol=0.05, atol=0.005)
    assert again["tflops"].to_list() == pytest.approx(shipped["tflops"].to_list())
    assert again.select("steps", "reference_steps", "evals").equals(shipped.select("steps", "reference_steps", "evals"))


def test_rows_of_the_table_come_out_again(table, mini_scorer, mini_pipe):
    pipe = mini_pipe
    chosen = table.filter(pl.col("prompt_id").is_in([0, 1, 300]), pl.col("seed") == 2).sort("prompt_id", "steps")
    texts = chosen["prompt"].unique(maintain_order=True).to_list()
    conditions = embed(pipe, MINI, texts, [2] * len(texts))
    target = mini_scorer.features(sample(pipe, MINI, conditions, paper.TARGET_STEPS))
    for steps in (1, 3, 17):
        again = mini_scorer.score(sample(pipe, MINI, conditions, steps), target)
        shipped = chosen.filter(steps=steps)
        for name in ("l_snr", "d_sim"):
            torch.testing.assert_close(again[name], shipped[name].to_torch(), rtol=0.02, atol=0.005)
        # a caption is a chain of choices: one that hangs by a hair may tip on another processor
        same = (again["i_clip"] - shipped["i_clip"].to_torch()).abs() < 0.01
        assert same.float().mean() >= 2 / 3


def test_clip_finds_the_right_caption_of_held_out_scenes(mini_scorer):
    scenes = world.sample_scenes(256, seed=12)
    pictures = mini_scorer.clip.embed_images(world.draw(scenes))
    texts = mini_scorer.clip.embed_texts([scene.caption for scene in scenes])
    assert retrieval(pictures, texts, among=32) >= 0.95


def test_the_shipped_predictor_never_saw_the_held_out_prompts_and_its_error_is_what_it_says(table):
    advisor = StepAdvisor.from_pretrained("mini")
    training, held_out = split_by_prompt(table)
    noted = json.loads((Path(MINI.advisor) / "config.json").read_text())
    assert noted["training_prompts"] == training["prompt"].n_unique()
    errors = prediction.prediction_errors(advisor.predictors, advisor.clip, training, held_out).filter(model="BiLSTM")
    for name, error in errors.select("metric", "error").iter_rows():
        assert error == pytest.approx(noted["held_out_mae"][name], abs=2e-3)
    assert not set(held_out["prompt"]) & set(training["prompt"])
