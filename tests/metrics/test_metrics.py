"""The three metrics against scipy and the models' own embeddings, and at their edges."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import ndimage

from bfkit import paper
from bfkit.metrics.l_snr import L_SNR_VARIANTS, PIXELS_AT_ONCE, gaussian_blur, l_snr
from bfkit.metrics.registry import METRICS
from bfkit.metrics.scorer import load_scorer
from bfkit.mini.render import draw
from bfkit.mini.world import sample_scenes


@pytest.fixture(scope="module")
def drawn() -> torch.Tensor:
    """Drawn scenes, each with something to see in it."""
    return draw([scene for scene in sample_scenes(40, seed=4) if scene.things][:16])


@pytest.fixture(scope="module")
def noisy() -> torch.Tensor:
    return torch.rand((8, 3, 48, 64), generator=torch.Generator().manual_seed(0))


def grey(image: torch.Tensor) -> np.ndarray:
    red, green, blue = image.double().numpy()
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def share_lost_by_blurring(picture: np.ndarray) -> float:
    """var(I - G * I) / var(I), Eq. 2 at its word."""
    return np.var(picture - ndimage.gaussian_filter(picture, 1.0, mode="mirror", truncate=4)) / np.var(picture)


def share_seen_by_a_laplacian(picture: np.ndarray) -> float:
    detail = np.var(ndimage.laplace(picture, mode="mirror"))
    return detail / (detail + np.var(picture))


def decibels_over_noise(picture: np.ndarray) -> float:
    """Immerkaer's noise estimate, in units of 60 dB."""
    mask = np.outer([1, -2, 1], [1, -2, 1])
    noise = np.var(ndimage.convolve(picture, mask, mode="mirror")) / (mask**2).sum()
    return np.log10(np.var(picture) / noise) / 6


EXPECTED = {  # by scipy, in float64, without the floors that only flat pictures need
    "residual": share_lost_by_blurring,
    "residual_turned": lambda picture: 1 - share_lost_by_blurring(picture),
    "laplacian": share_seen_by_a_laplacian,
    "laplacian_snr": decibels_over_noise,
}


# --- the registry ---------------------------------------------------------------------------------------------------


def test_the_registry_knows_the_papers_metrics_and_their_directions():
    assert tuple(METRICS) == paper.METRICS
    assert {name: info.lower_is_better for name, info in METRICS.items()} == {
        "l_snr": True,
        "d_sim": True,
        "i_clip": False,
    }
    for name, info in METRICS.items():
        assert info.name == name
        assert info.label == paper.LABELS[name]
        assert info.best == (0.0 if info.lower_is_better else 1.0)


# --- L-SNR ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sigma", [0.5, 1.0, 2.0])
def test_the_blur_is_scipys_gaussian_filter(noisy, sigma):
    blurred = gaussian_blur(noisy, sigma)
    for image, result in zip(noisy, blurred, strict=True):
        for channel, values in zip(image, result, strict=True):
            expected = ndimage.gaussian_filter(channel.numpy(), sigma, mode="mirror", truncate=4)
            np.testing.assert_allclose(values.numpy(), expected, atol=2e-6)


@pytest.mark.parametrize("size", [(5, 3), (64, 65), (131, 200), (768, 768)])
def test_the_blur_is_scipys_at_every_size(size):
    """Smaller than the Gaussian, one more than a block of rows, no multiple of it, Stable Diffusion's."""
    image = torch.rand((1, 1, *size), generator=torch.Generator().manual_seed(0))
    truncate = min(4, *(side - 1 for side in size))
    expected = ndimage.gaussian_filter(image[0, 0].numpy(), 1.0, mode="mirror", truncate=truncate)
    np.testing.assert_allclose(gaussian_blur(image)[0, 0].numpy(), expected, atol=2e-6)


def test_every_variant_is_compared_with_scipy():
    assert EXPECTED.keys() == L_SNR_VARIANTS.keys()


@pytest.mark.parametrize("variant", EXPECTED)
def test_l_snr_is_what_scipy_computes(drawn, noisy, variant):
    for images in (drawn, noisy):
        expected = [EXPECTED[variant](grey(image)) for image in images]
        np.testing.assert_allclose(l_snr(images, variant), np.clip(expected, 0, 1), rtol=0.02, atol=2e-3)


