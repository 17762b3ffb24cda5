"""BudgetFusion as a toolkit: how many denoising steps does a prompt deserve? (arXiv 2412.05780)

What a user types is offered here and loaded when it is first used, so that ``import bfkit`` takes no time.
"""

import importlib
import sys
from importlib.abc import MetaPathFinder
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .dataset.build import build_dataset
    from .dataset.prompts import select_dissimilar
    from .dataset.table import read_scores
    from .explorer.page import write_explorer
    from .explorer.widget import explore
    from .metrics.l_snr import l_snr
    from .metrics.registry import METRICS
    from .metrics.scorer import load_scorer
    from .metrics.scorer import load_scorer as load_judges
    from .models.pipelines import load_pipeline
    from .predictor.advisor import StepAdvisor
    from .predictor.plateau import plateau_step, plateau_steps
    from .profiles import PROFILES, Profile, get_profile
    from .report.artifacts import Report
    from .sampling.generate import generate

__version__ = "0.2.0"
__all__ = [
    "METRICS",
    "PROFILES",
    "Profile",
    "Report",
    "StepAdvisor",
    "build_dataset",
    "explore",
    "generate",
    "get_profile",
    "l_snr",
    "load_judges",
    "load_pipeline",
    "load_scorer",
    "plateau_step",
    "plateau_steps",
    "read_scores",
    "select_dissimilar",
    "write_explorer",
]
_HOME = {  # public name: the module that defines it
    "METRICS": "metrics.registry",
    "PROFILES": "profiles",
    "Profile": "profiles",
    "Report": "report.artifacts",
    "StepAdvisor": "predictor.advisor",
    "build_dataset": "dataset.build",
    "explore": "explorer.widget",
    "generate": "sampling.generate",
    "get_profile": "profiles",
    "l_snr": "metrics.l_snr",
    "load_judges": "metrics.scorer",
    "load_pipeline": "models.pipelines",
    "load_scorer": "metrics.scorer",
    "plateau_step": "predictor.plateau",
    "plateau_steps": "predictor.plateau",
    "read_scores": "dataset.table",
    "select_dissimilar": "dataset.prompts",
    "write_explorer": "explorer.page",
}
_FORMER = {"load_judges": "load_scorer"}  # names of before, which notebooks of others may still use


class _BeforeTorchvision(MetaPathFinder):
    """Repairs torchvision (``bfkit._torchvision``) just before anybody imports it, and finds nothing itself."""

    def find_spec(self, fullname: str, path: object, target: object = None) -> None:
        if fullname == "torchvision":
            sys.meta_path.remove(self)
            importlib.import_module("bfkit._torchvision")


sys.meta_path.insert(0, _BeforeTorchvision())


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), _FORMER.get(name, name))
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
