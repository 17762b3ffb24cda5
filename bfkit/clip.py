"""An open_clip model that embeds texts and pictures and captions pictures: p-bar of Eq. 6 and C-bar of Eq. 4."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import open_clip
import torch
from torch.nn import functional as F


@dataclass(frozen=True)
class Clip:
    """An open_clip CoCa with its tokenizer: embeds texts and pictures, captions pictures."""

    model: torch.nn.Module
    tokenizer: Callable[..., torch.Tensor]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device

    @staticmethod
    def words(text: str) -> list[str]:
        """The words of a text in lower case, each once, punctuation left out."""
        return list(dict.fromkeys(re.findall(r"\w+", text.lower())))

    def unknown_words(self, text: str) -> list[str]:
        """Words that the tokenizer has no token for; none where it spells words out in pieces."""
        tokenizer = self.tokenizer.tokenizer
        unknown = getattr(tokenizer, "unk_token_id", None)
        return [word for word in self.words(text) if unknown in tokenizer.encode(word, add_special_tokens=False)]

    @torch.inference_mode()
    def embed_texts(self, texts: Sequence[str], block: int = 256) -> torch.Tensor:
        """Texts to rows (N, D), normalised."""
        blocks = [list(texts[start : start + block]) for start in range(0, len(texts), block)]
        rows = [self.model.encode_text(self.tokenizer(part).to(self.device), normalize=True) for part in blocks]
        return torch.cat(rows)

    def _prepare(self, images: torch.Tensor) -> torch.Tensor:
        size = self.model.visual.image_size
        size = (size, size) if isinstance(size, int) else tuple(size)
        if images.shape[-2:] != size:
            images = F.interpolate(images, size, mode="bicubic", antialias=True).clamp(0, 1)
        mean, std = (images.new_tensor(values).view(1, 3, 1, 1) for values in (self.mean, self.std))
        return (images - mean) / std

    @torch.inference_mode()
    def embed_images(self, images: torch.Tensor) -> torch.Tensor:
        """Pictures (N, 3, H, W) in [0, 1] to rows (N, D), normalised."""
        return self.model.encode_image(self._prepare(images.to(self.device)), normalize=True)

    @torch.inference_mode()
    def caption(self, images: torch.Tensor) -> tuple[str, ...]:
        """The likeliest caption of each picture, word by word (open_clip's own generate() fails on transformers 5)."""
        words = self.tokenizer.tokenizer
        latent, tokens = self.model._encode_image(self._prepare(images.to(self.device)))
        text = torch.full((len(images), 1), words.bos_token_id, device=self.device)
        ended = torch.zeros(len(images), dtype=torch.bool, device=self.device)
        for _ in range(self.model.context_length - 1):
            output = self.model(None, text, image_latent=latent, image_embs=tokens, output_labels=False)
            following = output["logits"][:, -1].argmax(-1)
            following = torch.where(ended, words.pad_token_id, following)
            text = torch.cat([text, following.unsqueeze(1)], dim=1)
            ended |= following == words.eos_token_id
            if ended.all():
                break
        return tuple(words.batch_decode(text, skip_special_tokens=True))


def load_clip(folder: str | Path, device: torch.device | str = "cpu") -> Clip:
    """Load an open_clip folder (``open_clip_config.json`` and its weights).

    Raises FileNotFoundError where the weights are missing: open_clip itself would only warn and go on at random.
    """
    folder = Path(folder)
    for needed in ("open_clip_config.json", "open_clip_model.safetensors"):
        if not (folder / needed).is_file():
            raise FileNotFoundError(f"no CLIP in {folder}: {needed} is missing; train one or name another folder")
    model, preprocess = open_clip.create_model_from_pretrained(f"local-dir:{folder}", device=device)
    tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")
    normalise = preprocess.transforms[-1]
    return Clip(model.eval(), tokenizer, tuple(normalise.mean), tuple(normalise.std))
