"""An open_clip model that embeds texts and pictures and captions pictures: p-bar of Eq. 6 and C-bar of Eq. 4."""

import pickle
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, cast

import open_clip
import torch
from huggingface_hub.errors import EntryNotFoundError
from jaxtyping import Float
from open_clip import CLIP, CoCa, CustomTextCLIP
from safetensors import SafetensorError
from torch.nn import functional as F

from bfkit.devices import use_device
from bfkit.memory import attempt, is_out_of_memory

from .captioning import WordByWord, whole_text
from .hub import causes, hub_reason

HUB = "hf-hub:"
CAPTION_TOKENS = 32  # the longest caption, its start mark included; open_clip's own generate() stops at 30


@dataclass(frozen=True)
class Clip:
    """An open_clip model with its tokenizer: embeds texts and pictures and, if it is a CoCa, captions pictures."""

    model: CLIP | CustomTextCLIP | CoCa
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
        tokenizer = getattr(self.tokenizer, "tokenizer", None)  # a transformers tokenizer; open_clip's own has none
        unknown = getattr(tokenizer, "unk_token_id", None)
        if tokenizer is None or unknown is None:
            return []
        return [word for word in self.words(text) if unknown in tokenizer.encode(word, add_special_tokens=False)]

    @torch.inference_mode()
    def embed_texts(self, texts: Sequence[str], block: int = 256) -> Float[torch.Tensor, "n d"]:
        """Texts to rows (N, D), normalised."""
        blocks = [list(texts[start : start + block]) for start in range(0, len(texts), block)]
        rows = [self.model.encode_text(self.tokenizer(part).to(self.device), normalize=True) for part in blocks]
        return torch.cat(rows)

    def _prepare(self, images: torch.Tensor) -> torch.Tensor:
        side = self.model.visual.image_size
        size = (side, side) if isinstance(side, int) else (int(side[0]), int(side[1]))
        if images.shape[-2:] != size:
            images = F.interpolate(images, size, mode="bicubic", antialias=True).clamp(0, 1)
        mean, std = (images.new_tensor(values).view(1, 3, 1, 1) for values in (self.mean, self.std))
        return (images - mean) / std

    @torch.inference_mode()
    def embed_images(self, images: Float[torch.Tensor, "n 3 h w"]) -> Float[torch.Tensor, "n d"]:
        """Pictures (N, 3, H, W) in [0, 1] to rows (N, D), normalised."""
        return self.model.encode_image(self._prepare(images.to(self.device)), normalize=True)

    def check_captions(self) -> CoCa:
        """The model, if it is one that writes captions; ValueError for one that has no text decoder."""
        if not isinstance(self.model, CoCa):
            raise ValueError(
                f"{type(self.model).__name__} embeds but does not write captions: "
                'set i_clip="image" in the profile, or name a CoCa model'
            )
        return self.model

    def caption(self, images: torch.Tensor) -> tuple[str, ...]:
        """The likeliest caption of each picture (N, 3, H, W) in [0, 1]; ValueError for a model without a decoder."""
        return self.caption_and_embed(images)[0]

    @torch.inference_mode()
    def caption_and_embed(
        self, images: Float[torch.Tensor, "n 3 h w"]
    ) -> tuple[tuple[str, ...], Float[torch.Tensor, "n d"]]:
        """``caption`` and ``embed_images`` from one look at the pictures, token by token.

        open_clip's own generate() fails on transformers 5; this is its "top_k" with k = 1, without its minimum of five
        tokens.
        """
        model = self.check_captions()
        begin, end, spell = self._writing()
        latent, tokens = model._encode_image(self._prepare(images.to(self.device)))
        text = torch.full((len(images), 1), begin, device=self.device)
        ended = torch.zeros(len(images), dtype=torch.bool, device=self.device)
        kept = WordByWord(model, tokens) if WordByWord.serves(model) else None
        for _ in range(min(model.context_length, CAPTION_TOKENS) - 1):
            logits = kept(text) if kept else whole_text(model, text, latent, tokens)
            following = torch.where(ended, end, logits.argmax(-1))
            text = torch.cat([text, following.unsqueeze(1)], dim=1)
            ended |= following == end
            if ended.all():
                break
        rows = [row[: row.index(end)] if end in row else row for row in text[:, 1:].tolist()]
        return tuple(spell(row).strip() for row in rows), latent

    def _writing(self) -> tuple[int, int, Callable[[list[int]], str]]:
        """The tokens that begin and end a text, and what spells the ones between."""
        tokenizer = getattr(self.tokenizer, "tokenizer", None)
        if tokenizer is None:
            return self.tokenizer.sot_token_id, self.tokenizer.eot_token_id, self.tokenizer.decode
        return (
            tokenizer.bos_token_id,
            tokenizer.eos_token_id,
            lambda row: tokenizer.decode(row, skip_special_tokens=True),
        )


