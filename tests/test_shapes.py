"""Shapes that stand in signatures are true: each function is run with its own annotations checked."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from beartype import beartype
from jaxtyping import Float, TypeCheckError, jaxtyped

from bfkit.metrics.l_snr import gaussian_blur, l_snr, luminance
from bfkit.metrics.scorer import Scorer
from bfkit.models.clip import Clip, retrieval
from bfkit.predictor.model import CurvePredictor, Predictors, fit_curve, monotone
from bfkit.predictor.plateau import last_step, plateaus
from bfkit.profiles import PredictorSettings
from bfkit.sampling.conditioning import embed
from bfkit.sampling.generate import generate, sample

SETTINGS = PredictorSettings(layers=1, hidden=4, mlp=4, dropout=0.0, batch=4, grid=(1, 2, 4, 6))


def checked(function: Callable) -> Callable:
    """The function, refusing what its signature does not say."""
    return jaxtyped(function, typechecker=beartype)


def test_a_signature_that_lies_is_found():
    def lies(images: Float[torch.Tensor, "n c h w"]) -> Float[torch.Tensor, "n 1 h w"]:
        return images

    checked(lies)(torch.rand(2, 1, 8, 9))
    with pytest.raises(TypeCheckError):
        checked(lies)(torch.rand(2, 3, 8, 9))


def test_curves_and_their_plateaus():
    values = np.random.default_rng(0).random((3, 6))
    assert checked(plateaus)(values, [0.1, 0.2]).shape == (2, 3)
    checked(last_step)(values > 0.5)
    checked(last_step)(np.ones(6, bool))
    checked(monotone)(values, rising=True)


def test_the_predictor():
    prompts, curves = torch.randn(5, 3), np.random.default_rng(0).random((5, 6))
    network = checked(fit_curve)(prompts, curves, SETTINGS, epochs=1)
    checked(CurvePredictor.forward)(network, prompts)
    checked(Predictors.__call__)(Predictors({"d_sim": network}, SETTINGS, 3), prompts)


def test_pictures_and_their_scores(pipe, scorer, random_profile):
    prompts = ["a red circle", "a crowd"]
    images = checked(generate)(pipe, prompts, 2, profile=random_profile)
    checked(sample)(pipe, random_profile, embed(pipe, random_profile, prompts, [0, 1]), 2)
    for measure in (luminance, gaussian_blur, l_snr):
        checked(measure)(images)
    seen = checked(Scorer.features)(scorer, images)
    checked(Scorer.score)(scorer, images, seen)
    checked(Scorer.compare)(scorer, images, seen, seen)


def test_embeddings(scorer):
    texts = checked(Clip.embed_texts)(scorer.clip, ["a red circle", "a crowd"])
    pictures = checked(Clip.embed_images)(scorer.clip, torch.rand(2, 3, 16, 16))
    checked(retrieval)(pictures, texts, among=2)
