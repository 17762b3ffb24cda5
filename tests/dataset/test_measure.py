"""A shard's rows do not depend on batches, memory or kept pictures; broken pictures are mended or left out."""

import itertools
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch
from PIL import Image
from polars.testing import assert_frame_equal

from bfkit import paper
from bfkit.dataset.measure import MEASURED, measure_prompts, picture_path
from bfkit.metrics.l_snr import LUMA
from bfkit.models.pipelines import load_pipeline
from bfkit.sampling import energy
from bfkit.sampling.conditioning import embed
from bfkit.sampling.cost import tflops_per_evaluation
from bfkit.sampling.generate import generate, sample

PROMPTS = ["a white and empty wall", "two red circles on a beach", "a crowd in a park"]


@pytest.fixture
def own_pipe(random_profile):
    """A pipeline that a test may break, and that remembers nothing of other tests' batches."""
    return load_pipeline(random_profile)


@pytest.fixture
def rows(own_pipe, scorer, random_profile):
    def measure(**changes) -> pl.DataFrame:
        return measure_prompts(own_pipe, scorer, replace(random_profile, **changes), PROMPTS, 5, tflops=2.0)[0]

    return measure


@pytest.fixture(scope="module")
def undisturbed(random_profile, scorer) -> pl.DataFrame:
    """The rows of a run that nothing befalls."""
    return measure_prompts(load_pipeline(random_profile), scorer, random_profile, PROMPTS, 5, tflops=2.0)[0]


def assert_same_rows(first: pl.DataFrame, second: pl.DataFrame, tolerance: float = 2e-4) -> None:
    assert_frame_equal(first.drop("seconds", "look"), second.drop("seconds", "look"), abs_tol=tolerance, rel_tol=0)
    assert_frame_equal(first.select("look"), second.select("look"), abs_tol=1e-3, rel_tol=2e-3)  # kept as halves


def hold_at_most(pipe, count: int) -> list[int]:
    """Let the denoiser run out of memory beyond ``count`` rows; returns the sizes that were tried, as they come."""
    tried, forward = [], pipe.unet.forward

    def limited(sample, *args, **kwargs):
        tried.append(len(sample))
        if len(sample) > count:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return forward(sample, *args, **kwargs)

    pipe.unet.forward = limited
    return tried


def test_every_prompt_seed_and_step_count_has_one_row_in_order(undisturbed, random_profile):
    table = undisturbed
    assert table.schema == MEASURED
    keys = [(5 + p, PROMPTS[p], s, t) for p in range(3) for s in random_profile.seeds for t in (1, 2, 4)]
    assert table.select("prompt_id", "prompt", "seed", "steps").rows() == keys


@pytest.mark.parametrize("batch", [1, 5])
def test_rows_do_not_depend_on_the_batch(rows, undisturbed, batch):
    assert_same_rows(rows(batch=batch), undisturbed)


def test_scores_are_those_of_pictures_drawn_one_step_count_at_a_time(undisturbed, pipe, scorer, random_profile):
    table = undisturbed.filter(prompt_id=6, seed=1)
    target = scorer.features(generate(pipe, [PROMPTS[1]], 4, profile=random_profile, seeds=[1]))
    for steps in (1, 2, 4):
        scores = scorer.score(generate(pipe, [PROMPTS[1]], steps, profile=random_profile, seeds=[1]), target)
        for name in paper.METRICS:
            assert table.filter(steps=steps)[name][0] == pytest.approx(scores[name].item(), abs=2e-4)


def test_evaluations_are_those_really_made_and_cost_what_they_cost(undisturbed):
    table = undisturbed
    made = dict(table.select("steps", "evals").unique().iter_rows())
    assert made == {4: 4, 2: 1, 1: 0}, "all step counts share the first"
    assert table["tflops"].to_list() == [2.0 * evals for evals in table["evals"]]
    assert table.filter(pl.col("steps") > 1)["seconds"].min() > 0


