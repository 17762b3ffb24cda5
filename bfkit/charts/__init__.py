"""One function a figure: tidy frames in, an Altair chart out, all in one theme."""

from .curves import architecture, errors, errors_by_step, judging, mean_curves, plateaus
from .gains import against_oracle, efficiency, paraphrases, relative_quality, reliability, weight_surface
from .people import study_sides, study_times, user_study
from .rivals import combinations, systems
from .shapes import bars, histogram, scatter, small_multiples, two_histograms
from .stops import ablation, rules
from .theme import COLORS, DASHES, INK, LABELS, MUTED, RULE, SERIES

__all__ = [
    "COLORS",
    "DASHES",
    "INK",
    "LABELS",
    "MUTED",
    "RULE",
    "SERIES",
    "ablation",
    "against_oracle",
    "architecture",
    "bars",
    "combinations",
    "efficiency",
    "errors",
    "errors_by_step",
    "histogram",
    "judging",
    "mean_curves",
    "paraphrases",
    "plateaus",
    "relative_quality",
    "reliability",
    "rules",
    "scatter",
    "small_multiples",
    "study_sides",
    "study_times",
    "systems",
    "two_histograms",
    "user_study",
    "weight_surface",
]
