"""The miniature's models: the classes of Stable Diffusion 2, open_clip's CoCa and a DreamSim-like embedder, small.

Every ``build_*`` returns an untrained model; ``save_*`` writes the format its full-size twin is published in
(diffusers pipeline folder, open_clip ``local-dir:``), as float16 safetensors.
"""

import copy
import json
from pathlib import Path
from typing import Any

from diffusers import (
    AutoencoderKL,
    DDPMScheduler,
    EulerDiscreteScheduler,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from open_clip.coca_model import CoCa
from safetensors.torch import save_file
from tokenizers import Tokenizer, normalizers, pre_tokenizers, processors
from tokenizers.models import WordLevel
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel, PreTrainedTokenizerFast

from bfkit.models.perceptual import PerceptualEmbedder, half_precision

from .captions import VOCABULARY
from .scene import GROUNDS, SHAPE_NAMES

IMAGE_SIZE = 64
LATENT_CHANNELS = 4
UNET_WIDTHS = (32, 64, 128)  # at 16 x 16, 8 x 8 and 4 x 4
TEXT_LENGTH = 32  # tokens, the two end marks included
SPECIAL = {"pad_token": "<pad>", "unk_token": "<unk>", "bos_token": "<start>", "eos_token": "<end>"}
NOISE_SCHEDULE = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}  # Stable Diffusion's
CLIP_CONFIG = {
    "embed_dim": 128,
    "custom_text": True,
    "vision_cfg": {"image_size": IMAGE_SIZE, "patch_size": 8, "width": 160, "head_width": 32, "layers": 5,
                   "output_tokens": True},
    "text_cfg": {"context_length": TEXT_LENGTH, "width": 160, "heads": 5, "layers": 3, "embed_cls": True,
                 "output_tokens": True},
    "multimodal_cfg": {"context_length": TEXT_LENGTH, "width": 160, "heads": 5, "layers": 2, "dim_head": 32},
}  # fmt: skip


def build_tokenizer() -> PreTrainedTokenizerFast:
    """One token a word of the world, lower case, between <start> and <end>; a foreign word is <unk>."""
    tokens = [*SPECIAL.values(), ",", *VOCABULARY]
    tokenizer = Tokenizer(WordLevel({token: i for i, token in enumerate(tokens)}, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    ends = [(token, tokenizer.token_to_id(token)) for token in ("<start>", "<end>")]
    tokenizer.post_processor = processors.TemplateProcessing(single="<start> $A <end>", special_tokens=ends)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=TEXT_LENGTH, **SPECIAL)


def build_autoencoder() -> AutoencoderKL:
    """Pictures (3, 64, 64) in [-1, 1] to latents (4, 16, 16) and back."""
    blocks: dict[str, Any] = {  # of which diffusers' hints allow one
        "down_block_types": ("DownEncoderBlock2D",) * 3,
        "up_block_types": ("UpDecoderBlock2D",) * 3,
        "block_out_channels": (24, 48, 64),
    }
    return AutoencoderKL(
        **blocks,
        layers_per_block=1,
        latent_channels=LATENT_CHANNELS,
        norm_num_groups=8,
        sample_size=IMAGE_SIZE,
        use_quant_conv=False,
        use_post_quant_conv=False,
        mid_block_add_attention=False,
    )


def build_text_encoder() -> CLIPTextModel:
    tokenizer = build_tokenizer()
    ends: dict[str, Any] = {
        f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("bos", "eos", "pad")
    }
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=128,
            intermediate_size=512,
            num_hidden_layers=4,
            num_attention_heads=4,
            max_position_embeddings=TEXT_LENGTH,
            projection_dim=128,
            **ends,
        )
    )


def build_unet() -> UNet2DConditionModel:
    """The denoiser: attention to itself and to the text at 16 x 16, 8 x 8 and 4 x 4."""
    heads: dict[str, Any] = {"attention_head_dim": (1, 2, 4)}  # their number; diffusers' hints allow one for all
    return UNet2DConditionModel(
        sample_size=IMAGE_SIZE // 4,
        in_channels=LATENT_CHANNELS,
        out_channels=LATENT_CHANNELS,
        down_block_types=("CrossAttnDownBlock2D",) * 3,
        up_block_types=("CrossAttnUpBlock2D",) * 3,
        block_out_channels=UNET_WIDTHS,
        **heads,
        layers_per_block=1,
        cross_attention_dim=128,
        norm_num_groups=8,
        use_linear_projection=True,
    )


def training_scheduler() -> DDPMScheduler:
    return DDPMScheduler(prediction_type="v_prediction", clip_sample=False, **NOISE_SCHEDULE)


def build_clip() -> CoCa:
    """Embeds texts and pictures (normalised as ``clip_normalize`` does) into 128 numbers, and captions pictures."""
    config = {key: value for key, value in _clip_config().items() if key != "custom_text"}
    model = CoCa(**config)
    head = model.text_decoder.text_projection  # open_clip leaves it as the memory happened to be
    nn.init.normal_(head, std=head.shape[0] ** -0.5)
    return model


def _clip_config() -> dict:
    vocabulary = {"vocab_size": len(build_tokenizer())}
    text = {**CLIP_CONFIG["text_cfg"], **vocabulary, "hf_tokenizer_name": "."}
    return {**CLIP_CONFIG, "text_cfg": text, "multimodal_cfg": {**CLIP_CONFIG["multimodal_cfg"], **vocabulary}}


# what the classifier tells apart: the ground, and which shape there is most of
CLASSES = tuple((ground, shape) for ground in GROUNDS for shape in ("nothing", *SHAPE_NAMES))


def build_classifier() -> PerceptualEmbedder:
    """The embedder's network with one number a class: its embeddings are logits (N, 90)."""
    return PerceptualEmbedder(embed_dim=len(CLASSES))


def save_pipeline(vae: AutoencoderKL, text_encoder: CLIPTextModel, unet: UNet2DConditionModel, folder: Path) -> None:
    """Write a diffusers ``StableDiffusionPipeline`` folder, Euler with linspace spacing, no safety checker."""
    scheduler = EulerDiscreteScheduler(
        prediction_type="v_prediction", timestep_spacing="linspace", steps_offset=1, **NOISE_SCHEDULE
    )
    parts: dict[str, Any] = {  # diffusers' hints want every part, and CLIP's own tokenizer
        "vae": copy.deepcopy(vae).half(),
        "text_encoder": copy.deepcopy(text_encoder).half(),
        "tokenizer": build_tokenizer(),
        "unet": copy.deepcopy(unet).half(),
        "scheduler": scheduler,
        "safety_checker": None,
        "feature_extractor": None,
    }
    pipeline = StableDiffusionPipeline(**parts, requires_safety_checker=False)
    pipeline.save_pretrained(folder, safe_serialization=True)


def save_clip(model: CoCa, folder: Path) -> None:
    """Write an open_clip ``local-dir:`` folder with its tokenizer."""
    folder.mkdir(parents=True, exist_ok=True)
    preprocess = {"mean": [0.5] * 3, "std": [0.5] * 3}
    config = {"model_cfg": _clip_config(), "preprocess_cfg": preprocess}
    (folder / "open_clip_config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    save_file(half_precision(model), folder / "open_clip_model.safetensors")
    build_tokenizer().save_pretrained(folder)
