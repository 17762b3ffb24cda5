"""The three metrics by name: their labels, directions and best values. Loads no model, and no torch."""

from dataclasses import dataclass


@dataclass(frozen=True)
class MetricInfo:
    """A metric's name in tables, its label in figures, its direction, and the best value it can take."""

    name: str
    label: str
    lower_is_better: bool
    best: float


METRICS: dict[str, MetricInfo] = {
    "l_snr": MetricInfo("l_snr", "L-SNR", lower_is_better=True, best=0.0),
    "d_sim": MetricInfo("d_sim", "D-SIM", lower_is_better=True, best=0.0),
    "i_clip": MetricInfo("i_clip", "I-CLIP", lower_is_better=False, best=1.0),
}
