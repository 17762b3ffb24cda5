"""DreamSim: pictures to embeddings whose cosine says how alike their layouts look to people; D-SIM of Eq. 3.

dreamsim's ViTs, checkpoint readers and settings, put together here because its own ``dreamsim()`` downloads and runs
DINO's code from GitHub (``torch.hub.load``) and points torch's hub elsewhere. Its distance is 1 - cosine of two
embeddings, so each picture is embedded once. Fu et al. 2023, "DreamSim".
"""

import json
import pickle
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional as F

from bfkit.extras import extra
from bfkit.memory import is_out_of_memory

with extra("scores"):
    from dreamsim.config import dreamsim_args, dreamsim_weights
    from dreamsim.constants import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD, OPENAI_CLIP_MEAN, OPENAI_CLIP_STD
    from dreamsim.feature_extraction.load_clip_as_dino import load_clip_as_dino
    from dreamsim.feature_extraction.load_open_clip_as_dino import load_open_clip_as_dino
    from dreamsim.feature_extraction.vision_transformer import vit_base
    from peft import LoraConfig, get_peft_model, set_peft_model_state_dict

BRANCHES = ("ensemble", "dino_vitb16", "clip_vitb32", "open_clip_vitb32")
DINO_FILE = "checkpoints/dino_vitbase16_pretrain.pth"
DINO_URL = "https://dl.fbaipublicfiles.com/dino/dino_vitbase16_pretrain/dino_vitbase16_pretrain.pth"
SIDE = dreamsim_args["img_size"]


def shrink(images: torch.Tensor) -> torch.Tensor:
    """Pictures (N, 3, H, W) in [0, 1] to (N, 3, 224, 224), as dreamsim's preprocess does with a PIL image.

    Bicubic with antialiasing; a picture that is not square is squeezed. Width before height, each cut to [0, 1], as PIL
    has it. PIL also rounds to 256 levels both times: the two agree within 1.2 levels.
    """
    if images.shape[-2:] == (SIDE, SIDE):
        return images
    narrow = F.interpolate(images, (images.shape[-2], SIDE), mode="bicubic", antialias=True).clamp(0, 1)
    return F.interpolate(narrow, (SIDE, SIDE), mode="bicubic", antialias=True).clamp(0, 1)


class Tower(nn.Module):
    """One ViT of DreamSim with the colours it was trained on: pictures (N, 3, 224, 224) to features (N, D)."""

    projection: torch.Tensor | None
    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, model: nn.Module, projection: torch.Tensor | None, mean: tuple, std: tuple) -> None:
        super().__init__()
        self.model = model
        self.register_buffer("projection", projection)
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        features = self.model((images - self.mean) / self.std)
        return features if self.projection is None else features @ self.projection


class DreamSim(nn.Module):
    """The towers of a branch side by side."""

    def __init__(self, towers: list[Tower]) -> None:
        super().__init__()
        self.extractor_list = nn.ModuleList(towers)  # dreamsim's name, by which its adapters find their layers

    def embed(self, images: torch.Tensor) -> torch.Tensor:
        """Pictures (N, 3, H, W) in [0, 1] to embeddings (N, D) of mean 0 and length 1."""
        images = shrink(images)
        features = torch.cat([tower(images) for tower in self.extractor_list], dim=-1)
        return F.normalize(features - features.mean(dim=-1, keepdim=True), dim=-1)


def load_dreamsim(branch: str, device: torch.device | str = "cpu") -> DreamSim:
    """A branch of DreamSim on a device, its LoRA adapters merged; downloaded to torch's hub folder the first time.

    The backbones are published as ``.pth`` only: torch reads them with ``weights_only=True``, an unpickler that knows
    tensors and plain containers and runs no code. Raises ValueError for an unknown branch or a damaged file, and
    FileNotFoundError, with the address and the place to put it, for a file that cannot be fetched.
    """
    _check_branch(branch)
    _fetch(branch)
    folder = _folder()
    model = DreamSim([_load_tower(name, folder) for name in _towers(branch)])
    return _merge_adapters(model, folder / _adapters(branch)).to(device).eval().requires_grad_(False)


def _backbone(name: str) -> str:
    return DINO_FILE if name == "dino_vitb16" else f"{name}_pretrain.pth.tar"


