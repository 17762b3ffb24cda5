"""Train the miniature: ``python -m bfkit.mini.train`` draws its world, fits five models on it and saves them.

Seeded, resumable after a kill (the checkpoints hold weights, moments and the step, as safetensors), on CPU or CUDA.
The batch of step i depends on the seed and i alone, so a resumed run sees what an undisturbed one would.
"""

import argparse
import json
import platform
from dataclasses import asdict
from pathlib import Path

import torch
from torch import nn

from bfkit.models.perceptual import save_embedder

from . import models
from .train_diffusion import train_autoencoder, train_diffusion
from .train_metrics import train_classifier, train_clip, train_perceptual
from .trainer import Stage
from .training_data import Settings

WEIGHTS = Path(__file__).parent / "weights"
PARTS = ("clip", "perceptual", "classifier", "autoencoder", "diffusion")


CARD = """# {title}

Part of the bfkit miniature: {what}.

| | |
| --- | --- |
| data | scenes of `bfkit.mini.world`, drawn on the fly; no photograph, no text from anywhere else |
| parameters | {parameters:,} |
| training | {steps:,} steps of {batch}, AdamW, peak rate {rate} |
| last losses | {losses} |
{measured}| hardware | {hardware} |
| hours | {hours:.2f} |
| command | `{command}` |
| format | safetensors, float16 |

It knows nothing but this world, and nothing it draws or says holds for Stable Diffusion.
"""


def _write_card(
    folder: Path, title: str, what: str, model: nn.Module, stage: Stage, report: dict, command: str
) -> None:
    device = next(model.parameters()).device
    hardware = torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU ({platform.machine()}, " \
        f"{torch.get_num_threads()} threads)"  # fmt: skip
    measured = "".join(
        f"| {key.replace('_', ' ')} | {value:.4g} |\n" for key, value in report.items() if "held_out" in key
    )
    losses = ", ".join(f"{key} {value}" for key, value in report["losses"].items())
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "README.md").write_text(CARD.format(
        title=title, what=what, parameters=sum(p.numel() for p in model.parameters()), steps=stage.steps,
        batch=stage.batch, rate=stage.rate, losses=losses, measured=measured, hardware=hardware,
        hours=report["seconds"] / 3600, command=command), encoding="utf-8")  # fmt: skip


def train(settings: Settings, out: Path, work: Path, device: torch.device, only: str | None = None) -> None:
    """Train what ``only`` names, or everything, and save it under ``out``; ``work`` holds checkpoints and latents."""
    work.mkdir(parents=True, exist_ok=True)
    command = "python -m bfkit.mini.train"
    torch.manual_seed(settings.seed)
    if only in (None, "clip"):
        clip, report = train_clip(settings, work, device)
        models.save_clip(clip.cpu(), out / "clip")
        _write_card(out / "clip", "CLIP and captions", "an open_clip CoCa that embeds texts and pictures and captions "
                    "pictures", clip, settings.clip, report, command)  # fmt: skip
    if only in (None, "perceptual"):
        embedder, report = train_perceptual(settings, work, device)
        save_embedder(embedder.cpu(), out / "perceptual")
        _write_card(out / "perceptual", "Perceptual embedder", "1 - cosine of its embeddings stands in for DreamSim",
                    embedder, settings.perceptual, report, command)  # fmt: skip
    if only in (None, "classifier"):
        classifier, report = train_classifier(settings, work, device)
        save_embedder(classifier.cpu(), out / "classifier")
        _write_card(out / "classifier", "Classifier", "tells grounds and shapes apart, for the inception score",
                    classifier, settings.classifier, report, command)  # fmt: skip
    if only in (None, "autoencoder", "diffusion"):
        vae, vae_report = train_autoencoder(settings, work, device)
    if only in (None, "diffusion"):
        denoiser, report = train_diffusion(vae, settings, work, device)
        models.save_pipeline(vae.cpu(), denoiser.text_encoder.cpu(), denoiser.unet.cpu(), out / "pipeline")
        report = {**report, "held_out_autoencoder_psnr_db": vae_report["held_out_psnr_db"],
                  "seconds": report["seconds"] + vae_report["seconds"]}  # fmt: skip
        _write_card(out / "pipeline", "Text to image", "a diffusers StableDiffusionPipeline (v-prediction, Euler, "
                    "linspace spacing)", denoiser, settings.diffusion, report, command)  # fmt: skip
    (out / "settings.json").write_text(json.dumps(asdict(settings), indent=2) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bfkit.mini.train", description=__doc__ and __doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=WEIGHTS, help="where the models are written")
    parser.add_argument("--work", type=Path, default=Path("build/mini"), help="checkpoints and encoded scenes")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--only", choices=PARTS, help="train one of the models")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    train(Settings(seed=arguments.seed), arguments.out, arguments.work, torch.device(arguments.device), arguments.only)


if __name__ == "__main__":
    main()
