"""The published architectures, built without their weights, are those that were published."""

import pytest
import torch

from bfkit.models import architectures
from bfkit.models.architectures import ARCHITECTURES, build_unet, build_vae, unet_inputs
from bfkit.profiles import PROFILES
from bfkit.sampling import cost


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_unet_has_as_many_parameters_as_the_published_weights_and_a_vae_too(name):
    unet, vae = build_unet(name), build_vae(name)
    assert sum(weights.numel() for weights in unet.parameters()) == ARCHITECTURES[name].parameters
    assert sum(weights.numel() for weights in vae.parameters()) == 83_653_863
    assert {weights.device.type for weights in unet.parameters()} == {"meta"}, "none of them takes memory"


@pytest.mark.parametrize(
    ("name", "tflops"),
    [
        ("sd2", 4.298),  # guided, at 768 pixels
        ("sd15", 2 * 0.803),  # at 512; published as 0.4 T multiply-adds for one row
        ("sdxl", 2 * 6.76),  # at 1,024
    ],
)
def test_a_guided_evaluation_counts_what_is_known_of_it(name, tflops):
    unet = build_unet(name)
    inputs = unet_inputs(unet, name, 2, PROFILES[name].image_size)
    assert cost.tflops_of(unet, (), inputs) == pytest.approx(tflops, rel=5e-4)


@torch.inference_mode()
def test_a_unet_with_random_weights_runs_in_the_dtype_asked_for(monkeypatch):
    small = {**ARCHITECTURES["sdxl"].unet, "block_out_channels": (32, 64), "attention_head_dim": (4, 8)}
    small |= {key: small[key][1:] for key in ("down_block_types", "transformer_layers_per_block")}
    small |= {"up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D"), "transformer_layers_per_block": (1, 1)}
    known = architectures.Architecture("", small, ARCHITECTURES["sdxl"].vae, 0)
    monkeypatch.setitem(ARCHITECTURES, "small", known)
    unet = build_unet("small", "cpu", torch.bfloat16)
    output = unet(**unet_inputs(unet, "small", 2, 64)).sample
    assert output.shape == (2, 4, 8, 8)
    assert output.dtype == torch.bfloat16


def test_an_architecture_that_is_not_listed_is_refused_with_a_way_out():
    with pytest.raises(ValueError, match=r"'flux' is not listed \(known: sd2, sd15, sdxl\): name a local pipeline"):
        build_unet("flux")