def test_the_default_takes_eq_2_at_its_word(drawn):
    expected = [share_lost_by_blurring(grey(image)) for image in drawn]
    np.testing.assert_allclose(l_snr(drawn), expected, rtol=0.02, atol=2e-4)


def test_l_snr_reads_luminance():
    """A pattern in colours of one luminance is flat; the same pattern in grey is not."""
    pattern = (torch.arange(64) % 2).float().expand(64, 64)
    colors = torch.stack([0.5 + 0.3 * pattern, 0.5 - 0.3 * 0.2126 / 0.7152 * pattern, torch.full((64, 64), 0.5)])
    scores = l_snr(torch.stack([colors, (0.5 + 0.3 * pattern).expand(3, 64, 64)]))
    assert scores[0] < 1e-6
    assert scores[1] > 0.9


@pytest.mark.parametrize("variant", L_SNR_VARIANTS)
def test_every_variant_is_in_unit_range_on_noise_and_on_drawn_scenes(drawn, noisy, variant):
    binary = (noisy > 0.5).float()
    for images in (drawn, noisy, binary, noisy * 1e-4):
        scores = l_snr(images, variant)
        assert scores.shape == (len(images),)
        assert scores.dtype == torch.float32
        assert ((scores >= 0) & (scores <= 1)).all()


@pytest.mark.parametrize("level", [0.0, 0.3, 0.96, 1.0])
@pytest.mark.parametrize("variant", L_SNR_VARIANTS)
def test_a_flat_picture_has_a_score_and_it_is_0_by_default(level, variant):
    flat = torch.full((2, 3, 64, 64), level)
    assert l_snr(flat, variant).isfinite().all()
    assert l_snr(flat).tolist() == pytest.approx([0, 0], abs=1e-6)


def test_noise_too_weak_to_be_seen_hardly_counts():
    flat = torch.full((1, 3, 64, 64), 0.5)
    noise = torch.randn(flat.shape, generator=torch.Generator().manual_seed(0))
    assert l_snr(flat + 1e-4 * noise) < 0.01
    assert l_snr(flat + 0.1 * noise) > 0.5


def test_the_more_noise_the_higher_and_the_more_blur_the_lower_the_default_score(drawn):
    noise = torch.randn(drawn.shape, generator=torch.Generator().manual_seed(0))
    ladder = [gaussian_blur(drawn, 2.0), gaussian_blur(drawn), drawn]
    ladder += [(drawn + amount * noise).clamp(0, 1) for amount in (0.05, 0.15, 0.4)]
    scores = torch.stack([l_snr(images) for images in ladder])
    assert (scores.diff(dim=0) > 0).all()


def test_l_snr_of_a_picture_does_not_depend_on_its_batch(drawn):
    large = torch.nn.functional.interpolate(drawn[:3], size=(640, 900), mode="bicubic").clamp(0, 1)
    assert large.shape[-2] * large.shape[-1] * 3 > PIXELS_AT_ONCE > drawn.shape[-1] ** 2 * 2
    torch.testing.assert_close(torch.cat([l_snr(image[None]) for image in large]), l_snr(large))
    for variant in L_SNR_VARIANTS:
        alone = torch.cat([l_snr(image[None], variant) for image in drawn])
        torch.testing.assert_close(alone, l_snr(drawn, variant), atol=1e-6, rtol=1e-5)


def test_half_precision_pictures_are_read_as_well(drawn):
    torch.testing.assert_close(l_snr(drawn.half()), l_snr(drawn), atol=1e-3, rtol=0.01)


@pytest.mark.parametrize("shape", [(3, 64, 64), (2, 1, 64, 64), (2, 64, 64, 3), (64, 64)])
def test_pictures_of_another_shape_are_refused_with_a_sentence(shape):
    with pytest.raises(ValueError, match=r"must be \(N, 3, H, W\).*got shape"):
        l_snr(torch.zeros(shape))


def test_an_unknown_variant_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="unknown L-SNR variant 'gaussian': choose one of residual, ") as error:
        l_snr(torch.zeros(1, 3, 64, 64), "gaussian")
    assert all(variant in str(error.value) for variant in L_SNR_VARIANTS)


