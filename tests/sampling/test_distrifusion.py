"""DistriFusion: exact while synchronous, then with one-step-old neighbours, and alike in one process and in several."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from safetensors.torch import load_file, save_file
from torch.multiprocessing import spawn

from bfkit.models.pipelines import load_pipeline
from bfkit.profiles import PROFILES, Profile
from bfkit.sampling.cost import flop_counter
from bfkit.sampling.distrifusion import distrifusion
from bfkit.sampling.generate import generate

PROMPTS = ["a white and empty wall", "two red circles on a beach", "a crowd in a park"]
BLOCKS = {"block_out_channels": (32, 64), "layers_per_block": 1, "norm_num_groups": 8, "sample_size": 16}
UNETS = {
    "Stable Diffusion 1": {
        **BLOCKS, "cross_attention_dim": 16, "attention_head_dim": 4,
        "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
    },
    "SDXL": {
        **BLOCKS, "cross_attention_dim": 16, "attention_head_dim": (2, 4), "use_linear_projection": True,
        "transformer_layers_per_block": (1, 2), "addition_embed_type": "text_time", "addition_time_embed_dim": 8,
        "projection_class_embeddings_input_dim": 6 * 8 + 16,
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
    },
    "Kandinsky 2.2": {
        **BLOCKS, "attention_head_dim": 4, "resnet_time_scale_shift": "scale_shift",
        "cross_attention_dim": 16, "encoder_hid_dim": 16, "encoder_hid_dim_type": "image_proj",
        "addition_embed_type": "image", "mid_block_type": "UNetMidBlock2DSimpleCrossAttn",
        "down_block_types": ("ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D"),
        "up_block_types": ("SimpleCrossAttnUpBlock2D", "ResnetUpsampleBlock2D"),
    },
}  # fmt: skip
UNETS["Kandinsky 2.2, attending to the text alone"] = {**UNETS["Kandinsky 2.2"], "only_cross_attention": True}


def pictures(pipe, profile, steps: int) -> torch.Tensor:
    return generate(pipe, PROMPTS, steps, profile=profile, seeds=[0, 1, 2])


# --- synchronous steps ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("patches", [2, 4])
@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_with_all_steps_synchronous_the_picture_is_the_plain_one(pipe, random_profile, patches, guidance):
    profile = replace(random_profile, guidance=guidance)
    plain = pictures(pipe, profile, 4)
    with distrifusion(pipe, patches, warmup=4):
        split = pictures(pipe, profile, 4)
    torch.testing.assert_close(split, plain, atol=2e-5, rtol=0)


@pytest.mark.parametrize("family", UNETS)
@torch.no_grad()
def test_any_unet_of_stable_diffusion_and_its_kin_is_split_exactly(pipe, family):
    """Convolutions as projections, the embeddings that SDXL adds, and Kandinsky's keys of picture and text together."""
    torch.manual_seed(0)
    unet, own = type(pipe.unet)(**UNETS[family]).eval(), pipe.unet
    text, added = torch.randn(2, 5, 16), {}
    if family == "SDXL":
        added = {"text_embeds": torch.randn(2, 16), "time_ids": torch.randn(2, 6)}
    if family.startswith("Kandinsky 2.2"):
        text, added = None, {"image_embeds": torch.randn(2, 16)}
    inputs = {"sample": torch.randn(2, 4, 16, 12), "timestep": torch.tensor(500), "encoder_hidden_states": text}
    inputs["added_cond_kwargs"] = added
    pipe.unet = unet
    try:
        plain = unet(**inputs).sample
        with distrifusion(pipe, 4, warmup=1):
            split = unet(**inputs).sample
            stale = unet(**{**inputs, "sample": torch.randn(2, 4, 16, 12)}, return_dict=False)[0]
    finally:
        pipe.unet = own
    torch.testing.assert_close(split, plain, atol=2e-5, rtol=0)
    assert stale.shape == plain.shape
    assert stale.isfinite().all()


# --- what is stale afterwards ---------------------------------------------------------------------------------------

SOFT, HARSH = 1.0, 0.01  # how much of the upper half is left in the second step


@torch.no_grad()
def two_steps(pipe, name: str, patches: int = 2, upper: float = SOFT) -> list[torch.Tensor]:
    """What a layer of the split UNet is given in a synchronous step and in the next, and what it then returns."""
    layer, given, returned = pipe.unet.get_submodule(name), [], []
    torch.manual_seed(0)
    text, first = torch.randn(2, 32, 128), torch.randn(2, 4, 16, 16)
    second = first + 0.3 * torch.randn(2, 4, 16, 16)
    second[:, :, :8] *= upper
    with (
        layer.register_forward_pre_hook(lambda _, args: given.append(args[0])),  # before the neighbours' rows come in
        distrifusion(pipe, patches, warmup=1),
        layer.register_forward_hook(lambda *hooked: returned.append(hooked[2])),
    ):
        for latent, timestep in ((first, 900), (second, 800)):
            pipe.unet(latent, torch.tensor(timestep), text)
    return [tensor.unflatten(0, (patches, -1)) for tensor in (*given, returned[1])]


