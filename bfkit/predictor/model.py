"""Prompt embedding to curve: the BiLSTM of Section 3.3 (Eq. 6, Figure 4), one network a metric.

Two things any predictor has to beat stand beside it: the mean curve of the training prompts, and the curve of the
nearest training prompt.
"""

import json
import math
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from scipy.optimize import isotonic_regression
from torch import nn
from tqdm.auto import tqdm

from bfkit import paper
from bfkit.dataset.curves import interpolate
from bfkit.files import write_file
from bfkit.profiles import PredictorSettings

from .networks import NETWORKS

RANGE_FLOOR = 0.05  # of the widest step's range: a step where all prompts agree must not drown the others
BLOCK = 512  # prompts whose curves are predicted at once: at the paper's sizes, a GiB


class CurvePredictor(nn.Module):
    """theta_m of Eq. 6: prompt embeddings (N, D) to a metric at the G steps of the grid, (N, G) in (0, 1).

    The settings' network gives logits; their sigmoid spans the range that the training prompts have at each step,
    ``low`` to ``high``, since D-SIM, say, has only a small part of [0, 1] to itself; in ``plain`` settings all of it.
    """

    low: torch.Tensor
    high: torch.Tensor

    def __init__(self, embed_dim: int, settings: PredictorSettings) -> None:
        super().__init__()
        self.network = NETWORKS[settings.network](embed_dim, settings)
        self.register_buffer("low", torch.zeros(len(settings.grid)))
        self.register_buffer("high", torch.ones(len(settings.grid)))

    def forward(self, prompts: Float[torch.Tensor, "n d"]) -> Float[torch.Tensor, "n g"]:
        return self.low + (self.high - self.low) * self.network(prompts).sigmoid()

    def rises(self) -> bool:
        """True if the training prompts' values are higher at the last step than at the first."""
        return bool((self.low + self.high)[-1] > (self.low + self.high)[0])


@dataclass(frozen=True)
class Predictors:
    """One trained network a metric, and the settings they share."""

    networks: dict[str, CurvePredictor]
    settings: PredictorSettings
    embed_dim: int

    def to(self, device: torch.device) -> "Predictors":
        """The same networks, which are moved to a device."""
        return replace(self, networks={name: network.to(device) for name, network in self.networks.items()})

    @torch.inference_mode()
    def __call__(self, prompts: Float[torch.Tensor, "n d"]) -> dict[str, Float[np.ndarray, "n t"]]:
        """Prompt embeddings (N, D) to each metric's curve at every step from 1 to the grid's last, T: (N, T).

        Computed where the networks lie, ``BLOCK`` prompts at a time, wherever the embeddings do.
        """
        curves = {}
        for name, network in self.networks.items():
            parts = [part.to(network.low.device).float() for part in prompts.split(BLOCK)]
            values = torch.cat([network.eval()(part) for part in parts]).cpu().numpy()
            if self.settings.monotone:
                values = monotone(values, rising=network.rises())
            curves[name] = interpolate(values, self.settings.grid).astype(np.float32)
        return curves


def monotone(curves: Float[np.ndarray, "n g"], rising: bool) -> Float[np.ndarray, "n g"]:
    """The nearest curves (N, G), in squared error, that never turn back (isotonic regression)."""
    return np.stack([isotonic_regression(row, increasing=rising).x for row in curves.astype(float)])


def fit_curve(
    prompts: Float[torch.Tensor, "n d"],
    curves: Float[np.ndarray, "n t"],
    settings: PredictorSettings,
    epochs: int,
    seed: int = 0,
    progress: Callable[[float], None] = lambda loss: None,
) -> CurvePredictor:
    """Train one network on prompt embeddings (N, D) and curves (N, T) in [0, 1] at steps 1..T with squared error.

    It is trained on the device where the embeddings lie, and stays there. Of the curve it sees the steps of the grid:
    all of them, as in the paper, or those that were drawn. ``progress`` is called after every epoch with its mean loss.
    Seeded; the rate falls to zero along a cosine, unless the settings are ``plain``.
    """
    torch.manual_seed(seed)
    device = prompts.device
    targets = torch.as_tensor(curves[:, np.asarray(settings.grid) - 1], dtype=torch.float32, device=device)
    network = CurvePredictor(prompts.shape[1], settings).to(device)  # the same beginning on every device
    weights = torch.ones(targets.shape[1], device=device)
    if not settings.plain:
        network.low.copy_(targets.amin(dim=0))
        network.high.copy_(targets.amax(dim=0))
        spans = network.high - network.low
        # an error counts as a share of what there is to tell apart
        weights = 1 / (spans + RANGE_FLOOR * spans.max() + 1e-8)
    optimizer = torch.optim.Adam((p for p in network.parameters() if p.requires_grad), lr=settings.rate)
    batches = math.ceil(len(prompts) / settings.batch)
    lowest = settings.rate if settings.plain else 0.0
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * batches, eta_min=lowest)
    for _ in range(epochs):
        total = torch.zeros((), device=device)  # read once an epoch: each reading makes a GPU wait
        for rows in torch.randperm(len(prompts)).to(device).split(settings.batch):
            loss = ((network(prompts[rows].float()) - targets[rows]) * weights).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.detach() * len(rows)
        progress(total.item() / len(prompts))
    return network.eval()


