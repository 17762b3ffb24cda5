"""The real stack at its smallest: the miniature's models, untrained, saved and loaded as the trained ones are."""

import os
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")  # the tests are of the CPU, on every machine; before torch is loaded

import pytest
import torch

from bfkit.metrics.scorer import Scorer, load_scorer
from bfkit.mini import models
from bfkit.models.perceptual import PerceptualEmbedder, save_embedder
from bfkit.models.pipelines import load_pipeline
from bfkit.profiles import PROFILES, Profile


@torch.no_grad()
def make_talkative(clip: torch.nn.Module) -> None:
    """Let an untrained CoCa say something else, up to five words, about different pictures."""
    tokenizer = models.build_tokenizer()
    torch.nn.init.normal_(clip.text_decoder.text_projection, std=0.1)
    clip.text_decoder.text_projection[:, tokenizer.all_special_ids] = 0
    clip.visual.positional_embedding *= 0.1
    clip.text.token_embedding.weight *= 20
    for block in clip.text_decoder.cross_attn:
        block.attn.out_proj.weight *= 4
    ending = torch.nn.functional.normalize(torch.randn(clip.text.positional_embedding.shape[1]), dim=0)
    clip.text.positional_embedding[5:] += 10 * ending  # from the sixth word on, <end> is the likeliest
    clip.text_decoder.text_projection[:, tokenizer.eos_token_id] = 3 * ending


@pytest.fixture(scope="session")
def random_parts() -> dict[str, torch.nn.Module]:
    """Untrained models as they are before saving, in float32; the same ones in every run."""
    torch.manual_seed(0)
    parts = {
        "vae": models.build_autoencoder(),
        "text_encoder": models.build_text_encoder(),
        "unet": models.build_unet(),
        "clip": models.build_clip(),
        "embedder": PerceptualEmbedder(),
    }
    make_talkative(parts["clip"])
    return {name: part.eval() for name, part in parts.items()}


@pytest.fixture(scope="session")
def random_folder(random_parts: dict[str, torch.nn.Module], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``pipeline``, ``clip`` and ``perceptual``, written by the library's own functions."""
    folder = tmp_path_factory.mktemp("weights")
    models.save_pipeline(random_parts["vae"], random_parts["text_encoder"], random_parts["unet"], folder / "pipeline")
    models.save_clip(random_parts["clip"], folder / "clip")
    save_embedder(random_parts["embedder"], folder / "perceptual")
    return folder


@pytest.fixture(scope="session")
def random_profile(random_folder: Path) -> Profile:
    """The miniature's profile on random weights, with few seeds and step counts."""
    return replace(
        PROFILES["mini"],
        pipeline=str(random_folder / "pipeline"),
        clip=str(random_folder / "clip"),
        perceptual=str(random_folder / "perceptual"),
        step_counts=(1, 2, 4),
        seeds=(0, 1),
        batch=4,
    )


@pytest.fixture(scope="session")
def pipe(random_profile: Profile):
    """The untrained diffusers pipeline, as the library loads it."""
    return load_pipeline(random_profile)


@pytest.fixture(scope="session")
def scorer(random_profile: Profile) -> Scorer:
    return load_scorer(random_profile)
