"""A tiny pipeline of every family in ``bfkit.profiles``: the published classes, random weights, the miniature's words.

What they draw means nothing; that everything runs on them as on the published ones does.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import diffusers
import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    UNet2DConditionModel,
)
from transformers import (
    CLIPImageProcessor,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
    T5Config,
    T5EncoderModel,
)

from bfkit.models.pipelines import without_progress_bars
from bfkit.profiles import PROFILES, Profile

from .models import NOISE_SCHEDULE, TEXT_LENGTH, build_tokenizer

SIZE = 16  # pixels; latents are 8 x 8
WIDTH = 32  # of text embeddings


def _make(kind: type, **parts: Any) -> Any:
    """An object of diffusers or transformers; their hints name one class for each part where others serve, too."""
    return kind(**parts)


def _tokenizer() -> Any:
    return build_tokenizer()


def _clip_text(projected: bool) -> Any:
    tokenizer = _tokenizer()
    ends = {f"{end}_token_id": getattr(tokenizer, f"{end}_token_id") for end in ("bos", "eos", "pad")}
    config = CLIPTextConfig(
        vocab_size=len(tokenizer), hidden_size=WIDTH, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=4, max_position_embeddings=TEXT_LENGTH, projection_dim=WIDTH, **ends)  # fmt: skip
    return (CLIPTextModelWithProjection if projected else CLIPTextModel)(config)


def _t5(width: int) -> Any:
    config = _make(
        T5Config,
        vocab_size=len(build_tokenizer()), d_model=width, d_kv=8, d_ff=64, num_layers=1, num_heads=4,
        tie_word_embeddings=True)  # fmt: skip
    return T5EncoderModel(config)


def _vae(**options: Any) -> AutoencoderKL:
    return _make(
        AutoencoderKL,
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        block_out_channels=(16, 32),
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=8,
        sample_size=SIZE,
        **options,
    )


def _unet(text_width: int, **options: Any) -> UNet2DConditionModel:
    return UNet2DConditionModel(**{
        "sample_size": 8, "in_channels": 4, "out_channels": 4, "block_out_channels": (32, 64), "layers_per_block": 1,
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
        "cross_attention_dim": text_width, "attention_head_dim": (2, 4), "norm_num_groups": 8,
        "use_linear_projection": True, **options,
    })  # fmt: skip


def _stable_diffusion(prediction: str) -> diffusers.DiffusionPipeline:
    return _make(
        diffusers.StableDiffusionPipeline,
        vae=_vae(),
        text_encoder=_clip_text(projected=False),
        tokenizer=_tokenizer(),
        unet=_unet(WIDTH),
        scheduler=EulerDiscreteScheduler(
            prediction_type=prediction, timestep_spacing="leading", steps_offset=1, **NOISE_SCHEDULE
        ),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def sd2() -> diffusers.DiffusionPipeline:
    return _stable_diffusion("v_prediction")


def sd15() -> diffusers.DiffusionPipeline:
    return _stable_diffusion("epsilon")


def sdxl() -> diffusers.DiffusionPipeline:
    return _make(
        diffusers.StableDiffusionXLPipeline,
        vae=_vae(),
        text_encoder=_clip_text(projected=False),
        text_encoder_2=_clip_text(projected=True),
        tokenizer=_tokenizer(),
        tokenizer_2=_tokenizer(),
        unet=_unet(
            2 * WIDTH,
            addition_embed_type="text_time",
            addition_time_embed_dim=8,
            projection_class_embeddings_input_dim=6 * 8 + WIDTH,
            transformer_layers_per_block=(1, 2),
        ),
        scheduler=EulerDiscreteScheduler(timestep_spacing="leading", steps_offset=1, **NOISE_SCHEDULE),
        add_watermarker=False,
    )


def sd3() -> diffusers.DiffusionPipeline:
    transformer = diffusers.SD3Transformer2DModel(
        sample_size=8, patch_size=1, in_channels=4, out_channels=4, num_layers=1, attention_head_dim=8,
        num_attention_heads=4, caption_projection_dim=32, joint_attention_dim=2 * WIDTH,
        pooled_projection_dim=2 * WIDTH)  # fmt: skip
    return _make(
        diffusers.StableDiffusion3Pipeline,
        transformer=transformer,
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
        vae=_vae(use_quant_conv=False, use_post_quant_conv=False, shift_factor=0.0609, scaling_factor=1.5),
        text_encoder=_clip_text(projected=True),
        tokenizer=_tokenizer(),
        text_encoder_2=_clip_text(projected=True),
        tokenizer_2=_tokenizer(),
        text_encoder_3=_t5(2 * WIDTH),
        tokenizer_3=_tokenizer(),
    )


def flux() -> diffusers.DiffusionPipeline:
    transformer = diffusers.FluxTransformer2DModel(
        patch_size=1, in_channels=16, num_layers=1, num_single_layers=1, attention_head_dim=16,
        num_attention_heads=2, joint_attention_dim=WIDTH, pooled_projection_dim=WIDTH, axes_dims_rope=(4, 4, 8),
        guidance_embeds=True,
    )  # fmt: skip
    return _make(
        diffusers.FluxPipeline,
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=True),
        vae=_vae(use_quant_conv=False, use_post_quant_conv=False, shift_factor=0.1159, scaling_factor=0.3611),
        text_encoder=_clip_text(projected=False),
        tokenizer=_tokenizer(),
        text_encoder_2=_t5(WIDTH),
        tokenizer_2=_tokenizer(),
        transformer=transformer,
    )


def pixart() -> diffusers.DiffusionPipeline:
    transformer = diffusers.PixArtTransformer2DModel(
        sample_size=8, num_layers=1, patch_size=2, attention_head_dim=8, num_attention_heads=4,
        caption_channels=WIDTH, in_channels=4, out_channels=8, cross_attention_dim=32,
    )  # fmt: skip
    return _make(
        diffusers.PixArtSigmaPipeline,
        tokenizer=_tokenizer(),
        text_encoder=_t5(WIDTH),
        vae=_vae(),
        transformer=transformer,
        scheduler=DPMSolverMultistepScheduler(beta_start=0.0001, beta_end=0.02),
    )


def kandinsky() -> diffusers.DiffusionPipeline:
    unet = _unet(
        WIDTH,
        out_channels=8,
        addition_embed_type="image",
        encoder_hid_dim=WIDTH,
        encoder_hid_dim_type="image_proj",
        down_block_types=("ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D"),
        up_block_types=("SimpleCrossAttnUpBlock2D", "ResnetUpsampleBlock2D"),
        mid_block_type="UNetMidBlock2DSimpleCrossAttn",
        attention_head_dim=4,
        resnet_time_scale_shift="scale_shift",
    )
    movq = diffusers.VQModel(
        block_out_channels=(32, 64),
        down_block_types=("DownEncoderBlock2D", "AttnDownEncoderBlock2D"),
        up_block_types=("AttnUpDecoderBlock2D", "UpDecoderBlock2D"),
        latent_channels=4,
        layers_per_block=1,
        norm_num_groups=32,
        norm_type="spatial",
        num_vq_embeddings=12,
        vq_embed_dim=4,
    )
    with torch.no_grad():
        movq.decoder.conv_out.weight *= 0.05  # untrained, its pictures would be black or white everywhere
    prior = diffusers.PriorTransformer(
        num_attention_heads=2, attention_head_dim=12, embedding_dim=WIDTH, num_layers=1, num_embeddings=TEXT_LENGTH
    )
    with torch.no_grad():
        prior.clip_std.fill_(1)  # of the training pictures' embeddings; unset, it would erase what the prior says
    vision = CLIPVisionConfig(hidden_size=WIDTH, intermediate_size=64, num_hidden_layers=1, num_attention_heads=4,
                              image_size=32, patch_size=16, projection_dim=WIDTH)  # fmt: skip
    return _make(
        diffusers.KandinskyV22CombinedPipeline,
        unet=unet,
        scheduler=DDIMScheduler(beta_schedule="linear", beta_start=0.00085, beta_end=0.012, clip_sample=False),
        movq=movq,
        prior_prior=prior,
        prior_image_encoder=CLIPVisionModelWithProjection(vision),
        prior_text_encoder=_clip_text(projected=True),
        prior_tokenizer=_tokenizer(),
        prior_scheduler=diffusers.UnCLIPScheduler(
            variance_type="fixed_small_log", prediction_type="sample", clip_sample_range=5.0
        ),
        prior_image_processor=CLIPImageProcessor(crop_size=32, size={"shortest_edge": 32}),
    )


BUILDERS = {build.__name__: build for build in (sd2, sd15, sdxl, sd3, flux, pixart, kandinsky)}


def save_tiny(name: str, folder: Path) -> Profile:
    """Save the family's tiny pipeline; returns its profile, with that folder, small pictures and float32.

    Pictures are scored, and curves predicted, as in the miniature.
    """
    torch.manual_seed(0)
    with without_progress_bars():
        BUILDERS[name]().save_pretrained(folder)
    mini = PROFILES["mini"]
    borrowed = {key: getattr(mini, key) for key in ("clip", "perceptual", "classifier", "l_snr", "predictor")}
    return replace(
        PROFILES[name], pipeline=str(folder), image_size=SIZE, dtype="float32", batch=4, captions="world", **borrowed
    )
