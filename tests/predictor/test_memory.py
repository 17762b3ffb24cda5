"""A memory believes what it has seen as far as it is no luck, and leaves strangers to the network."""

import numpy as np
import pytest

from bfkit.predictor.memory import remember

RNG = np.random.default_rng(0)
STEPS, PROMPTS, WIDTH = 33, 80, 6


def world(seed: int, luck: float, smooth: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Embeddings, a prediction that misses a level of each prompt, and the measured curves with luck."""
    lot = np.random.default_rng(seed)
    texts = lot.standard_normal((PROMPTS, WIDTH))
    level = 0.1 * (np.tanh(2 * texts[:, :1]) if smooth else lot.standard_normal((PROMPTS, 1)))
    predicted = np.full((PROMPTS, STEPS), 0.5)
    shape = np.linspace(1, 0.2, STEPS)
    truth = predicted + level * shape
    return texts, truth, truth + luck**0.5 * lot.standard_normal((PROMPTS, 1)) * shape


def error(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.abs(first - second).mean())


@pytest.mark.parametrize("smooth", [True, False])
def test_a_prompt_that_was_measured_is_believed_as_far_as_it_is_no_luck(smooth):
    texts, truth, measured = world(1, 0.0025, smooth)
    predicted = {"d_sim": np.full_like(truth, 0.5)}
    luck = {"d_sim": 0.0025 * float((np.linspace(1, 0.2, STEPS) ** 2).mean())}
    found = remember(texts, predicted, {"d_sim": measured}, luck)(texts, predicted)["d_sim"]
    assert error(found, truth) < 0.95 * error(measured, truth), "better than to repeat what was measured"
    assert error(found, truth) < 0.7 * error(predicted["d_sim"], truth)


def test_neighbours_are_told_by_what_they_share_and_strangers_nothing():
    texts, truth, measured = world(2, 0.0004, smooth=True)
    predicted = {"d_sim": np.full((40, STEPS), 0.5)}
    luck = {"d_sim": 0.0002}
    memory = remember(texts[:40], predicted, {"d_sim": measured[:40]}, luck)
    found = memory(texts[40:], predicted)["d_sim"]
    assert error(found, truth[40:]) < 0.6 * error(predicted["d_sim"], truth[40:])

    own, own_truth, own_measured = world(3, 0.0004, smooth=False)
    alone = remember(own[:40], predicted, {"d_sim": own_measured[:40]}, luck)
    found = alone(own[40:], predicted)["d_sim"]
    assert error(found, own_truth[40:]) < 1.1 * error(predicted["d_sim"], own_truth[40:]), "nothing shared, little lost"


def test_the_weights_are_those_of_a_gaussian_process():
    texts, _, measured = world(4, 0.001, smooth=True)
    predicted = {"i_clip": np.full((PROMPTS, STEPS), 0.5)}
    memory = remember(texts, predicted, {"i_clip": measured}, {"i_clip": 0.0005})
    own = memory.metrics["i_clip"]
    rows = texts / np.linalg.norm(texts, axis=1, keepdims=True)
    kernel = own.shared * np.exp(-(1 - rows @ rows.T) / own.reach) + (1 - own.shared) * np.eye(PROMPTS)
    missed = measured - 0.5
    noise = 0.0005 / ((missed**2).mean() - 0.0005)
    mean = kernel @ np.linalg.solve(kernel + noise * np.eye(PROMPTS), missed)
    np.testing.assert_allclose(memory(texts, predicted)["i_clip"], np.clip(0.5 + mean, 0, 1), atol=1e-5)


def test_one_seed_is_half_believed():
    texts, _, measured = world(5, 0.0, smooth=False)
    predicted = {"d_sim": np.full((PROMPTS, STEPS), 0.5)}
    found = remember(texts, predicted, {"d_sim": measured}, {"d_sim": float("nan")})(texts, predicted)["d_sim"]
    moved = (found - 0.5) / (measured - 0.5)
    assert 0.4 < np.median(moved) < 0.75
