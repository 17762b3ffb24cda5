"""Eq. 1 against a plain double loop, on random rows, near-duplicates and real captions."""

import json
import math
import tracemalloc
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from bfkit.benchmarks.suite import clustered_rows
from bfkit.dataset import prompts
from bfkit.dataset.captions import mini_captions, read_captions
from bfkit.dataset.prompts import nearest_similarity, select_dissimilar, select_prompts

CAPTIONS = Path(__file__).parents[3] / "shared" / "coco" / "captions_val2017.json"


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


def all_pairs(rows: np.ndarray, threshold: float) -> list[int]:
    """Brute force that can be waited for: every similarity there is, in float64 to 12 digits, then rows in order."""
    unit = np.asarray(rows, dtype=np.float64)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    alike = np.concatenate([part @ unit.T >= threshold - 0.5e-12 for part in np.array_split(unit, 25)])
    is_kept = np.zeros(len(rows), dtype=bool)
    for index in range(len(rows)):
        is_kept[index] = not (alike[index] & is_kept).any()
    return np.flatnonzero(is_kept).tolist()


@pytest.mark.parametrize("block", [1, 2, 7, 64, 120, 2048])
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
    factors = 10.0 ** np.random.default_rng(1).uniform(-120, 120, size=(len(rows), 1))  # far beyond float32
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


def test_rows_of_words_are_refused():
    with pytest.raises(ValueError, match="could not convert"):
        select_dissimilar([["a", "b"]])


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


def spelling(captions: Sequence[str], width: int = 512) -> np.ndarray:
    """Captions embedded by their letters: hashed n-grams of one to three, projected at random to ``width`` numbers."""
    buckets = 4096
    directions = np.random.default_rng(0).standard_normal((buckets, width), dtype=np.float32)
    rows = np.empty((len(captions), width), dtype=np.float32)
    for row, caption in enumerate(captions):
        text = f" {caption.lower()} ".encode()
        grams = Counter(zlib.crc32(text[at : at + n]) % buckets for n in (1, 2, 3) for at in range(len(text) - n + 1))
        rows[row] = np.sqrt(np.fromiter(grams.values(), dtype=np.float32)) @ directions[list(grams)]
    return rows


@pytest.mark.slow
def test_all_real_captions_are_chosen_as_brute_force_chooses_them():
    if not CAPTIONS.is_file():
        pytest.skip("the COCO captions are not part of this repository")
    captions = read_captions(CAPTIONS)
    rows = spelling(captions)
    kept = select_dissimilar(rows)
    assert 0.4 * len(captions) < len(kept) < 0.7 * len(captions)
    assert kept.tolist() == all_pairs(rows, 0.75)


# --- ties and the limits of float32 ---------------------------------------------------------------------------------


def rows_with_ties(seed: int, count: int = 250, width: int = 40, ones: int = 24) -> np.ndarray:
    """Rows of 24 ones, signed, in 40 places: similarities are multiples of 1/24, and 18/24 is met often."""
    rng = np.random.default_rng(seed)
    rows = np.zeros((count, width), dtype=np.int64)
    for row in range(count):
        if row < 20:
            rows[row, rng.choice(width, ones, replace=False)] = rng.choice([-1, 1], ones)
        else:  # another row with two to four signs turned: 20/24, 18/24 or 16/24 like it
            rows[row] = rows[rng.integers(row)]
            rows[row, rng.choice(np.flatnonzero(rows[row]), rng.integers(2, 5), replace=False)] *= -1
    return rows


@pytest.mark.parametrize("seed", range(20))
def test_ties_at_the_threshold_are_decided_as_whole_numbers_decide_them(seed):
    rows = rows_with_ties(seed)
    products = rows @ rows.T
    assert (products == 18).sum() > 150, "there should be many ties"
    expected: list[int] = []
    for index in range(len(rows)):
        if not (products[index, expected] >= 18).any():
            expected.append(index)
    lengths = np.random.default_rng(seed).uniform(0.1, 10, size=(len(rows), 1))
    assert select_dissimilar(rows, 18 / 24).tolist() == expected
    for block in (10, 100, 2048):
        assert select_dissimilar(rows * lengths, 18 / 24, block=block).tolist() == expected