def among_old(old: torch.Tensor, new: torch.Tensor, patch: int, dim: int) -> torch.Tensor:
    """The whole as one patch knows it: itself as it is now, the others as they were. (patches, N, ...) to (N, ...)."""
    return torch.cat([new[i] if i == patch else old[i] for i in range(len(old))], dim=dim)


@pytest.mark.parametrize("patches", [2, 4])
@pytest.mark.parametrize(
    "name",
    [
        "down_blocks.0.resnets.0.conv1",
        "down_blocks.0.downsamplers.0.conv",
        "mid_block.resnets.0.conv2",
        "up_blocks.0.upsamplers.0.conv",
        "conv_out",
    ],
)
@torch.no_grad()
def test_a_convolution_sees_the_neighbours_rows_of_the_step_before(pipe, name, patches):
    old, new, returned = two_steps(pipe, name, patches)
    layer = pipe.unet.get_submodule(name)
    assert layer.padding == (1, 1)
    for patch in range(patches):
        expected = layer(among_old(old, new, patch, dim=2)).chunk(patches, dim=2)[patch]
        torch.testing.assert_close(returned[patch], expected, atol=1e-5, rtol=0)
    fresh = layer(torch.cat(list(new), dim=2)).chunk(patches, dim=2)
    assert (returned[-1] - fresh[-1]).abs().max() > 1e-3, "the test can tell stale rows from fresh ones"


