"""Captions to prompts that differ from each other (Section 3.1, Eq. 1)."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike
from tqdm.auto import tqdm

from bfkit import paper
from bfkit.models.clip import Clip

OFFER = 4096  # captions embedded at first: whole batches, so that doubling it does not change how all are batched
SKETCH = 48  # numbers in the sketch of a row; decides speed only
Kept = tuple[np.ndarray, np.ndarray]  # indices and their unit rows, float32


def select_dissimilar(
    embeddings: ArrayLike | torch.Tensor, threshold: float = paper.DISSIMILARITY, block: int = 2048
) -> np.ndarray:
    """Greedy choice of rows that are all unlike each other (Eq. 1).

    Rows (N, D) of any length and precision are taken in order; row i is kept iff its cosine similarity to every kept
    row is below the threshold. Exact: similarities count as in float64, rounded to 12 digits, so that the block size
    changes speed only. Returns rising indices, int64. Raises ValueError if a row is not finite or the shape is not
    (N, D). Takes 192 bytes a row beside the embeddings.

    This is a sieve: each round chooses among the first rows still undecided, and the newly kept strike out what is
    like them among all later rows. Sketches tell which kept row is worth trying, so that a row may be missed; it is
    caught in its own round, where it meets every kept row.

    >>> select_dissimilar([[1.0, 0.0], [2.0, 0.1], [0.0, 1.0]], threshold=0.9)
    array([0, 2])
    """
    rows = _as_rows(embeddings, block)
    sketches = _sketch(rows, block)
    undecided, kept = np.arange(len(rows)), []
    with tqdm(desc="choosing dissimilar rows", total=len(rows), unit="row", delay=3) as bar:
        while len(undecided):
            new = _choose(rows, undecided[:block], kept, threshold)
            undecided = undecided[block:]
            if len(new[0]):
                kept.append(new)
                parts = np.split(undecided, range(block, len(undecided), block))
                undecided = np.concatenate([_strike_out(rows, sketches, part, new, threshold) for part in parts])
            bar.update(len(rows) - len(undecided) - bar.n)
    return np.concatenate([np.empty(0, dtype=np.int64), *(ids for ids, _ in kept)])


def _as_rows(embeddings: ArrayLike | torch.Tensor, block: int) -> np.ndarray:
    """Embeddings as an array (N, D) of finite numbers, without a copy where that can be."""
    if isinstance(embeddings, torch.Tensor):
        embeddings = embeddings.detach().cpu()
        embeddings = (embeddings.float() if embeddings.dtype == torch.bfloat16 else embeddings).numpy()
    rows = np.asarray(embeddings)
    rows = rows if rows.dtype.kind == "f" else rows.astype(np.float64)
    if rows.ndim != 2:
        raise ValueError(f"embeddings must be (N, D); got shape {rows.shape}")
    for start in range(0, len(rows), block):
        finite = np.isfinite(rows[start : start + block]).all(axis=1)
        if not finite.all():
            raise ValueError(f"embedding {start + np.flatnonzero(~finite)[0]} has values that are not finite")
    return rows


def _unit(rows: np.ndarray) -> np.ndarray:
    """Rows at length 1, float64; zeros stay zeros."""
    rows = rows.astype(np.float64)
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-300)


def _sketch(rows: np.ndarray, block: int) -> np.ndarray:
    """Unit rows in the few directions that hold most of them, again at length 1: float32, (N, SKETCH) at most."""
    sample = _unit(rows[:: max(1, len(rows) // 8192)])
    random = np.random.default_rng(0).standard_normal((rows.shape[1], min(SKETCH, rows.shape[1])))
    directions = np.linalg.qr(sample.T @ (sample @ random))[0].astype(np.float32)  # one power step will do
    sketches = np.empty((len(rows), directions.shape[1]), dtype=np.float32)
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):  # a row beyond float32 gets zeros: never tried
        for start in range(0, len(rows), block):
            part = rows[start : start + block].astype(np.float32, copy=False) @ directions
            part /= np.linalg.norm(part, axis=1, keepdims=True)
            sketches[start : start + block] = np.nan_to_num(part, nan=0.0, posinf=0.0, neginf=0.0)
    return sketches


def _band(rows: np.ndarray, threshold: float) -> tuple[float, float]:
    """Float32 similarities below the first are surely below the threshold, those from the second on surely not.

    In whatever order it is summed, a float32 product of unit rows (D,) errs by D / 2**24 at most, to first order
    (Higham, Accuracy and Stability of Numerical Algorithms, Eq. 3.5), and by 3 / 2**24 for the rounding of the rows and
    of the threshold. Twice that is a bound for every D that fits into a memory.
    """
    margin = (rows.shape[1] + 4) * 2.0**-23
    return threshold - margin, threshold + margin


def _is_similar(rows: np.ndarray, row: int, others: np.ndarray, threshold: float) -> bool:
    """Whether Eq. 1 finds the row too similar to one of the others."""
    similarities = (_unit(rows[others]) * _unit(rows[[row]])).sum(axis=1)
    return bool((np.round(similarities, 12) >= threshold).any())


def _choose(rows: np.ndarray, ids: np.ndarray, kept: Sequence[Kept], threshold: float) -> Kept:
    """Those of the rows ``ids`` that are kept after the ones kept already."""
    below, above = _band(rows, threshold)
    units = _unit(rows[ids]).astype(np.float32)
    for earlier, earlier_units in kept:
        similarities = units @ earlier_units.T
        nearest = similarities.max(axis=1)
        alike = nearest >= above
        for index in np.flatnonzero((nearest >= below) & ~alike):
            alike[index] = _is_similar(rows, ids[index], earlier[similarities[index] >= below], threshold)
        ids, units = ids[~alike], units[~alike]
    similarities = units @ units.T
    chosen = np.ones(len(ids), dtype=bool)
    for index in range(len(ids)):  # in order: only a kept row may turn a later one away
        near = np.flatnonzero((similarities[index, :index] >= below) & chosen[:index])
        if len(near):
            alike = (similarities[index, near] >= above).any()
            chosen[index] = not (alike or _is_similar(rows, ids[index], ids[near], threshold))
    return ids[chosen], units[chosen]


def _strike_out(rows: np.ndarray, sketches: np.ndarray, ids: np.ndarray, kept: Kept, threshold: float) -> np.ndarray:
    """The rows ``ids`` without those that are surely like the kept row whose sketch is nearest to theirs."""
    guesses = sketches[ids] @ sketches[kept[0]].T
    guess = guesses.argmax(axis=1)
    nearest = guesses[np.arange(len(ids)), guess]
    likely = np.flatnonzero(nearest > threshold - SKETCH**-0.5)  # the others are not worth the trial
    units = _unit(rows[ids[likely]]).astype(np.float32)
    alike = np.einsum("nd,nd->n", units, kept[1][guess[likely]]) >= _band(rows, threshold)[1]
    return np.delete(ids, likely[alike])


def select_prompts(
    captions: Sequence[str], clip: Clip, count: int, threshold: float = paper.DISSIMILARITY
) -> list[str]:
    """The first ``count`` captions that are dissimilar by ``clip``; ValueError if the captions do not hold as many.

    Later captions do not change what is chosen of earlier ones, so only as many are embedded as it takes.
    """
    rows, embedded, offered = [], 0, OFFER
    while True:
        rows.append(clip.embed_texts(captions[embedded:offered]))
        chosen = select_dissimilar(torch.cat(rows), threshold)
        if len(chosen) >= count:
            return [captions[int(index)] for index in chosen[:count]]
        if offered >= len(captions):
            raise ValueError(
                f"only {len(chosen)} of {len(captions)} captions are dissimilar at {threshold}, {count} were asked "
                "for: give more captions or ask for fewer prompts"
            )
        embedded, offered = offered, 2 * offered


def nearest_similarity(embeddings: torch.Tensor) -> np.ndarray:
    """Cosine similarity of each row (N, D) to the nearest other row: (N,) float32. Works in pieces of 128 MiB."""
    rows = torch.nn.functional.normalize(embeddings.float(), dim=-1)
    nearest = []
    for part in torch.arange(len(rows), device=rows.device).split(max(1, 2**25 // len(rows))):
        similarities = rows[part] @ rows.T
        similarities[torch.arange(len(part)), part] = -1
        nearest.append(similarities.amax(dim=1))
    return torch.cat(nearest).cpu().numpy()