@pytest.mark.parametrize(
    ("difference", "is_kept"), [(-1e-6, True), (-1e-9, True), (-1e-13, False), (0, False), (1e-9, False), (1e-6, False)]
)
def test_similarities_closer_to_the_threshold_than_float32_can_tell_are_told_apart(difference, is_kept):
    rng = np.random.default_rng(1)
    basis = np.linalg.qr(rng.normal(size=(200, 200)))[0]
    similarity = 0.75 + difference
    near = similarity * basis[0] + math.sqrt(1 - similarity**2) * basis[1]
    rows = np.stack([basis[0], *basis[2:90], near])
    for block in (1, 50, 89, 2048):  # the two meet across blocks, or in one
        assert (89 in select_dissimilar(rows, 0.75, block=block)) == is_kept


# --- many rows ------------------------------------------------------------------------------------------------------


def test_rows_of_many_blocks_are_chosen_as_brute_force_chooses_them():
    rows = clustered_rows(9_000, 1_500, width=100)  # a sketch is shorter than these rows
    expected = all_pairs(rows, 0.75)
    assert 1_500 < len(expected) < 4_500
    assert select_dissimilar(rows).tolist() == expected
    assert select_dissimilar(rows, block=300).tolist() == expected


def test_sketches_that_mislead_change_nothing(monkeypatch):
    rows = clustered_rows(3_000, 400, width=100)
    right = select_dissimilar(rows, block=256)
    rng = np.random.default_rng(0)
    monkeypatch.setattr(prompts, "_sketch", lambda rows, block: rng.normal(size=(len(rows), 8)).astype(np.float32))
    assert select_dissimilar(rows, block=256).tolist() == right.tolist() == all_pairs(rows, 0.75)


def test_the_embeddings_are_never_copied_whole():
    rows = clustered_rows(150_000, 50, width=128)
    tracemalloc.start()
    select_dissimilar(rows)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 256 * len(rows) + 60e6 < 1.3 * rows.nbytes


def test_a_quick_choice_shows_no_progress_bar(capsys):
    select_dissimilar(crowded_rows(0))
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("count", [2, 300, 9_000])
def test_the_nearest_similarity_is_that_to_the_most_similar_other_row(count):
    rows = torch.as_tensor(crowded_rows(2, 9_000)[:count])
    unit = torch.nn.functional.normalize(rows)
    expected = [(unit[index] @ torch.cat([unit[:index], unit[index + 1 :]]).T).max() for index in range(0, count, 50)]
    found = nearest_similarity(rows)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found[::50], expected, atol=1e-6)


# --- prompts --------------------------------------------------------------------------------------------------------


def test_prompts_are_the_first_dissimilar_captions(scorer):
    captions = list(mini_captions(60))
    rows = scorer.clip.embed_texts(captions).numpy()
    threshold = float(np.quantile(rows @ rows.T, 0.9))
    chosen = plain_loop(rows, threshold)
    assert 3 < len(chosen) < 60
    assert select_prompts(captions, scorer.clip, 3, threshold) == [captions[index] for index in chosen[:3]]
    assert select_prompts(captions, scorer.clip, len(chosen), threshold) == [captions[index] for index in chosen]


def test_no_more_captions_are_embedded_than_the_prompts_take(scorer, monkeypatch):
    captions, seen = list(mini_captions(60)), []

    def tokenizer(texts: list[str]) -> torch.Tensor:
        seen.extend(texts)
        return scorer.clip.tokenizer(texts)

    everything = select_prompts(captions, scorer.clip, 5, 0.999)
    monkeypatch.setattr(prompts, "OFFER", 8)
    assert select_prompts(captions, replace(scorer.clip, tokenizer=tokenizer), 5, 0.999) == everything
    last = captions.index(everything[-1])
    assert seen == captions[: len(seen)], "each once, in order"
    assert last < len(seen) <= max(8, 2 * last + 1)


def test_asking_for_more_prompts_than_there_are_says_how_many_there_are(scorer):
    captions = ["a red circle on a beach", "a red circle on a beach", "a night sky"]
    with pytest.raises(ValueError, match=r"only [12] of 3 captions are dissimilar at 0.75, 3 were asked for"):
        select_prompts(captions, scorer.clip, 3)
