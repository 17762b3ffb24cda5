"""Train the miniature: ``python -m bfkit.mini.train`` draws its world, fits its models on it and saves them.

Seeded, resumable after a kill (the checkpoints hold weights, moments and the step, as safetensors), on CPU or CUDA.
The batch of step i depends on the seed and i alone, so a resumed run sees what an undisturbed one would.

    python -m bfkit.mini.train                                      # everything, in order
    python -m bfkit.mini.train --only diffusion                     # one part; stop it whenever you like
    python -m bfkit.mini.train --only diffusion --finish            # from where it is: the rate falls, and it ends
    torchrun --nproc-per-node 2 -m bfkit.mini.train --only diffusion    # two processes share each batch
    python -m bfkit.mini.train --only pipeline --out build/now      # what the checkpoints paint now, as a pipeline
    python -m bfkit.mini.train --start bfkit/mini/weights           # from shipped weights instead of from nothing
"""

import argparse
import json
import platform
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import nn
from transformers import CLIPTextModel

from bfkit.models.perceptual import save_embedder

from . import models
from .judge import save_judge
from .train_autoencoder import peak_signal_to_noise, scale_latents, train_autoencoder, train_decoder
from .train_diffusion import train_diffusion
from .train_judge import train_judge
from .train_metrics import captions_right, train_classifier, train_clip, train_perceptual
from .train_text import TextAndPicture, train_text
from .trainer import Stage, join_processes, read_checkpoint
from .training_data import Settings, shared

WEIGHTS = Path(__file__).parent / "weights"
PARTS = ("text", "autoencoder", "decoder", "diffusion", "pipeline", "clip", "perceptual", "classifier", "judge")
SHARED = ("text", "autoencoder", "decoder", "diffusion")  # parts that several processes can train
Model = TypeVar("Model", AutoencoderKL, CLIPTextModel)

CARD = """# {title}

Part of the bfkit miniature: {what}.

| | |
| --- | --- |
| data | scenes of `bfkit.mini.world`, drawn on the fly; no photograph, no text from anywhere else |
| parameters | {parameters:,} |
| training | {training} |
| last losses | {losses} |
{measured}| hardware | {hardware} |
| hours | {hours:.2f} |
| command | `{command}` |
| format | safetensors, float16 |

It knows nothing but this world, and nothing it draws or says holds for Stable Diffusion.
"""


@dataclass(frozen=True)
class Run:
    """One call of the trainer: settings, where checkpoints lie, where models go, and what it starts from."""

    settings: Settings
    work: Path
    out: Path
    device: torch.device
    start: Path | None = None
    finish: bool = False


def _write_card(folder: Path, title: str, what: str, model: nn.Module, stages: dict[str, tuple[Stage, dict]]) -> None:
    """The card of one folder from its stages: name to (settings, report of ``fit`` and held-out numbers)."""
    device = next(model.parameters()).device
    hardware = torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU ({platform.machine()}, " \
        f"{torch.get_num_threads()} threads)"  # fmt: skip
    reports = [report for _, report in stages.values()]
    measured = "".join(
        f"| {key.replace('_', ' ')} | {value:.4g} |\n" for r in reports for key, value in r.items() if "held_out" in key
    )
    losses = ", ".join(f"{key} {value}" for r in reports for key, value in r["losses"].items())
    training = "; ".join(
        f"{name}: {report['pictures']:,} pictures in batches of {stage.batch}, AdamW, rate {stage.rate}"
        for name, (stage, report) in stages.items()
    )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "README.md").write_text(CARD.format(
        title=title, what=what, parameters=sum(p.numel() for p in model.parameters()), training=training,
        losses=losses, measured=measured, hardware=hardware, hours=sum(r["seconds"] for r in reports) / 3600,
        command="python -m bfkit.mini.train"), encoding="utf-8")  # fmt: skip


def restore(name: str, model: nn.Module, work: Path, stage: Stage) -> dict:
    """Put a checkpoint's weights into ``model``, averaged ones if there are, finished ones if they are the latest.

    Returns the report of the training so far. Raises FileNotFoundError, naming the part, if it was never trained.
    """
    path, ending = work / f"{name}.safetensors", work / f"{name}-finished.safetensors"
    if ending.exists() and (not path.exists() or ending.stat().st_mtime > path.stat().st_mtime):
        path = ending
    if not path.exists():
        raise FileNotFoundError(f"no checkpoint {path}: train it first with --only {name}")
    step, history, parts = read_checkpoint(path)
    model.load_state_dict(parts["average"] or parts["model"])
    model.eval()
    return {"pictures": step * stage.batch, **history, "steps": step}


def _started(run: Run, kind: type[Model], folder: str) -> Model | None:
    """A model of the folder that the run starts from, in float32."""
    return None if run.start is None else kind.from_pretrained(run.start / "pipeline" / folder).float()


def _kept(run: Run, kind: type[Model], folder: str, part: str) -> Model | None:
    """The model that the run starts from, where no checkpoint of the part has taken its place."""
    started = None if list(run.work.glob(f"{part}*.safetensors")) else _started(run, kind, folder)
    return started and started.eval()


def _started_unet(run: Run) -> UNet2DConditionModel | None:
    """The UNet of the folder, as far as it fits: what it lacks (an attention, say) begins untrained."""
    if run.start is None:
        return None
    model, old = models.build_unet(), UNet2DConditionModel.from_pretrained(run.start / "pipeline" / "unet")
    own = model.state_dict()
    fitting = {k: v for k, v in old.state_dict().items() if k in own and v.shape == own[k].shape}
    print(f"unet: {len(fitting)} of {len(own)} tensors from {run.start}")
    model.load_state_dict(fitting, strict=False)
    return model