def load_clip(name: str | Path, device: torch.device | str | None = None) -> Clip:
    """Load an open_clip model: a folder (``open_clip_config.json`` and its weights), hf-hub:ID or MODEL/PRETRAINED.

    From the hub open_clip takes the safetensors; where a repository has none, its ``.bin`` is read by torch's
    unpickler of tensors alone, which runs no code. Raises FileNotFoundError where files are missing or cannot be
    fetched, and ValueError for a name that open_clip does not know, or a device that is not there or cannot hold the
    model.
    """
    device = use_device(device)
    source, pretrained = _locate(name)

    def load() -> Clip:
        try:
            loaded = open_clip.create_model_from_pretrained(source, pretrained, weights_only=True)
            tokenizer = open_clip.get_tokenizer(source)
        except (RuntimeError, OSError, ValueError, pickle.UnpicklingError, SafetensorError) as error:
            if is_out_of_memory(error):
                raise
            raise FileNotFoundError(_explain(str(name), error)) from error
        # its hints tell what else it might return
        model, preprocess = cast("tuple[CLIP | CustomTextCLIP | CoCa, Any]", loaded)
        normalise = preprocess.transforms[-1]
        return Clip(model.to(device).eval(), tokenizer, tuple(normalise.mean), tuple(normalise.std))

    return attempt(load, str(name), device)


def _locate(name: str | Path) -> tuple[str, str | None]:
    """What open_clip calls the model: its name and, for one of its own, the tag of the weights."""
    if str(name).startswith(HUB):
        return str(name), None
    folder = Path(name)
    if isinstance(name, Path) or folder.is_absolute() or folder.is_dir():
        for needed in ("open_clip_config.json", "open_clip_model.safetensors"):
            if not (folder / needed).is_file():  # open_clip would only warn and go on at random
                raise FileNotFoundError(f"no CLIP in {folder}: {needed} is missing; train one or name another folder")
        return f"local-dir:{folder}", None
    known = {f"{model}/{tag}": (model, tag) for model, tag in open_clip.list_pretrained()}
    if name not in known:
        siblings = [other for other in known if other.startswith(name.partition("/")[0] + "/")]
        near = get_close_matches(name, siblings or known, n=3, cutoff=0.5) or ["open_clip.list_pretrained()"]
        raise ValueError(f"{name!r} is neither a folder nor a model of open_clip's: try {', '.join(near)}")
    return known[name]


def _explain(name: str, error: Exception) -> str:
    """Why a model did not load, and the way out, from the errors beneath open_clip's own."""
    way_out = "name another model or a local folder"
    if reason := hub_reason(name, error, way_out):
        return reason
    if any(isinstance(cause, EntryNotFoundError) for cause in causes(error)):
        return f"{name} is a repository without an open_clip model in it: {way_out}"
    first = str(error).partition("\n")[0].partition(". ")[0]
    return f"open_clip cannot load {name} ({first}): {way_out}"


def retrieval(pictures: Float[torch.Tensor, "n d"], texts: Float[torch.Tensor, "n d"], among: int = 32) -> float:
    """Share of pictures whose own text is the most similar among ``among``: rows (N, D) of both, normalised, in order.

    The rows are taken ``among`` at a time; a last block that is smaller is left out. ValueError if there is no block.
    """
    if len(pictures) < among:
        raise ValueError(f"{len(pictures)} pictures are fewer than {among}: give more, or choose among fewer")
    own = torch.arange(among, device=pictures.device)
    starts = range(0, len(pictures) - among + 1, among)
    right = [(pictures[s : s + among] @ texts[s : s + among].T).argmax(dim=1) == own for s in starts]
    return torch.cat(right).float().mean().item()
