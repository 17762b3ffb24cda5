"""The 2AFC user study (Section 4.4; Figures 9-11): its page, its answers, what they say, and observers to try it on."""

from bfkit.extras import extra

with extra("study"):
    from .analysis import (
        Interval,
        Rules,
        apply_rules,
        bootstrap,
        by_participant,
        crossed,
        d_prime,
        jnd,
        mean_share,
        participants_needed,
        side_bias,
        spread,
        time_on_trial,
    )
    from .design import Design, Study
    from .folder import Page, build, read_study
    from .mixed import Mixed, mixed_share
    from .observers import Observers, simulate
    from .pictures import read_pictures
    from .records import SCHEMA, import_authors_csv, read_answers
    from .report import Analysis, analyse, shares_finding, write_report
    from .serve import StudyServer, serve
    from .widget import StudyWidget

__all__ = [
    "SCHEMA",
    "Analysis",
    "Design",
    "Interval",
    "Mixed",
    "Observers",
    "Page",
    "Rules",
    "Study",
    "StudyServer",
    "StudyWidget",
    "analyse",
    "apply_rules",
    "bootstrap",
    "build",
    "by_participant",
    "crossed",
    "d_prime",
    "import_authors_csv",
    "jnd",
    "mean_share",
    "mixed_share",
    "participants_needed",
    "read_answers",
    "read_pictures",
    "read_study",
    "serve",
    "shares_finding",
    "side_bias",
    "simulate",
    "spread",
    "time_on_trial",
    "write_report",
]
