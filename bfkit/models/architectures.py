"""Published denoisers and decoders as data: built from these with random weights, they cost what the real ones cost.

Each entry is the ``config.json`` of the repository named beside it, less what is diffusers' default. The parameter
counts are those of the published weights, and a test compares.
"""

from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel

Model = TypeVar("Model", bound=torch.nn.Module)

_SD_UNET = {
    "sample_size": 64,
    "block_out_channels": (320, 640, 1280, 1280),
    "cross_attention_dim": 768,
    "attention_head_dim": 8,
}
_SD_VAE = {
    "block_out_channels": (128, 256, 512, 512),
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "layers_per_block": 2,
    "latent_channels": 4,
}


@dataclass(frozen=True)
class Architecture:
    """A UNet's settings, its VAE's, and how many parameters the published UNet has; ``tokens`` are a prompt's."""

    source: str
    unet: dict[str, Any]
    vae: dict[str, Any]
    parameters: int
    tokens: int = 77


ARCHITECTURES: dict[str, Architecture] = {
    "sd2": Architecture(
        "stabilityai/stable-diffusion-2-1",
        {
            **_SD_UNET,
            "sample_size": 96,
            "cross_attention_dim": 1024,
            "attention_head_dim": (5, 10, 20, 20),
            "use_linear_projection": True,
        },
        {**_SD_VAE, "sample_size": 768},
        865_910_724,
    ),
    "sd15": Architecture(
        "stable-diffusion-v1-5/stable-diffusion-v1-5", _SD_UNET, {**_SD_VAE, "sample_size": 512}, 859_520_964
    ),
    "sdxl": Architecture(
        "stabilityai/stable-diffusion-xl-base-1.0",
        {
            "sample_size": 128,
            "block_out_channels": (320, 640, 1280),
            "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
            "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
            "transformer_layers_per_block": (1, 2, 10),
            "cross_attention_dim": 2048,
            "attention_head_dim": (5, 10, 20),
            "use_linear_projection": True,
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": 256,
            "projection_class_embeddings_input_dim": 2816,
        },
        {**_SD_VAE, "sample_size": 1024},
        2_567_463_684,
    ),
}


def get_architecture(name: str) -> Architecture:
    """The architecture of a profile of that name; ValueError if it is not known."""
    if name not in ARCHITECTURES:
        raise ValueError(
            f"the architecture of {name!r} is not listed (known: {', '.join(ARCHITECTURES)}): name a local pipeline "
            "in the profile, and it is read from there"
        )
    return ARCHITECTURES[name]


def _build(kind: type[Model], config: dict[str, Any], device: torch.device | str, dtype: torch.dtype) -> Model:
    with torch.device(device):
        module = kind(**config)
    torch.nn.Module.to(module, dtype)  # in place; diffusers' own ``to`` warns of nothing
    return module.eval().requires_grad_(False)


def build_unet(
    name: str, device: torch.device | str = "meta", dtype: torch.dtype = torch.float32
) -> UNet2DConditionModel:
    """A published UNet with random weights; on the device ``meta`` it has none, and takes neither memory nor time."""
    return _build(UNet2DConditionModel, get_architecture(name).unet, device, dtype)


def build_vae(name: str, device: torch.device | str = "meta", dtype: torch.dtype = torch.float32) -> AutoencoderKL:
    """The VAE that goes with it, likewise."""
    return _build(AutoencoderKL, get_architecture(name).vae, device, dtype)


def unet_inputs(unet: UNet2DConditionModel, name: str, rows: int, size: int) -> dict[str, Any]:
    """Arguments for one call of ``build_unet(name)``, all zeros: ``rows`` latents of pictures of ``size`` pixels.

    Guidance takes two rows a picture.
    """
    kind, config = {"device": unet.device, "dtype": unet.dtype}, unet.config
    side = size // 2 ** (len(get_architecture(name).vae["block_out_channels"]) - 1)
    inputs: dict[str, Any] = {
        "sample": torch.zeros(rows, config["in_channels"], side, side, **kind),
        "timestep": torch.tensor(500, device=unet.device),
        "encoder_hidden_states": torch.zeros(
            rows, get_architecture(name).tokens, config["cross_attention_dim"], **kind
        ),
    }
    if config["addition_embed_type"] == "text_time":
        pooled = config["projection_class_embeddings_input_dim"] - 6 * config["addition_time_embed_dim"]
        inputs["added_cond_kwargs"] = {
            "text_embeds": torch.zeros(rows, pooled, **kind),
            "time_ids": torch.zeros(rows, 6, **kind),
        }
    return inputs
