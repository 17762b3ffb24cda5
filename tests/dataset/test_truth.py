"""Whether a picture shows what was asked lies in the score table, and a judge tells drawn pictures right from wrong."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch
from polars.testing import assert_frame_equal

from bfkit.dataset.captions import mini_captions
from bfkit.dataset.measure import measure_prompts
from bfkit.dataset.table import ORDER, read_beside, read_scores, write_table
from bfkit.dataset.truth import SCHEMA, load_checker, long_verdicts
from bfkit.mini import world
from bfkit.mini.judge import VERDICTS
from bfkit.models.pipelines import load_pipeline
from bfkit.profiles import PROFILES

CAPTIONS = list(mini_captions(60))


@pytest.fixture(scope="module")
def checker():
    found = load_checker(PROFILES["mini"], "cpu")
    assert found is not None
    return found


def test_drawn_pictures_are_found_right_and_those_of_other_captions_wrong(checker):
    drawn = world.draw([mini_captions()[caption] for caption in CAPTIONS])

    def share_right(told: list) -> float:
        return float(np.mean([right for row in told for right in row if right is not None]))

    assert share_right(checker(drawn, CAPTIONS)) > 0.95
    assert share_right(checker(drawn, CAPTIONS[1:] + CAPTIONS[:1])) < 0.5


def test_of_a_prompt_of_ones_own_the_judge_says_nothing(checker):
    told = checker(torch.zeros(2, 3, 64, 64), ["a horse that reads a newspaper", CAPTIONS[0]])
    assert told[0] is None and len(told[1]) == len(VERDICTS)
    assert load_checker(replace(PROFILES["mini"], judge=""), "cpu") is None
    with pytest.raises(FileNotFoundError, match=r"no judge in nowhere: config\.json is missing"):
        load_checker(replace(PROFILES["mini"], judge="nowhere"), "cpu")


def test_the_truth_of_measured_pictures_is_read_as_it_was_told(random_profile, scorer, checker, tmp_path):
    pipe, prompts = load_pipeline(random_profile), CAPTIONS[:3]
    rows, _ = measure_prompts(pipe, scorer, random_profile, prompts, 0, 1.0, tmp_path / "kept", checker)
    plain, _ = measure_prompts(pipe, scorer, random_profile, prompts, 0, 1.0)
    assert plain["verdicts"].is_null().all() and plain["clip_score"].equals(rows["clip_score"])

    write_table(rows, tmp_path / "table.parquet", {})
    assert_frame_equal(read_beside(tmp_path / "table.parquet", SCHEMA), rows.select(*ORDER, *SCHEMA))
    assert set(SCHEMA).isdisjoint(read_scores(tmp_path / "table.parquet").columns)

    long = long_verdicts(rows)
    assert long.schema["right"] == pl.Boolean and set(long["verdict"]) <= set(VERDICTS)
    assert long.height == rows["verdicts"].explode().drop_nulls().len()
    grounds = rows["verdicts"].list.get(VERDICTS.index("ground"))
    assert long.filter(verdict="ground")["right"].equals(grounds, check_names=False)


def test_the_clip_score_is_the_cosine_of_picture_and_prompt_whichever_reading_i_clip_has(random_profile, scorer):
    images = world.draw(list(mini_captions(4).values()))
    clip = scorer.clip
    expected = torch.nn.functional.cosine_similarity(clip.embed_images(images), clip.embed_texts(CAPTIONS[:4]))
    for reading in ("caption", "image"):
        own = replace(scorer, i_clip=reading)
        found = own.clip_score(own.features(images), CAPTIONS[:4])
        torch.testing.assert_close(found, expected.clamp(min=0), atol=1e-6, rtol=1e-5)
