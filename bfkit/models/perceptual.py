"""The perceptual embedder: what stands in for DreamSim in the miniature, and the network of its classifier."""

import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional as F


class PerceptualEmbedder(nn.Module):
    """Pictures (N, 3, H, W) in [0, 1] to embeddings (N, D); their distance is 1 - cosine, as DreamSim's is.

    ``depth`` convolutions at each of the ``widths``. Pictures of another size than ``image_size`` are resized to it.
    """

    def __init__(
        self, widths: tuple[int, ...] = (32, 64, 96, 128), embed_dim: int = 128, image_size: int = 64, depth: int = 2
    ) -> None:
        super().__init__()
        self.config = {"widths": list(widths), "embed_dim": embed_dim, "image_size": image_size, "depth": depth}
        self.image_size = image_size
        layers: list[nn.Module] = []
        for before, after in zip((3, *widths[:-1]), widths, strict=True):
            layers += [nn.Conv2d(before, after, 4, stride=2, padding=1), nn.GroupNorm(8, after), nn.SiLU()]
            for _ in range(depth - 1):
                layers += [nn.Conv2d(after, after, 3, padding=1), nn.GroupNorm(8, after), nn.SiLU()]
        side = image_size // 2 ** len(widths)
        # the last map is flattened, not pooled: where things are is what mid-level similarity is about
        self.body = nn.Sequential(*layers, nn.Flatten(), nn.Linear(widths[-1] * side * side, embed_dim))

    def embed(self, images: torch.Tensor) -> torch.Tensor:
        """Embeddings (N, D), not normalised."""
        size = (self.image_size, self.image_size)
        if images.shape[-2:] != size:
            images = F.interpolate(images, size, mode="bilinear", antialias=True)
        return self.body(images * 2 - 1)

    def forward(self, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        return 1 - F.cosine_similarity(self.embed(first), self.embed(second), dim=-1)


def half_precision(module: nn.Module) -> dict[str, torch.Tensor]:
    """A module's tensors as float16 on the CPU, as the miniature's weights are shipped."""
    return {key: value.detach().cpu().half().contiguous() for key, value in module.state_dict().items()}


def save_embedder(model: PerceptualEmbedder, folder: Path) -> None:
    """Write config.json and model.safetensors, float16."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(model.config, indent=2) + "\n", encoding="utf-8")
    save_file(half_precision(model), folder / "model.safetensors")


def load_embedder(folder: Path) -> PerceptualEmbedder:
    """Read what ``save_embedder`` wrote; FileNotFoundError names what is missing, ValueError an earlier format."""
    for needed in ("config.json", "model.safetensors"):
        if not (folder / needed).is_file():
            raise FileNotFoundError(f"no perceptual embedder in {folder}: {needed} is missing; name another folder")
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    if "depth" not in config:
        raise ValueError(f"the embedder in {folder} is of an earlier format: train it again, with bfkit.mini.train")
    model = PerceptualEmbedder(tuple(config.pop("widths")), **config)
    model.load_state_dict({key: value.float() for key, value in load_file(folder / "model.safetensors").items()})
    return model.eval()
