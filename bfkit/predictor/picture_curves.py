"""A picture's own curve from its prompt and its first look: how far it will be from its end after each step count.

Ridge regression of the logarithm of the D-SIM loss, the one metric that is a distance to the picture's own end. What it
has not learnt of a picture is luck; its curve is the mean over that luck, which is what a rule spends steps by.
"""

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import polars as pl
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from bfkit.dataset.curves import ROUNDING, interpolate_losses
from bfkit.files import write_file

METRIC = "d_sim"
PENALTIES = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0)  # of the ridge, in units of the inputs' variance
FOLDS = 5  # of prompts, to choose the penalty
TYPICAL = 256  # training pictures whose curves are remembered: what they would spend sets a rule's knob


@dataclass(frozen=True)
class PicturePredictor:
    """Inputs (N, F), a prompt's embedding and then a picture's look, to its D-SIM loss at every step.

    ``steps`` (G,) are the drawn step counts, the last of which has no loss; ``weight`` (F, G - 1), ``bias`` (G - 1,)
    give logarithms from inputs less ``mean``, over ``spread``; ``typical`` (M, G - 1) are those of training pictures.
    """

    steps: np.ndarray
    mean: np.ndarray
    spread: np.ndarray
    weight: np.ndarray
    bias: np.ndarray
    typical: np.ndarray

    def __call__(self, texts: np.ndarray, looks: np.ndarray) -> dict[str, np.ndarray]:
        """Curves (N, T) of pictures from their prompts' embeddings (N, P) and looks (N, D), as the rules read them.

        Raises ValueError for looks of another width than those it was trained on.
        """
        inputs = np.concatenate([texts, looks], axis=1)
        if inputs.shape[1] != len(self.mean):
            raise ValueError(
                f"a prompt and a look are {inputs.shape[1]} numbers here, and {len(self.mean)} where the advisor was "
                "trained: it is another pipeline's, or guidance is on in one place alone"
            )
        return self._dense((inputs - self.mean) / self.spread @ self.weight + self.bias)

    def typical_curves(self) -> dict[str, np.ndarray]:
        """Curves (M, T) of some of the pictures that it was trained on."""
        return self._dense(self.typical)

    def _dense(self, logs: np.ndarray) -> dict[str, np.ndarray]:
        losses = np.concatenate([np.exp(logs), np.zeros((len(logs), 1))], axis=1)
        return {METRIC: interpolate_losses(losses, self.steps.tolist()).clip(0, 1)}


@dataclass(frozen=True)
class _Sums:
    """What ridge regression needs of rows: how many, and sums of inputs (F,), of targets (G,) and of their products."""

    count: int = 0
    inputs: np.ndarray | float = 0.0
    targets: np.ndarray | float = 0.0
    squares: np.ndarray | float = 0.0
    products: np.ndarray | float = 0.0

    @staticmethod
    def of(inputs: np.ndarray, targets: np.ndarray) -> "_Sums":
        return _Sums(len(inputs), inputs.sum(axis=0), targets.sum(axis=0), inputs.T @ inputs, inputs.T @ targets)

    def __add__(self, other: "_Sums") -> "_Sums":
        return _Sums(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    def ridge(self, penalty: float) -> tuple[np.ndarray, np.ndarray]:
        """Weight (F, G) and bias (G,)."""
        bias = np.asarray(self.targets / self.count)
        inner = self.squares + penalty * self.count * np.eye(len(np.asarray(self.inputs)))
        return np.linalg.solve(inner, self.products - np.outer(self.inputs, bias)), bias


def fit_pictures(
    texts: np.ndarray, looks: np.ndarray, scores: pl.DataFrame, seed: int = 0
) -> tuple[PicturePredictor, float]:
    """A predictor from embeddings (N, P) and looks (N, D) of a score table's pictures, by prompt and seed.

    ``scores`` has every picture at every step count. Also returns the share of the log loss's variance that it tells on
    prompts left out, the mean over step counts; below 0 it is worse than the mean curve.
    """
    rows = scores.sort("prompt_id", "seed", "steps")
    steps = rows["steps"].unique().sort().to_numpy().astype(np.int64)
    values = rows[METRIC].to_numpy().astype(float).reshape(-1, len(steps))
    prompts = rows["prompt_id"].to_numpy().reshape(-1, len(steps))[:, 0]
    logs = np.log(np.maximum(values[:, :-1] - values[:, -1:], ROUNDING))
    inputs = np.concatenate([texts, looks], axis=1).astype(float)
    mean, spread = inputs.mean(axis=0), np.maximum(inputs.std(axis=0), 1e-6)
    inputs = (inputs - mean) / spread
    known, place = np.unique(prompts, return_inverse=True)
    fold = np.random.default_rng(seed).permutation(np.arange(len(known)) % FOLDS)[place]
    parts = [_Sums.of(inputs[fold == number], logs[fold == number]) for number in range(FOLDS)]
    left = {penalty: np.zeros(logs.shape[1]) for penalty in PENALTIES}
    for number in range(FOLDS):
        others, within = sum(parts[:number] + parts[number + 1 :], start=_Sums()), fold == number
        for penalty in PENALTIES:
            weight, bias = others.ridge(penalty)
            left[penalty] += ((inputs[within] @ weight + bias - logs[within]) ** 2).sum(axis=0) / len(logs)
    best = min(PENALTIES, key=lambda penalty: left[penalty].mean())
    weight, bias = sum(parts, start=_Sums()).ridge(best)
    bias = bias + left[best] / 2  # the mean of what is log-normal about its logarithm
    some = np.random.default_rng(seed).permutation(len(inputs))[:TYPICAL]
    found = PicturePredictor(steps, mean, spread, weight, bias, inputs[some] @ weight + bias)
    return found, float(1 - (left[best] / logs.var(axis=0)).mean())


def save_pictures(predictor: PicturePredictor, path: Path) -> None:
    """Write a predictor as safetensors, in float32."""
    numbers = {
        name: np.ascontiguousarray(value, np.float32) for name, value in vars(predictor).items() if name != "steps"
    }
    write_file(path, save({**numbers, "steps": predictor.steps}))


def load_pictures(path: Path) -> PicturePredictor:
    """Read what ``save_pictures`` wrote; ValueError for a file that is damaged or another's."""
    try:
        return PicturePredictor(**load_file(path))
    except (SafetensorError, TypeError) as error:
        raise ValueError(f"{path} is damaged ({str(error).splitlines()[0]}): train the predictor again") from None