@torch.no_grad()
def test_the_first_convolution_sees_the_latent_as_it_is(pipe):
    _, new, returned = two_steps(pipe, "conv_in", patches=4)
    expected = pipe.unet.conv_in(torch.cat(list(new), dim=2)).chunk(4, dim=2)
    torch.testing.assert_close(returned, torch.stack(expected), atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", ["down_blocks.1", "mid_block", "up_blocks.1"])
@torch.no_grad()
def test_self_attention_sees_the_other_patches_of_the_step_before(pipe, name):
    name += ".attentions.0.transformer_blocks.0.attn1"
    old, new, returned = two_steps(pipe, name)
    layer = pipe.unet.get_submodule(name)
    for patch in range(2):
        expected = layer(new[patch], encoder_hidden_states=among_old(old, new, patch, dim=1))
        torch.testing.assert_close(returned[patch], expected, atol=1e-5, rtol=0)
    fresh = layer(new[0], encoder_hidden_states=torch.cat(list(new), dim=1))
    assert (returned[0] - fresh).abs().max() > 1e-4, "the test can tell stale keys from fresh ones"


@pytest.mark.parametrize("upper", [SOFT, HARSH])
@torch.no_grad()
def test_group_normalisation_corrects_the_statistics_of_the_step_before(pipe, upper):
    """Eq. 2 of the paper, group by group; where the upper half fades, it gives a negative variance."""
    name = "down_blocks.0.resnets.0.norm1"
    old, new, returned = two_steps(pipe, name, upper=upper)
    layer, fallbacks = pipe.unet.get_submodule(name), 0
    for patch in range(2):
        for picture in range(2):
            groups = zip(old[:, picture].chunk(8, dim=1), new[patch, picture].chunk(8), strict=True)
            for index, (before, now) in enumerate(groups):
                mean = before.mean() + now.mean() - before[patch].mean()
                square = before.square().mean() + now.square().mean() - before[patch].square().mean()
                variance = square - mean**2
                if variance < 0:
                    fallbacks, variance = fallbacks + 1, now.var(correction=0)
                channels = slice(4 * index, 4 * index + 4)
                expected = (now - mean) / (variance + layer.eps) ** 0.5 * layer.weight[channels, None, None]
                expected = expected + layer.bias[channels, None, None]
                torch.testing.assert_close(returned[patch, picture, channels], expected, atol=1e-4, rtol=1e-4)
    assert (fallbacks > 0) == (upper == HARSH)


@torch.no_grad()
def test_attention_to_the_text_and_one_by_one_convolutions_stay_local(pipe):
    for name in ("mid_block.attentions.0.transformer_blocks.0.attn2.to_k", "up_blocks.2.resnets.0.conv_shortcut"):
        _, new, returned = two_steps(pipe, name)
        layer = pipe.unet.get_submodule(name)
        for patch in range(2):
            torch.testing.assert_close(returned[patch], layer(new[patch]), atol=1e-5, rtol=0)


# --- pictures -------------------------------------------------------------------------------------------------------


def test_steps_after_the_warmup_are_approximate_and_nearer_with_a_longer_one(pipe, random_profile):
    plain, errors = pictures(pipe, random_profile, 6), []
    for warmup in (1, 3, 5):
        with distrifusion(pipe, 2, warmup=warmup):
            errors.append((pictures(pipe, random_profile, 6) - plain).abs().mean().item())
    assert errors[0] > errors[1] > errors[2] > 1e-5


def test_a_picture_does_not_depend_on_the_one_before_it(pipe, random_profile):
    with distrifusion(pipe, 2, warmup=1):
        alone = pictures(pipe, random_profile, 3)
        for other, seeds in ((["a night sky"], [9]), (PROMPTS[::-1], [7, 8, 9])):  # of another batch size, and the same
            generate(pipe, other, 3, profile=random_profile, seeds=seeds)
            assert torch.equal(pictures(pipe, random_profile, 3), alone)


# --- several processes ----------------------------------------------------------------------------------------------


def draw_counted(pipe, profile, patches: int, group=None) -> dict[str, torch.Tensor]:
    """A picture in one synchronous step and two others, and the operations of this process's UNet."""
    with distrifusion(pipe, patches, warmup=1, group=group), flop_counter() as counter:
        drawn = generate(pipe, PROMPTS[1:2], 3, profile=profile)
    return {"picture": drawn, "flops": torch.tensor(sum(counter.flop_counts["UNet2DConditionModel"].values()))}


def draw_in_a_process(rank: int, profiles: dict[int, Profile], folder: Path) -> None:
    """One of four processes, of which as many as there are patches draw together; each saves what it got."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=4)
    for patches, profile in profiles.items():
        pipe, group = load_pipeline(profile), dist.new_group(range(patches))
        if rank < patches:
            save_file(draw_counted(pipe, profile, patches, group), folder / f"{patches}-{rank}.safetensors")
        with (
            pytest.raises(ValueError, match="3 patches for 4 processes"),
            distrifusion(pipe, 3, group=dist.group.WORLD),
        ):
            pass
    dist.barrier()
    dist.destroy_process_group()


@pytest.mark.slow
def test_several_processes_draw_the_picture_of_one_and_share_its_cost(random_profile, tmp_path):
    """Two on the trained miniature, four on the untrained one."""
    profiles = {2: PROFILES["mini"], 4: random_profile}
    spawn(draw_in_a_process, (profiles, tmp_path), nprocs=4)
    for patches, profile in profiles.items():
        pipe = load_pipeline(profile)
        plain, expected = generate(pipe, PROMPTS[1:2], 3, profile=profile), draw_counted(pipe, profile, patches)
        assert (expected["picture"] - plain).abs().max() > 1e-3, "steps after the first are approximate"
        for rank in range(patches):
            found = load_file(tmp_path / f"{patches}-{rank}.safetensors")
            torch.testing.assert_close(found["picture"], expected["picture"], atol=2e-5, rtol=0)
            assert found["flops"] * patches == expected["flops"]


# --- what is refused ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("patches", "words"),
    [(3, "3 patches do not divide the 4 rows .* is 2"), (5, "is 4"), (8, "is 4")],
)
def test_patches_that_do_not_divide_the_picture_are_refused_naming_the_most_that_do(
    pipe, random_profile, patches, words
):
    plain = pictures(pipe, random_profile, 2)
    with distrifusion(pipe, patches), pytest.raises(ValueError, match=words):
        pictures(pipe, random_profile, 2)
    assert torch.equal(pictures(pipe, random_profile, 2), plain)


@pytest.mark.parametrize(("patches", "warmup", "words"), [(1, 5, "splits nothing"), (2, 0, "nothing to begin with")])
def test_settings_that_do_nothing_or_cannot_begin_are_refused(pipe, patches, warmup, words):
    with pytest.raises(ValueError, match=words), distrifusion(pipe, patches, warmup):
        pass


def test_a_layer_that_cannot_be_split_is_refused_by_name(pipe):
    own, kind = pipe.unet, type(pipe.unet)
    pipe.unet = kind(**UNETS["Stable Diffusion 1"], downsample_padding=0)
    try:
        with pytest.raises(ValueError, match=r"downsamplers\.0\.conv of this UNet"), distrifusion(pipe, 2):
            pass
        pipe.unet = kind(**UNETS["Stable Diffusion 1"])
        pipe.unet.fuse_qkv_projections()
        with pytest.raises(ValueError, match=r"attn1 of this UNet.*unfuse_qkv"), distrifusion(pipe, 2):
            pass
    finally:
        pipe.unet = own