def load_autoencoder(run: Run) -> tuple[AutoencoderKL, dict[str, tuple[Stage, dict]]]:
    """The autoencoder of the checkpoints, with its decoder trained on if there is one; else the one to start from."""
    settings = run.settings
    if kept := _kept(run, AutoencoderKL, "vae", "autoencoder"):
        return kept, {}
    vae = models.build_autoencoder()
    stages = {"autoencoder": (settings.autoencoder, restore("autoencoder", vae, run.work, settings.autoencoder))}
    scale_latents(vae)
    if list(run.work.glob("decoder*.safetensors")):
        stages["decoder"] = (settings.decoder, restore("decoder", vae.decoder, run.work, settings.decoder))
    return vae, stages


def load_text_encoder(run: Run) -> tuple[CLIPTextModel, dict]:
    """The text encoder of the checkpoints and the report of its training; else the one to start from."""
    if kept := _kept(run, CLIPTextModel, "text_encoder", "text"):
        return kept, {}
    model = TextAndPicture()
    return model.text_encoder, restore("text", model, run.work, run.settings.text)


def make_text(run: Run) -> None:
    train_text(run.settings, run.work, run.device, _started(run, CLIPTextModel, "text_encoder"), run.finish)


def make_autoencoder(run: Run) -> None:
    start = _started(run, AutoencoderKL, "vae")
    _, report = train_autoencoder(run.settings, run.work, run.device, start, run.finish)
    print(f"autoencoder: {report['held_out_psnr_db']:.2f} dB")


def make_decoder(run: Run) -> None:
    report = train_decoder(load_autoencoder(run)[0], run.settings, run.work, run.device, run.finish)
    print(f"decoder: {report['held_out_psnr_db']:.2f} dB")


def make_diffusion(run: Run) -> None:
    vae, text_encoder = load_autoencoder(run)[0], load_text_encoder(run)[0]
    start = _started_unet(run)
    train_diffusion(vae, text_encoder, run.settings, run.work, run.device, start, run.finish)


def make_pipeline(run: Run) -> None:
    """Write the pipeline that the checkpoints make up."""
    settings = run.settings
    vae, stages = load_autoencoder(run)
    text_encoder, report = load_text_encoder(run)
    unet = models.build_unet()
    stages |= {"text": (settings.text, report)} if report else {}
    painted = restore("diffusion", unet, run.work, settings.diffusion)
    stages["diffusion"] = settings.diffusion, painted | {"held_out_autoencoder_psnr_db": peak_signal_to_noise(vae)}
    models.save_pipeline(vae, text_encoder, unet, run.out / "pipeline")
    _write_card(run.out / "pipeline", "Text to image", "a diffusers StableDiffusionPipeline (v-prediction, Euler, "
                "linspace spacing)", nn.ModuleList([vae, text_encoder, unet]), stages)  # fmt: skip


def make_clip(run: Run) -> None:
    model, report = train_clip(run.settings, run.work, run.device, run.finish)
    models.save_clip(model.cpu(), out := run.out / "clip")
    _write_card(out, "CLIP and captions", "an open_clip CoCa: embeds texts and pictures, captions pictures", model,
                {"clip": (run.settings.clip, report | captions_right(out))})  # fmt: skip


def make_perceptual(run: Run) -> None:
    model, report = train_perceptual(run.settings, run.work, run.device, run.finish)
    save_embedder(model.cpu(), run.out / "perceptual")
    _write_card(run.out / "perceptual", "Perceptual embedder", "1 - cosine of its embeddings stands in for DreamSim",
                model, {"perceptual": (run.settings.perceptual, report)})  # fmt: skip


def make_classifier(run: Run) -> None:
    model, report = train_classifier(run.settings, run.work, run.device, run.finish)
    save_embedder(model.cpu(), run.out / "classifier")
    _write_card(run.out / "classifier", "Classifier", "tells grounds and shapes apart, for the inception score",
                model, {"classifier": (run.settings.classifier, report)})  # fmt: skip


def make_judge(run: Run) -> None:
    model, report = train_judge(run.settings, run.work, run.device, run.finish)
    save_judge(model.cpu(), run.out / "judge")
    _write_card(run.out / "judge", "Judge", "reads what a picture shows; has never seen a painted one, and trains "
                "nothing that paints", model, {"judge": (run.settings.judge, report)})  # fmt: skip


def train(run: Run, only: str | None = None) -> None:
    """Train what ``only`` names, or everything, and save it under ``run.out``."""
    makers: dict[str, Callable[[Run], None]] = dict(zip(PARTS, (
        make_text, make_autoencoder, make_decoder, make_diffusion, make_pipeline, make_clip, make_perceptual,
        make_classifier, make_judge), strict=True))  # fmt: skip
    for part in (only,) if only else PARTS:
        torch.manual_seed(run.settings.seed)
        makers[part](run)
    run.out.mkdir(parents=True, exist_ok=True)
    (run.out / "settings.json").write_text(json.dumps(asdict(run.settings), indent=2) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bfkit.mini.train", description=__doc__ and __doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=WEIGHTS, help="where the models are written")
    parser.add_argument("--work", type=Path, default=Path("build/mini"), help="checkpoints and encoded scenes")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--only", choices=PARTS, help="make one part")
    parser.add_argument("--start", type=Path, help="a folder of weights that painters go on from, moments at rest")
    parser.add_argument("--finish", action="store_true", help="let the rate fall from the checkpoint on, and end")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    processes = join_processes()
    if processes > 1 and given.only not in SHARED:
        parser.error(f"several processes train one part that is only a checkpoint: --only {', '.join(SHARED)}")
    settings = shared(Settings(seed=given.seed), given.only, processes)
    run = Run(settings, given.work, given.out, torch.device(given.device), given.start, given.finish)
    train(run, given.only)


if __name__ == "__main__":
    main()
