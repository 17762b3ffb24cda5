"""CoCa's text side one word at a time: what was computed of the words before is kept, not computed again."""

from typing import Any

import torch
from open_clip.coca_model import CoCa
from open_clip.transformer import ResidualAttentionBlock, TextTransformer


def whole_text(model: CoCa, text: torch.Tensor, latent: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    """Logits (N, V) of what follows a text (N, T), from all of it: for text towers that are not open_clip's own."""
    # CoCa hangs its class token on the end, where no word sees it: the last logits are the last word's
    return model(None, text, image_latent=latent, image_embs=tokens, output_labels=False)["logits"][:, -1]


class WordByWord:
    """Logits of what follows a growing text; each call computes the last word alone.

    A word sees only those before it, so that what a block makes of them does not change as the text grows. Logits agree
    with ``whole_text`` but for rounding.
    """

    def __init__(self, model: CoCa, image_tokens: torch.Tensor) -> None:
        self.tower: Any = model.text  # open_clip's modules say nothing of their parts' types
        self.decoder: Any = model.text_decoder
        self.image_tokens = image_tokens
        self.seen: dict[torch.nn.Module, torch.Tensor] = {}  # what each block's attention looks at

    @staticmethod
    def serves(model: CoCa) -> bool:
        """True for open_clip's own causal text tower of plain blocks, with CoCa's class token."""
        text: Any = model.text
        decoder: Any = model.text_decoder
        own = isinstance(text, TextTransformer) and text.cls_emb is not None and text.attn_mask is not None
        blocks = [*text.transformer.resblocks, *decoder.resblocks] if own else [None]
        return all(type(block) is ResidualAttentionBlock and block.attn.batch_first for block in blocks)

    def __call__(self, text: torch.Tensor) -> torch.Tensor:
        """Logits (N, V) of what follows ``text`` (N, T), which is that of the last call and one word more."""
        tower, decoder = self.tower, self.decoder
        known = text != tower.pad_id
        if not tower.correct_cls_mask:  # the published models mask the place behind a padding, not the padding
            known = torch.cat([torch.ones_like(known[:, :1]), known[:, :-1]], dim=1)
        x = tower.token_embedding(text[:, -1:]) + tower.positional_embedding[text.shape[1] - 1]
        mask = torch.zeros(known.shape, device=x.device).masked_fill(~known, float("-inf"))
        for block in tower.transformer.resblocks:
            x = self._attend(block, x, mask.unsqueeze(1).repeat_interleave(tower.heads, dim=0))
        for block, cross in zip(decoder.resblocks, decoder.cross_attn, strict=True):
            x = cross(self._attend(block, x, None), k_x=self.image_tokens, v_x=self.image_tokens)
        return (decoder.ln_final(x) @ decoder.text_projection)[:, -1]

    def _attend(self, block: Any, x: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        own = block.ln_1(x)
        keys = self.seen[block] = torch.cat([self.seen[block], own], dim=1) if block in self.seen else own
        x = x + block.ls_1(block.attn(own, keys, keys, need_weights=False, attn_mask=mask)[0])
        return x + block.ls_2(block.mlp(block.ln_2(x)))
