"""Captions to prompts that differ from each other (Section 3.1, Eq. 1)."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike

from . import paper
from .clip import Clip
from .mini import world

CAPTION_SEED = 7
CANDIDATES = 6_000  # captions that the miniature's prompts are chosen from


def mini_captions(count: int = CANDIDATES) -> dict[str, world.Scene]:
    """The miniature's captions in the order they are offered to Eq. 1, each with a scene it is true of."""
    return world.captioned_scenes(count, CAPTION_SEED)


def select_dissimilar(
    embeddings: ArrayLike | torch.Tensor, threshold: float = paper.DISSIMILARITY, block: int = 1024
) -> np.ndarray:
    """Greedy choice of rows that are all unlike each other (Eq. 1).

    Rows (N, D) of any length are taken in order; row i is kept iff its cosine similarity to every kept row is below
    the threshold. Exact: similarities are float64, rounded to 12 digits, so that the block size changes speed only.
    Returns rising indices, int64. Raises ValueError if a row is not finite or the shape is not (N, D).
    """
    rows = np.asarray(
        embeddings.detach().cpu().double() if isinstance(embeddings, torch.Tensor) else embeddings, dtype=np.float64
    )
    if rows.ndim != 2:
        raise ValueError(f"embeddings must be (N, D); got shape {rows.shape}")
    if not np.isfinite(rows).all():
        raise ValueError(
            f"embedding {np.flatnonzero(~np.isfinite(rows).all(axis=1))[0]} has values that are not finite"
        )
    rows = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-300)
    kept: list[int] = []
    for start in range(0, len(rows), block):
        part = rows[start : start + block]
        alike = np.zeros(len(part), dtype=bool)
        for earlier in range(0, len(kept), block):
            alike |= (np.round(part @ rows[kept[earlier : earlier + block]].T, 12) >= threshold).any(axis=1)
        # those unlike all earlier rows still have to be unlike each other, in order
        waiting = np.flatnonzero(~alike)
        among = np.round(part[waiting] @ part[waiting].T, 12) >= threshold
        chosen = np.zeros(len(waiting), dtype=bool)
        for index in range(len(waiting)):
            chosen[index] = not among[index, :index][chosen[:index]].any()
        kept.extend((start + waiting[chosen]).tolist())
    return np.asarray(kept, dtype=np.int64)


def select_prompts(
    captions: Sequence[str], clip: Clip, count: int, threshold: float = paper.DISSIMILARITY
) -> list[str]:
    """The first ``count`` captions that are dissimilar by ``clip``; ValueError if the captions do not hold as many."""
    chosen = select_dissimilar(clip.embed_texts(captions), threshold)
    if len(chosen) < count:
        raise ValueError(
            f"only {len(chosen)} of {len(captions)} captions are dissimilar at {threshold}, {count} were asked for: "
            "give more captions or ask for fewer prompts"
        )
    return [captions[index] for index in chosen[:count]]


def nearest_similarity(embeddings: torch.Tensor) -> np.ndarray:
    """Cosine similarity of each row (N, D) to the nearest other row: (N,) float32."""
    rows = torch.nn.functional.normalize(embeddings.float(), dim=-1)
    return (rows @ rows.T).fill_diagonal_(-1).amax(dim=1).cpu().numpy()