# --- D-SIM and I-CLIP -----------------------------------------------------------------------------------------------


def test_a_target_against_itself_has_the_best_scores(scorer, drawn):
    scores = scorer.score(drawn, scorer.features(drawn))
    assert tuple(scores) == tuple(METRICS)
    torch.testing.assert_close(scores["d_sim"], torch.zeros(len(drawn)), atol=1e-5, rtol=0)
    torch.testing.assert_close(scores["i_clip"], torch.ones(len(drawn)), atol=1e-5, rtol=0)


@pytest.mark.parametrize("variant", L_SNR_VARIANTS)
def test_the_judges_read_l_snr_as_their_profile_says(scorer, random_profile, drawn, variant):
    assert scorer.l_snr == random_profile.l_snr
    scores = replace(scorer, l_snr=variant).score(drawn[:4], scorer.features(drawn[4:8]))
    torch.testing.assert_close(scores["l_snr"], l_snr(drawn[:4], variant))


def test_d_sim_is_one_minus_the_cosine_of_layout_embeddings(scorer, drawn, random_parts):
    scores = scorer.score(drawn[:8], scorer.features(drawn[8:]))["d_sim"].numpy()
    with torch.inference_mode():
        first, second = (random_parts["embedder"].embed(part).double().numpy() for part in (drawn[:8], drawn[8:]))
    cosine = [a @ b / np.sqrt((a @ a) * (b @ b)) for a, b in zip(first, second, strict=True)]
    expected = np.clip(1 - np.array(cosine), 0, 1)
    assert expected.std() > 0.01
    np.testing.assert_allclose(scores, expected, atol=5e-3)  # the scorer' weights went through float16


def test_i_clip_compares_the_embedded_captions_of_two_pictures(scorer, drawn):
    target = scorer.features(drawn.flip(0))
    scores = scorer.score(drawn, target)["i_clip"].numpy()
    captions = scorer.clip.caption(drawn)
    assert target.captions == captions[::-1]
    rows = scorer.clip.embed_texts(list(captions)).double().numpy()
    np.testing.assert_allclose(scores, (rows * rows[::-1]).sum(axis=1).clip(0, 1), atol=1e-5)
    assert np.unique(scores.round(4)).size > 2


def test_the_cheap_i_clip_compares_the_pictures_own_embeddings(scorer, drawn):
    cheap = replace(scorer, i_clip="image")
    target = cheap.features(drawn.flip(0))
    assert target.captions == ()
    rows = scorer.clip.embed_images(drawn).double().numpy()
    expected = (rows * rows[::-1]).sum(axis=1).clip(0, 1)
    np.testing.assert_allclose(cheap.score(drawn, target)["i_clip"].numpy(), expected, atol=1e-5)


@pytest.mark.parametrize("size", [1, 3, 16])
def test_scores_do_not_depend_on_the_batch(scorer, drawn, size):
    whole = scorer.score(drawn, scorer.features(drawn.flip(0)))
    targets = drawn.flip(0)
    for start in range(0, len(drawn), size):
        part = slice(start, start + size)
        scores = scorer.score(drawn[part], scorer.features(targets[part]))
        for name, values in scores.items():
            torch.testing.assert_close(values, whole[name][part], atol=1e-5, rtol=0)


def test_scores_are_float32_in_unit_range(scorer, drawn):
    noise = torch.rand(drawn.shape, generator=torch.Generator().manual_seed(1))
    for values in scorer.score(noise, scorer.features(drawn)).values():
        assert values.shape == (len(drawn),)
        assert values.dtype == torch.float32
        assert values.device.type == "cpu"
        assert ((values >= 0) & (values <= 1)).all()


def test_looking_leaves_the_pictures_alone(scorer, drawn):
    before = drawn.clone()
    scorer.score(drawn, scorer.features(drawn))
    assert torch.equal(drawn, before)


@pytest.mark.parametrize(("part", "file"), [("perceptual", "config.json"), ("clip", "open_clip_config.json")])
def test_judges_without_a_model_name_the_missing_file(random_profile, tmp_path, part, file):
    with pytest.raises(FileNotFoundError, match=file):
        load_scorer(replace(random_profile, **{part: str(tmp_path / "nothing")}))
