"""One function a figure: tidy frames in, an Altair chart out, all in one theme."""

from bfkit.extras import extra

with extra("notebooks"):
    from .beyond import by_steps, dense, shares
    from .chartbook import ChartBook, dealt, kept_on_map, priced
    from .choice import paraphrases, weight_surface
    from .efficiency import against_oracle, efficiency, relative_quality
    from .gallery import curve_names, pictured, score_curves
    from .generic import bars, histogram, scatter, small_multiples, two_histograms
    from .network import architecture
    from .plateaus import mean_curves, plateaus
    from .prediction import agreement, errors, errors_by_step, scoring_time
    from .rules import metric_subsets, rules
    from .study import study_sides, study_times, user_study
    from .systems import combinations, inception, systems, times
    from .theme import COLORS, DASHES, INK, LABELS, MUTED, RULE, SERIES

__all__ = [
    "COLORS",
    "DASHES",
    "INK",
    "LABELS",
    "MUTED",
    "RULE",
    "SERIES",
    "ChartBook",
    "against_oracle",
    "agreement",
    "architecture",
    "bars",
    "by_steps",
    "combinations",
    "curve_names",
    "dealt",
    "dense",
    "efficiency",
    "errors",
    "errors_by_step",
    "histogram",
    "inception",
    "kept_on_map",
    "mean_curves",
    "metric_subsets",
    "paraphrases",
    "pictured",
    "plateaus",
    "priced",
    "relative_quality",
    "rules",
    "scatter",
    "score_curves",
    "scoring_time",
    "shares",
    "small_multiples",
    "study_sides",
    "study_times",
    "systems",
    "times",
    "two_histograms",
    "user_study",
    "weight_surface",
]