def _load_tower(name: str, folder: Path) -> Tower:
    patch = int(name[-2:])
    try:
        if name == "dino_vitb16":
            model, projection = vit_base(patch_size=patch), None
            model.load_state_dict(torch.load(folder / DINO_FILE, map_location="cpu", weights_only=True))
            model.add_module("norm", nn.Identity())  # DreamSim takes the class token as it leaves the last block
            return Tower(model, projection, IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD)
        load = load_open_clip_as_dino if name.startswith("open_clip") else load_clip_as_dino
        model, projection = load(patch, str(folder))
    except (RuntimeError, KeyError, TypeError, EOFError, pickle.UnpicklingError) as error:
        if is_out_of_memory(error):
            raise
        raise _damaged(folder / _backbone(name)) from error
    return Tower(model, projection.detach(), OPENAI_CLIP_MEAN, OPENAI_CLIP_STD)


def _merge_adapters(model: DreamSim, folder: Path) -> DreamSim:
    """DreamSim's low-rank changes, added to the weights they change: no extra work for each picture."""
    try:
        config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
        keys = ("r", "lora_alpha", "lora_dropout", "bias", "target_modules")
        tuned = get_peft_model(model, LoraConfig(**{key: config[key] for key in keys}))
        outcome = set_peft_model_state_dict(tuned, load_file(folder / "adapter_model.safetensors"))
    except (RuntimeError, KeyError, ValueError, SafetensorError) as error:
        if is_out_of_memory(error):
            raise
        raise _damaged(folder) from error
    if any("lora_" in key for key in (*outcome.missing_keys, *outcome.unexpected_keys)):
        raise _damaged(folder)
    return cast("DreamSim", tuned.merge_and_unload())


def _damaged(path: Path) -> ValueError:
    return ValueError(f"{path} is damaged or is not DreamSim's: delete it, and the next run fetches it again")


# --- the files ------------------------------------------------------------------------------------------------------


def _check_branch(branch: str) -> None:
    if branch not in BRANCHES:
        raise ValueError(f"unknown DreamSim branch {branch!r}: choose one of {', '.join(BRANCHES)}")


def _folder() -> Path:
    return Path(torch.hub.get_dir()) / "dreamsim"  # laid out as dreamsim lays out its cache_dir


def _towers(branch: str) -> list[str]:
    return dreamsim_args["model_config"][branch]["model_type"].split(",")


def _adapters(branch: str) -> str:
    return "ensemble_lora" if branch == "ensemble" else f"{branch}_single_lora"


def missing_files(branch: str) -> list[Path]:
    """The files of a branch that have not been downloaded yet; ValueError for an unknown branch."""
    _check_branch(branch)
    names = [_backbone(name) for name in _towers(branch)]
    names += [f"{_adapters(branch)}/{name}" for name in ("adapter_config.json", "adapter_model.safetensors")]
    return [_folder() / name for name in names if not (_folder() / name).is_file()]


def _fetch(branch: str) -> None:
    """Download what is not there yet; every file appears whole or not at all."""
    missing = [path.relative_to(_folder()).as_posix() for path in missing_files(branch)]
    if archived := [name for name in missing if name != DINO_FILE]:
        _fetch_archive(dreamsim_weights[branch], archived, _folder())
    if DINO_FILE in missing:
        _download(DINO_URL, _folder() / DINO_FILE, f"save it as {_folder() / DINO_FILE}")


def _fetch_archive(url: str, members: list[str], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder) as temporary:
        archive = Path(temporary) / "archive.zip"
        _download(url, archive, f"unpack it in {folder}")
        try:
            with zipfile.ZipFile(archive) as opened:
                for member in members:
                    opened.extract(member, temporary)
        except (zipfile.BadZipFile, KeyError) as error:
            raise FileNotFoundError(
                f"{url} is not DreamSim's archive ({error}): download it elsewhere and unpack it in {folder}"
            ) from error
        for member in members:
            (folder / member).parent.mkdir(exist_ok=True)
            (Path(temporary) / member).replace(folder / member)


def _download(url: str, target: Path, way_out: str) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        torch.hub.download_url_to_file(url, str(target))
    except OSError as error:
        raise FileNotFoundError(
            f"DreamSim needs {url}, which cannot be fetched ({error}): download it elsewhere and {way_out}"
        ) from error