def fit_predictors(
    prompts: torch.Tensor, curves: dict[str, np.ndarray], settings: PredictorSettings, seed: int = 0
) -> Predictors:
    """Train one network for each metric's curves (N, T) at steps 1..T, where the embeddings lie; shows a progress bar.

    Raises ValueError if the grid does not end at T.
    """
    if settings.grid[-1] != (last := next(iter(curves.values())).shape[1]):
        raise ValueError(
            f"the curves go to step {last}, the predictor's grid to {settings.grid[-1]}: measure the profile's own "
            "step counts, or give the predictor another grid"
        )
    networks = {}
    with tqdm(total=sum(settings.epochs[name] for name in curves), desc="training the predictor", unit="epoch") as bar:
        for name, values in curves.items():

            def note(loss: float, name: str = name) -> None:
                bar.set_postfix({name: f"{loss:.5f}"})
                bar.update()

            networks[name] = fit_curve(prompts, values, settings, settings.epochs[name], seed, note)
    return Predictors(networks, settings, prompts.shape[1])


def mean_curve(train: dict[str, np.ndarray], count: int) -> dict[str, np.ndarray]:
    """The baseline that does not read the prompt: every prompt gets the training prompts' mean curve."""
    return {name: np.repeat(values.mean(axis=0, keepdims=True), count, axis=0) for name, values in train.items()}


def nearest_curve(
    train_prompts: torch.Tensor, train: dict[str, np.ndarray], prompts: torch.Tensor
) -> dict[str, np.ndarray]:
    """The baseline that only remembers: each prompt gets the curve of the most similar training prompt (cosine)."""
    train_rows, rows = (nn.functional.normalize(p.float(), dim=-1) for p in (train_prompts, prompts))
    nearest = (rows @ train_rows.T).argmax(dim=1).cpu().numpy()
    return {name: values[nearest] for name, values in train.items()}


def absolute_error(predicted: dict[str, np.ndarray], measured: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Mean absolute error of each prompt's curve, (N,) a metric; its mean is what Table 1 reports."""
    return {name: np.abs(predicted[name] - measured[name]).mean(axis=1) for name in predicted}


def save_predictors(predictors: Predictors, folder: Path, notes: dict) -> None:
    """Write config.json and model.safetensors, which load on any device; ``notes`` says what it was trained on."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {
        f"{name}.{key}": value.cpu().contiguous()
        for name, network in predictors.networks.items()
        for key, value in network.state_dict().items()
    }
    write_file(folder / "model.safetensors", save(tensors))
    config = {"embed_dim": predictors.embed_dim, "settings": asdict(predictors.settings), **notes}
    write_file(folder / "config.json", f"{json.dumps(config, indent=2)}\n".encode())


def load_predictors(folder: Path) -> tuple[Predictors, dict]:
    """Read what ``save_predictors`` wrote: the predictors, on the CPU, and the notes.

    Raises FileNotFoundError naming what is missing, ValueError for a file that is damaged.
    """
    for needed in ("config.json", "model.safetensors"):
        if not (folder / needed).is_file():
            raise FileNotFoundError(
                f"no trained predictor in {folder}: {needed} is missing; train one with `bfkit train`"
            )
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        settings = config.pop("settings")
        settings = PredictorSettings(**{**settings, "grid": tuple(settings["grid"])})
        embed_dim = config.pop("embed_dim")
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(f"{folder / 'config.json'} is damaged ({error!r}): train the predictor again") from None
    try:
        tensors = load_file(folder / "model.safetensors")
    except SafetensorError as error:
        raise ValueError(f"{folder / 'model.safetensors'} is damaged ({error}): train the predictor again") from None
    networks = {}
    for name in [metric for metric in paper.METRICS if any(key.startswith(f"{metric}.") for key in tensors)]:
        network = CurvePredictor(embed_dim, settings)
        own = {key.split(".", 1)[1]: value for key, value in tensors.items() if key.startswith(f"{name}.")}
        try:
            network.load_state_dict(own)
        except RuntimeError:
            raise ValueError(
                f"{folder} holds weights of another network than its config.json names: train again"
            ) from None
        networks[name] = network.eval()
    return Predictors(networks, settings, embed_dim), config


def relative_to(folder: Path, target: Path) -> str:
    """How ``folder``'s config.json names another model's folder, so that both can be moved together."""
    return os.path.relpath(target.resolve(), folder.resolve())
