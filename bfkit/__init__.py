"""BudgetFusion as a toolkit: how many denoising steps does a prompt deserve? (arXiv 2412.05780)"""

from . import _torchvision  # noqa: F401  (before anything that imports torchvision)
from .advisor import StepAdvisor
from .explorer import explore, write_explorer
from .launch import build_dataset
from .metrics import METRICS, l_snr, load_judges
from .pipelines import load_pipeline
from .plateau import plateau_step, plateau_steps
from .profiles import PROFILES, Profile, get_profile
from .prompts import select_dissimilar
from .scores import read_scores

__version__ = "0.1.0"
__all__ = [
    "METRICS",
    "PROFILES",
    "Profile",
    "StepAdvisor",
    "build_dataset",
    "explore",
    "get_profile",
    "l_snr",
    "load_judges",
    "load_pipeline",
    "plateau_step",
    "plateau_steps",
    "read_scores",
    "select_dissimilar",
    "write_explorer",
]
