"""A picture's curve from its look: what can be told is told, what is luck is not, and the file comes back."""

import numpy as np
import polars as pl
import pytest
from safetensors.numpy import save_file

from bfkit.predictor import rules
from bfkit.predictor.picture_curves import fit_pictures, load_pictures, save_pictures

STEPS = (1, 2, 3, 5, 9, 17, 33, 65, 129)
PROMPTS, SEEDS, TEXT, LOOK = 120, 4, 3, 5


def planted(told: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray, pl.DataFrame, np.ndarray]:
    """Pictures whose log losses are a_i - 1.5 log n, of which the look tells a share of the variance of 1."""
    rng = np.random.default_rng(seed)
    texts = np.repeat(rng.normal(size=(PROMPTS, TEXT)), SEEDS, axis=0)
    looks = rng.normal(size=(PROMPTS * SEEDS, LOOK))
    levels = np.sqrt(told) * looks[:, 0] + np.sqrt(1 - told) * rng.normal(size=len(looks))
    losses = 0.05 * np.exp(levels[:, None] - 1.5 * np.log(STEPS))
    losses[:, -1] = 0
    rows = {
        "prompt_id": np.repeat(np.arange(PROMPTS), SEEDS * len(STEPS)),
        "seed": np.tile(np.repeat(np.arange(SEEDS), len(STEPS)), PROMPTS),
        "steps": np.tile(STEPS, PROMPTS * SEEDS),
        "d_sim": losses.ravel(),
    }
    return texts, looks, pl.DataFrame(rows), losses


@pytest.mark.parametrize("told", [0.0, 0.5, 0.9])
def test_the_share_that_a_look_tells_is_the_one_that_was_planted(told):
    texts, looks, scores, _ = planted(told)
    _, found = fit_pictures(texts, looks, scores)
    assert found == pytest.approx(told, abs=0.1)


def test_the_order_of_the_rows_does_not_matter():
    texts, looks, scores, _ = planted(0.5)
    first, _ = fit_pictures(texts, looks, scores)
    second, _ = fit_pictures(texts, looks, scores.sample(fraction=1, shuffle=True, seed=1))
    np.testing.assert_array_equal(first.weight, second.weight)


def test_the_predicted_curve_is_the_mean_loss_of_pictures_that_look_so():
    texts, looks, scores, _ = planted(0.5)
    predictor, _ = fit_pictures(texts, looks, scores)
    fresh_texts, fresh_looks, _, losses = planted(0.5, seed=1)
    curves = predictor(fresh_texts, fresh_looks)["d_sim"]
    assert curves.shape == (PROMPTS * SEEDS, 129) and (np.diff(curves) <= 1e-12).all() and (curves[:, -1] == 0).all()
    assert curves[:, [8, 16]].mean() == pytest.approx(losses[:, [4, 5]].mean(), rel=0.2)
    easy = fresh_looks[:, 0] < -0.5
    assert curves[easy, 16].mean() == pytest.approx(losses[easy, 5].mean(), rel=0.3)


def test_steps_by_looks_lose_less_than_the_same_for_all():
    texts, looks, scores, _ = planted(0.9)
    predictor, _ = fit_pictures(texts, looks, scores)
    fresh_texts, fresh_looks, _, losses = planted(0.9, seed=1)
    truth = predictor._dense(np.log(losses[:, :-1]))["d_sim"]
    chosen = rules.at_mean_cost("price", predictor(fresh_texts, fresh_looks), 17)
    assert chosen.mean() == 17
    assert rules.at_steps(truth, chosen).mean() < 0.85 * truth[:, 16].mean()


def test_a_predictor_comes_back_from_its_file_and_another_file_is_refused(tmp_path):
    texts, looks, scores, _ = planted(0.5)
    predictor, _ = fit_pictures(texts, looks, scores)
    save_pictures(predictor, tmp_path / "look.safetensors")
    found = load_pictures(tmp_path / "look.safetensors")
    np.testing.assert_allclose(found(texts, looks)["d_sim"], predictor(texts, looks)["d_sim"], rtol=1e-4)
    assert found.typical_curves()["d_sim"].shape == (256, 129)
    save_file({"other": np.zeros(2)}, tmp_path / "look.safetensors")
    with pytest.raises(ValueError, match=r"look.safetensors is damaged .*: train the predictor again"):
        load_pictures(tmp_path / "look.safetensors")
    (tmp_path / "look.safetensors").write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"look.safetensors is damaged .*: train the predictor again"):
        load_pictures(tmp_path / "look.safetensors")


def test_a_look_of_another_width_is_told():
    texts, looks, scores, _ = planted(0.5)
    predictor, _ = fit_pictures(texts, looks, scores)
    with pytest.raises(ValueError, match="are 7 numbers here, and 8 where the advisor was trained"):
        predictor(texts, looks[:, 1:])
