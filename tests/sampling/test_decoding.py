"""Decoding goes its own way: slices that no kernel refuses, float32 where half precision breaks, all left as it was."""

from dataclasses import replace

import families
import pytest
import torch

from bfkit.models.architectures import build_vae
from bfkit.models.pipelines import load_pipeline
from bfkit.profiles import PROFILES
from bfkit.sampling.conditioning import embed
from bfkit.sampling.decoding import most_at_once
from bfkit.sampling.generate import generate, sample

PROMPTS = ["a red circle", "three blue stars on a yellow background"]


@pytest.fixture
def half(random_profile):
    """The miniature's pipeline in half precision."""
    return load_pipeline(replace(random_profile, dtype="float16"))


def test_stable_diffusion_2_decodes_14_pictures_at_once():
    """Of 15, the last upsampling has more than 2^31 outputs, which CUDA's kernel for channels-last maps refuses."""
    assert most_at_once(build_vae("sd2"), PROFILES["sd2"].image_size) == 14


def test_no_slice_is_larger_than_that(pipe, random_profile, monkeypatch):
    expected, decoded, decode = generate(pipe, PROMPTS, 1, profile=random_profile), [], pipe.vae.decode

    def watched(latents, *args, **kwargs):
        decoded.append(len(latents))
        return decode(latents, *args, **kwargs)

    monkeypatch.setattr(pipe.vae, "decode", watched)
    monkeypatch.setattr("bfkit.sampling.decoding.MOST_ELEMENTS", 2 * 64 * 64 * max(pipe.vae.config.block_out_channels))
    pictures = generate(pipe, PROMPTS * 3, 1, profile=random_profile, batch=6)
    assert max(decoded) < 6 == sum(decoded)
    torch.testing.assert_close(pictures[:2], expected, atol=1e-4, rtol=0)


def test_a_decoder_that_overflows_in_half_precision_decodes_again_in_float32(half, random_profile):
    with torch.no_grad():
        half.vae.decoder.conv_in.weight *= 300_000  # its blocks normalise what comes in, but its squares pass 65504
    conditioning = embed(half, random_profile, PROMPTS, [0, 1])
    latents = torch.full((1, 4, 16, 16), 4.0, dtype=torch.float16)
    assert not half.vae.decode(latents).sample.isfinite().all(), "it does overflow"
    pictures = sample(half, random_profile, conditioning, 2)
    assert half.vae.dtype == torch.float16
    expected = sample(half.to(torch.float32), random_profile, conditioning.in_float32(), 2)
    torch.testing.assert_close(pictures, expected, atol=0.02, rtol=0)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*upcast_vae.*:FutureWarning")  # diffusers' own pipeline calls it
def test_sdxl_s_decoder_is_in_its_own_precision_after_it_ran_out_of_memory(tmp_path, monkeypatch):
    """Its pipeline decodes in float32, and would leave the autoencoder so."""
    profile = replace(families.save_tiny("sdxl", tmp_path), dtype="float16")
    pipe = load_pipeline(profile)
    expected = generate(pipe, PROMPTS, 1, profile=profile)
    with monkeypatch.context() as patch:
        patch.setattr(pipe.vae, "decode", lambda *_, **__: (_ for _ in ()).throw(torch.OutOfMemoryError("no memory")))
        with pytest.raises(ValueError, match="too little memory for one picture of sdxl"):
            generate(pipe, PROMPTS, 1, profile=profile)
    assert pipe.vae.dtype == torch.float16
    torch.testing.assert_close(generate(pipe, PROMPTS, 1, profile=profile), expected, atol=0.01, rtol=0)
