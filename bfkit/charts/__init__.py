"""One function a figure: tidy frames in, an Altair chart out, all in one theme."""

from bfkit.extras import extra

with extra("notebooks"):
    from .beyond import by_steps, dense, shares
    from .choice import paraphrases, weight_surface
    from .efficiency import against_oracle, efficiency, relative_quality
    from .generic import bars, histogram, scatter, small_multiples, two_histograms
    from .network import architecture
    from .plateaus import mean_curves, plateaus
    from .prediction import agreement, errors, errors_by_step, scoring_time
    from .rules import metric_subsets, rules
    from .study import study_sides, study_times, user_study
    from .systems import combinations, systems
    from .theme import COLORS, DASHES, INK, LABELS, MUTED, RULE, SERIES

__all__ = [
    "COLORS",
    "DASHES",
    "INK",
    "LABELS",
    "MUTED",
    "RULE",
    "SERIES",
    "against_oracle",
    "agreement",
    "architecture",
    "bars",
    "by_steps",
    "combinations",
    "dense",
    "efficiency",
    "errors",
    "errors_by_step",
    "histogram",
    "mean_curves",
    "metric_subsets",
    "paraphrases",
    "plateaus",
    "relative_quality",
    "rules",
    "scatter",
    "scoring_time",
    "shares",
    "small_multiples",
    "study_sides",
    "study_times",
    "systems",
    "two_histograms",
    "user_study",
    "weight_surface",
]