def test_each_picture_has_one_look_of_its_own_in_the_row_of_its_target(undisturbed):
    table = undisturbed
    assert table["look"].is_not_null().to_list() == (table["steps"] == 4).to_list()
    seen = torch.tensor(table["look"].drop_nulls().to_list())
    assert len(seen.unique(dim=0)) == len(seen) == 6, "another prompt or seed shows something else"


def test_the_joules_of_a_batch_are_shared_by_its_pictures_and_unknown_where_nothing_counts(
    rows, undisturbed, monkeypatch
):
    assert undisturbed["joules"].is_null().all(), "no NVML counts a CPU"
    ticks = itertools.count(0, 12)  # joules between one reading and the next
    monkeypatch.setattr(energy, "_nvml_counter", lambda _: lambda: float(next(ticks)))
    monkeypatch.setattr(energy, "SHORTEST_WINDOW", 0)
    table = rows(batch=4)
    assert table["joules"].to_list() == [12 / size for size in (4, 2) for _ in range(size) for _ in range(3)]


def test_a_batch_that_memory_does_not_hold_is_halved_until_it_fits(rows, own_pipe, undisturbed):
    tried = hold_at_most(own_pipe, 2)  # one picture with guidance
    assert_same_rows(rows(batch=6), undisturbed)
    assert tried[:3] == [12, 6, 2]


@pytest.mark.slow
def test_the_size_that_fits_is_remembered_for_the_next_shard(rows, own_pipe):
    tried = hold_at_most(own_pipe, 4)
    rows(batch=6)
    tried.clear()
    rows(batch=6)
    assert max(tried) <= 4


def test_when_not_even_one_picture_fits_the_way_out_is_named(rows, own_pipe):
    hold_at_most(own_pipe, 1)
    with pytest.raises(ValueError, match=r"cpu has too little memory for one picture of mini at 64 pixels"):
        rows(batch=4)


def test_another_error_of_the_denoiser_is_not_taken_for_a_lack_of_memory(rows, own_pipe):
    def broken(*args, **kwargs):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    own_pipe.unet.forward = broken
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        rows()


def break_prompt(pipe, text: torch.Tensor, steps: int) -> None:
    """Let the denoiser answer one text's rows with NaN, whenever a picture is drawn in that many steps."""
    forward = pipe.unet.forward

    def broken(sample, timestep, *args, encoder_hidden_states, **kwargs):
        output = forward(sample, timestep, *args, encoder_hidden_states=encoder_hidden_states, **kwargs)
        rows = torch.isclose(encoder_hidden_states, text.to(encoder_hidden_states.dtype), atol=1e-4).flatten(1).all(1)
        if len(pipe.scheduler.timesteps) == steps:
            output[0][rows] = torch.nan
        return output

    pipe.unet.forward = broken


def failed(own_pipe, scorer, profile) -> tuple[pl.DataFrame, list]:
    rows, failures = measure_prompts(own_pipe, scorer, profile, PROMPTS, 5, tflops=2.0)
    return rows, failures.rows()


def test_broken_pictures_are_left_out_with_a_reason_and_their_neighbours_stay(
    own_pipe, scorer, random_profile, undisturbed
):
    text = embed(own_pipe, random_profile, [PROMPTS[1]], [0]).texts["prompt_embeds"]
    break_prompt(own_pipe, text, steps=2)
    table, failures = failed(own_pipe, scorer, random_profile)
    reason = "it has values that are no numbers, drawn in float32 too"
    assert failures == [(6, PROMPTS[1], seed, 2, reason) for seed in random_profile.seeds]
    assert_same_rows(table, undisturbed.filter((pl.col("prompt_id") != 6) | (pl.col("steps") != 2)))


def test_without_its_target_nothing_is_known_of_a_picture(own_pipe, scorer, random_profile):
    text = embed(own_pipe, random_profile, [PROMPTS[0]], [0]).texts["prompt_embeds"]
    break_prompt(own_pipe, text, steps=4)
    profile = replace(random_profile, seeds=(1,))
    table, failures = failed(own_pipe, scorer, profile)
    assert table["prompt_id"].unique().sort().to_list() == [6, 7]
    without = "the picture that it is compared with is broken"
    assert [(key, steps, why) for key, _, _, steps, why in failures] == [
        (5, 1, without), (5, 2, without), (5, 4, "it has values that are no numbers, drawn in float32 too")
    ]  # fmt: skip


