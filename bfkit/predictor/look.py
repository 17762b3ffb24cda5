"""A picture's own curve from its prompt and its first look: how far it will be from its end after each step count.

Ridge regression of the logarithm of the D-SIM loss, the one metric that is a distance to the picture's own end. What it
has not learnt of a picture is luck; its curve is the mean over that luck, which is what a rule spends steps by.
"""

from dataclasses import dataclass
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


def _ridge(inputs: np.ndarray, targets: np.ndarray, penalty: float) -> tuple[np.ndarray, np.ndarray]:
    """Weight (F, G) and bias (G,) of standardised inputs (N, F) to targets (N, G)."""
    bias = targets.mean(axis=0)
    inner = inputs.T @ inputs + penalty * len(inputs) * np.eye(inputs.shape[1])
    return np.linalg.solve(inner, inputs.T @ (targets - bias)), bias


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
    guessed = {penalty: np.empty_like(logs) for penalty in PENALTIES}
    for penalty, guess in guessed.items():
        for out in range(FOLDS):
            weight, bias = _ridge(inputs[fold != out], logs[fold != out], penalty)
            guess[fold == out] = inputs[fold == out] @ weight + bias
    left = {penalty: ((guess - logs) ** 2).mean(axis=0) for penalty, guess in guessed.items()}
    best = min(PENALTIES, key=lambda penalty: left[penalty].mean())
    weight, bias = _ridge(inputs, logs, best)
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
