"""Eq. 1 against a plain double loop, on random rows, near-duplicates and real captions."""

import json
import math
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch

from bfkit.prompts import mini_captions, select_dissimilar, select_prompts

CAPTIONS = Path(__file__).parents[2] / "shared" / "coco" / "captions_val2017.json"


def plain_loop(rows: np.ndarray, threshold: float) -> list[int]:
    """Every row against every kept one, in order."""
    unit = [row / math.sqrt(math.fsum(row * row)) if row.any() else row for row in np.asarray(rows, float)]
    kept: list[int] = []
    for index, row in enumerate(unit):
        if all(math.fsum(row * unit[other]) < threshold for other in kept):
            kept.append(index)
    return kept


def crowded_rows(seed: int, count: int = 120, width: int = 7) -> np.ndarray:
    """Random rows of any length, a third of them near another, a few the same but for their length."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(count, width)) * rng.uniform(0.01, 100, size=(count, 1))
    for index in rng.choice(np.arange(1, count), count // 3, replace=False):
        rows[index] = rows[rng.integers(index)] * rng.uniform(0.5, 2) + rng.normal(size=width) * 0.01
    for index in rng.choice(np.arange(1, count), 5, replace=False):
        rows[index] = rows[rng.integers(index)] * 3
    return rows


@pytest.mark.parametrize("block", [1, 2, 7, 64, 120, 1024])
@pytest.mark.parametrize("threshold", [0.3, 0.75, 0.95])
def test_the_choice_is_that_of_a_plain_loop_whatever_the_block_size(block, threshold):
    for seed in range(4):
        rows = crowded_rows(seed)
        assert select_dissimilar(rows, threshold, block=block).tolist() == plain_loop(rows, threshold)


def test_kept_rows_are_unlike_each_other_and_every_other_row_is_like_an_earlier_kept_one():
    rows = crowded_rows(9, count=300)
    kept = select_dissimilar(rows)
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    alike = unit @ unit.T >= 0.75
    assert not (alike[np.ix_(kept, kept)] & ~np.eye(len(kept), dtype=bool)).any()
    for row in set(range(len(rows))) - set(kept.tolist()):
        assert alike[row, kept[kept < row]].any()


def test_a_row_is_judged_by_kept_rows_only():
    # b is like a and dropped; c is like b alone, so it stays
    a, b, c = (np.array([math.cos(t), math.sin(t)]) for t in (0.0, 0.6, 1.2))
    assert select_dissimilar([a, b, c], 0.75).tolist() == [0, 2]


def test_similarity_at_the_threshold_is_too_similar():
    assert select_dissimilar([[1.0, 0.0], [3.0, 4.0]], 0.6).tolist() == [0]
    assert select_dissimilar([[1.0, 0.0], [3.0, 4.0]], 0.6001).tolist() == [0, 1]


@pytest.mark.parametrize("block", [1, 3, 100])
def test_only_the_first_of_duplicates_is_kept(block):
    rows = np.random.default_rng(0).normal(size=(6, 40))
    order = [0, 1, 0, 2, 1, 3, 3, 4, 0, 5]
    assert select_dissimilar(rows[order], 1.0, block=block).tolist() == [0, 1, 3, 5, 7, 9]


def test_the_length_of_a_row_does_not_matter():
    rows = crowded_rows(3)
    factors = np.random.default_rng(1).uniform(1e-6, 1e6, size=(len(rows), 1))
    assert select_dissimilar(rows * factors).tolist() == select_dissimilar(rows).tolist()


@pytest.mark.parametrize("kind", [lambda r: r.tolist(), torch.as_tensor, lambda r: r.astype(np.float32), torch.Tensor])
def test_lists_arrays_and_tensors_are_read_alike(kind):
    rows = crowded_rows(5, count=40)
    kept = select_dissimilar(kind(rows))
    assert kept.tolist() == plain_loop(rows, 0.75)
    assert kept.dtype == np.int64


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_tensors_fresh_from_a_model_are_read_whatever_their_precision(dtype):
    rows = torch.as_tensor(crowded_rows(5, count=40)).to(dtype).requires_grad_()
    assert select_dissimilar(rows).tolist() == plain_loop(rows.detach().double().numpy(), 0.75)


def test_no_rows_give_no_indices():
    kept = select_dissimilar(np.zeros((0, 16)))
    assert kept.shape == (0,)
    assert kept.dtype == np.int64


@pytest.mark.parametrize("shape", [(4,), (2, 3, 4), ()])
def test_another_shape_is_refused_with_a_sentence(shape):
    with pytest.raises(ValueError, match=r"must be \(N, D\)"):
        select_dissimilar(np.ones(shape))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_the_first_row_that_is_not_finite_is_named(value):
    rows = np.ones((5, 3))
    rows[3, 1] = rows[4, 0] = value
    with pytest.raises(ValueError, match=r"embedding 3 .*not finite"):
        select_dissimilar(rows)


@pytest.mark.parametrize("block", [97, 1024])
def test_real_captions_are_chosen_as_a_plain_loop_chooses_them(block):
    if not CAPTIONS.is_file():
        pytest.skip("the COCO captions are not part of this repository")
    captions = [note["caption"] for note in json.loads(CAPTIONS.read_text())["annotations"][:2000]]
    rows = np.zeros((len(captions), 256), dtype=np.int64)
    for row, caption in enumerate(captions):
        for word in caption.lower().split():
            rows[row, zlib.crc32(word.encode()) % 256] += 1
    squares = (rows * rows).sum(axis=1)
    kept: list[int] = []
    for row in range(len(rows)):  # in whole numbers, where a similarity of 3/5 is told from one just below it
        if not (25 * (rows[kept] @ rows[row]) ** 2 >= 9 * squares[kept] * squares[row]).any():
            kept.append(row)
    assert 100 < len(kept) < 1900
    assert select_dissimilar(rows, 0.6, block=block).tolist() == kept


def test_prompts_are_the_first_dissimilar_captions(judges):
    captions = list(mini_captions(60))
    rows = judges.clip.embed_texts(captions).numpy()
    threshold = float(np.quantile(rows @ rows.T, 0.9))
    chosen = plain_loop(rows, threshold)
    assert 3 < len(chosen) < 60
    assert select_prompts(captions, judges.clip, 3, threshold) == [captions[index] for index in chosen[:3]]
    assert select_prompts(captions, judges.clip, len(chosen), threshold) == [captions[index] for index in chosen]


def test_asking_for_more_prompts_than_there_are_says_how_many_there_are(judges):
    captions = ["a red circle on a beach", "a red circle on a beach", "a night sky"]
    with pytest.raises(ValueError, match=r"only [12] of 3 captions are dissimilar at 0.75, 3 were asked for"):
        select_prompts(captions, judges.clip, 3)


def test_the_miniatures_captions_begin_with_the_two_ends_of_figure_2():
    captions = list(mini_captions(50))
    assert captions[:2] == ["a white and empty wall", "a colorful park with a crowd"]
    assert len(set(captions)) == 50
    assert list(mini_captions(20)) == captions[:20]
