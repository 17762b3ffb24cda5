"""Networks from a prompt's embedding to a score at every step: the paper's BiLSTM, its ablations, and rivals.

Each maps prompt embeddings (N, D), normalised, to logits (N, G), one for each of the G steps of the grid.
"""

import math
from collections.abc import Callable

import torch
from torch import nn

from bfkit.profiles import PredictorSettings


class PromptAndStep(nn.Module):
    """The input of Eq. 6: the prompt added to a learned embedding of each step, as BERT adds positions: (N, G, D)."""

    def __init__(self, embed_dim: int, steps: int, prompt: bool = True, step: bool = True, plain: bool = False) -> None:
        super().__init__()
        weight = 1.0 if plain else math.sqrt(embed_dim)  # a normalised prompt then weighs as much as a step
        self.scale = weight if prompt else 0.0
        self.step = nn.Embedding(steps, embed_dim)
        if not step:
            nn.init.zeros_(self.step.weight)
            self.step.weight.requires_grad_(False)

    def forward(self, prompts: torch.Tensor) -> torch.Tensor:
        return self.scale * prompts.unsqueeze(1) + self.step.weight


class BiLSTM(nn.Module):
    """Section 3.3, Figure 4: a two-way LSTM walks along the steps, an MLP reads the score off its two states."""

    def __init__(self, embed_dim: int, settings: PredictorSettings, **inputs: bool) -> None:
        super().__init__()
        self.inputs = PromptAndStep(embed_dim, len(settings.grid), plain=settings.plain, **inputs)
        between = settings.dropout if settings.layers > 1 and not settings.plain else 0.0
        self.lstm = nn.LSTM(
            embed_dim, settings.hidden, settings.layers, batch_first=True, bidirectional=True, dropout=between
        )
        self.dropout = nn.Dropout(settings.dropout)
        self.mlp = nn.Sequential(nn.Linear(2 * settings.hidden, settings.mlp), nn.ReLU(), nn.Linear(settings.mlp, 1))

    def forward(self, prompts: torch.Tensor) -> torch.Tensor:
        return self.mlp(self.dropout(self.lstm(self.inputs(prompts))[0])).squeeze(-1)


class TanhMLP(nn.Module):
    """Table 1's last row: an MLP with Tanh in the LSTM's place sees each step by itself."""

    def __init__(self, embed_dim: int, settings: PredictorSettings) -> None:
        super().__init__()
        self.inputs = PromptAndStep(embed_dim, len(settings.grid))
        self.body = nn.Sequential(
            nn.Linear(embed_dim, 2 * settings.hidden),
            nn.Tanh(),
            nn.Dropout(settings.dropout),
            nn.Linear(2 * settings.hidden, settings.mlp),
            nn.Tanh(),
            nn.Linear(settings.mlp, 1),
        )

    def forward(self, prompts: torch.Tensor) -> torch.Tensor:
        return self.body(self.inputs(prompts)).squeeze(-1)


class DirectMLP(nn.Module):
    """The plainest rival: from the prompt to all steps at once."""

    def __init__(self, embed_dim: int, settings: PredictorSettings) -> None:
        super().__init__()
        self.scale = math.sqrt(embed_dim)
        self.body = nn.Sequential(
            nn.Linear(embed_dim, 2 * settings.hidden),
            nn.ReLU(),
            nn.Dropout(settings.dropout),
            nn.Linear(2 * settings.hidden, settings.mlp),
            nn.ReLU(),
            nn.Linear(settings.mlp, len(settings.grid)),
        )

    def forward(self, prompts: torch.Tensor) -> torch.Tensor:
        return self.body(self.scale * prompts)


class StepTransformer(nn.Module):
    """Attention in the LSTM's place: every step sees every other at once."""

    def __init__(self, embed_dim: int, settings: PredictorSettings) -> None:
        super().__init__()
        self.inputs = PromptAndStep(embed_dim, len(settings.grid))
        self.narrow = nn.Linear(embed_dim, settings.hidden)
        layer = nn.TransformerEncoderLayer(
            settings.hidden, 4, 4 * settings.hidden, settings.dropout, batch_first=True, norm_first=True
        )
        self.encoder = nn.TransformerEncoder(layer, settings.layers, enable_nested_tensor=False)
        self.head = nn.Linear(settings.hidden, 1)

    def forward(self, prompts: torch.Tensor) -> torch.Tensor:
        return self.head(self.encoder(self.narrow(self.inputs(prompts)))).squeeze(-1)


NETWORKS: dict[str, Callable[[int, PredictorSettings], nn.Module]] = {
    "BiLSTM": BiLSTM,
    "BiLSTM w/o step encoding": lambda embed_dim, settings: BiLSTM(embed_dim, settings, step=False),
    "BiLSTM w/o prompt": lambda embed_dim, settings: BiLSTM(embed_dim, settings, prompt=False),
    "MLP + Tanh": TanhMLP,
    "direct MLP": DirectMLP,
    "transformer": StepTransformer,
}
