"""What is known is worth what it tells; the looks are the pictures' own evaluations."""

import numpy as np
import polars as pl
import pytest
import torch

from bfkit.evaluation import knowing
from bfkit.models.pipelines import load_pipeline
from bfkit.sampling.conditioning import embed
from bfkit.sampling.counting import counting
from bfkit.sampling.generate import denoise
from bfkit.sampling.looked import look_at

STEPS = (1, 2, 3, 5, 9, 17, 33, 65, 129)
PROMPTS, SEEDS = 100, 4


@pytest.fixture(scope="module")
def planted() -> tuple[pl.DataFrame, dict[str, np.ndarray]]:
    """Log losses a_i - 1.5 log n: of the variance of a_i, 1, the first look tells .4, the second .4 more."""
    lot = np.random.default_rng(0)
    count = PROMPTS * SEEDS
    first, later, luck = lot.normal(size=(3, count))
    levels = 0.4**0.5 * first + 0.4**0.5 * later + 0.2**0.5 * luck
    losses = 0.05 * np.exp(levels[:, None] - 1.5 * np.log(STEPS))
    losses[:, -1] = 0
    table = pl.DataFrame({
        "prompt_id": np.repeat(np.arange(PROMPTS), SEEDS * len(STEPS)),
        "prompt": np.repeat([f"prompt {n:03d}" for n in range(PROMPTS)], SEEDS * len(STEPS)),
        "seed": np.tile(np.repeat(np.arange(SEEDS), len(STEPS)), PROMPTS),
        "steps": np.tile(STEPS, count),
        "d_sim": losses.ravel(),
    })  # fmt: skip
    texts = np.repeat(lot.normal(size=(PROMPTS, 3)), SEEDS, axis=0)
    known = {knowing.PROMPT: texts, knowing.NOISE: lot.normal(size=(count, 5)), knowing.FIRST: first[:, None],
             knowing.SECOND: later[:, None]}  # fmt: skip
    return table, known


def test_what_is_told_is_what_was_planted_and_saves_what_the_power_law_says(planted):
    table, known = planted
    assert len(knowing.pictures_of(table)) == PROMPTS * SEEDS
    found = knowing.who_knows(table, known, (17,))
    at = {row["knows"]: row for row in found.iter_rows(named=True)}
    assert at["prompt and first look"]["told"] == pytest.approx(0.4, abs=0.1)
    assert at["and a second look"]["told"] == pytest.approx(0.8, abs=0.1)
    for name in ("the prompt", "the noise"):
        assert abs(at[name]["told"]) < 0.1 and abs(at[name]["saved"]) < 0.05
    # 1 - exp(-(s^2 / 2) b / (1 + b)) of what is told
    assert at["prompt and first look"]["saved"] == pytest.approx(1 - np.exp(-0.2 * 0.6), abs=0.06)
    assert at["and a second look"]["saved"] > at["prompt and first look"]["saved"]
    assert at[knowing.HINDSIGHT]["saved"] == pytest.approx(1 - np.exp(-0.5 * 0.6), abs=0.08)
    assert at[knowing.HINDSIGHT]["of_the_way"] == 1
    assert at["prompt and first look"]["dealt"] < 0 < at["prompt and first look"]["saved"], "spread alone costs"
    assert "in hindsight" in knowing.knowing_finding(found, 17)


def test_the_title_says_who_saves_the_most_how_surely_or_that_nobody_does():
    rows = [{"budget": 17.0, "knows": name, "saved": saved, "low": saved - 0.02, "high": saved + 0.02}
            for name, saved in zip(knowing.KNOW, (0.05, 0.01, 0.06, 0.12, 0.03), strict=True)]  # fmt: skip
    found = pl.DataFrame(rows)
    assert knowing.knowing_title(found, 17) == "At 17 evaluations prompt and first look saves 12%, words alone 5%"
    twice = found.with_columns(pl.when(knows="and a second look").then(0.3).otherwise("saved").alias("saved"))
    assert knowing.knowing_title(twice, 17).startswith("At 17 evaluations a second look saves 30%")
    near = found.with_columns(high=pl.col("saved") + 0.06)
    assert knowing.knowing_title(near, 17).endswith("words alone 5%; that it is more may be luck")
    words_first = found.filter(~pl.col("knows").is_in(["prompt and first look", "prompt and noise"]))
    assert knowing.knowing_title(words_first, 17).endswith("nothing surely saves more than the words, 5%")
    wordless = found.with_columns(low=pl.when(knows="the prompt").then(-0.1).otherwise("low"))
    assert knowing.knowing_title(wordless, 17).endswith("words alone nothing sure")
    unsure = found.with_columns(low=pl.col("saved") - 0.2)
    assert knowing.knowing_title(unsure, 17) == "At 17 evaluations nothing that can be known surely saves anything"


def test_looks_are_those_of_the_pictures_own_evaluations(random_profile):
    pipe = load_pipeline(random_profile)
    pictures = pl.DataFrame({"prompt": ["a red circle", "a red circle", "two blue squares"], "seed": [3, 4, 3]})
    with counting(pipe, random_profile) as count:
        found = knowing.look_at_pictures(pipe, random_profile, pictures, batch=2)
    assert count.made == 2 * knowing.COARSE, "two batches"
    conditioning = embed(pipe, random_profile, pictures["prompt"].to_list(), pictures["seed"].to_list())
    first = look_at(pipe, random_profile, conditioning).features
    torch.testing.assert_close(torch.tensor(found[knowing.FIRST]), first, atol=1e-4, rtol=1e-4)
    noise = found[knowing.NOISE]
    assert not np.allclose(noise[0], noise[1]) and np.allclose(noise[0], noise[2], atol=1e-5), "the seed's alone"
    drawn = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(3))
    expected = torch.nn.functional.adaptive_avg_pool2d(drawn, 4).flatten()
    assert np.corrcoef(noise[0], expected)[0, 1] > 0.999
    assert denoise(pipe, random_profile, conditioning, 1, "latent") is not None, "the denoiser is its own again"