def test_a_picture_that_cannot_be_scored_is_left_out(own_pipe, scorer, random_profile):
    calls = []

    def embed_perceptual(images: torch.Tensor) -> torch.Tensor:
        seen = scorer.embed_perceptual(images)
        calls.append(len(images))
        if len(calls) == 3:  # after the probe and the targets
            seen[1] = torch.nan
        return seen

    own = replace(scorer, embed_perceptual=embed_perceptual)
    table, failures = failed(own_pipe, own, replace(random_profile, batch=6))
    assert failures == [(5, PROMPTS[0], 1, 2, "its scores are no numbers")]
    assert len(table) == 17


@pytest.mark.slow
def test_what_overflows_in_half_precision_is_drawn_in_float32(scorer, random_profile):
    half = load_pipeline(replace(random_profile, dtype="float16"))
    with torch.no_grad():
        half.unet.conv_in.weight *= 30_000  # the blocks normalise what comes in, but its squares pass 65504
        half.unet.conv_in.bias *= 30_000
    exact = load_pipeline(replace(random_profile, dtype="float16"))
    exact.unet.load_state_dict(half.unet.state_dict())
    exact.to(torch.float32)
    conditions = embed(half, random_profile, PROMPTS[:1], [0])
    assert not torch.isfinite(sample(half, random_profile, conditions, 2)).all(), "it does overflow"
    table, failures = failed(half, scorer, random_profile)
    assert not failures
    assert {part.dtype for part in (half.unet, half.vae, half.text_encoder)} == {torch.float16}
    expected, _ = measure_prompts(exact, scorer, random_profile, PROMPTS, 5, tflops=2.0)
    assert_same_rows(table.drop("evals", "tflops"), expected.drop("evals", "tflops"), tolerance=0.02)
    made = dict(table.select("steps", "evals").unique().iter_rows())
    assert made == {4: 4, 2: 2, 1: 1}, "each drawn again, and the first evaluation is not shared"


@pytest.mark.slow
def test_a_device_that_holds_no_picture_says_so_before_the_long_draw(own_pipe, scorer, random_profile, monkeypatch):
    steps, forward = [], own_pipe.unet.forward

    def counted(*args, **kwargs):
        steps.append(len(own_pipe.scheduler.timesteps))
        return forward(*args, **kwargs)

    def full(*args, **kwargs):
        raise torch.OutOfMemoryError("CUDA out of memory")

    own_pipe.unet.forward = counted
    monkeypatch.setattr(own_pipe.vae, "decode", full)
    with pytest.raises(ValueError, match="too little memory for one picture of mini"):
        measure_prompts(own_pipe, scorer, random_profile, PROMPTS, 5, tflops=2.0)
    assert set(steps) == {1}


def test_pictures_are_kept_if_asked_for(own_pipe, scorer, random_profile, tmp_path):
    tflops = tflops_per_evaluation(own_pipe, random_profile)
    table, _ = measure_prompts(own_pipe, scorer, random_profile, PROMPTS[:2], 5, tflops, keep=tmp_path)
    assert_same_rows(table, measure_prompts(own_pipe, scorer, random_profile, PROMPTS[:2], 5, tflops)[0])
    expected = {picture_path(tmp_path, i, s, t) for i in (5, 6) for s in random_profile.seeds for t in (1, 2, 4)}
    assert set(tmp_path.rglob("*.webp")) == expected
    drawn = generate(own_pipe, [PROMPTS[1]], 2, profile=random_profile, seeds=[1])[0].permute(1, 2, 0).numpy()
    with Image.open(picture_path(tmp_path, 6, 1, 2)) as picture:
        assert picture.size == (64, 64)
        kept = np.asarray(picture, float) / 255
    assert np.abs((kept - drawn) @ LUMA).mean() < 0.02, "WebP loses a little, of colours more than of light"
    assert np.abs((kept[::-1] - drawn) @ LUMA).mean() > 0.04
