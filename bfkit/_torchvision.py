"""Let torchvision import beside a torch that its compiled operators were not built for.

PyPI's torchvision is built against CUDA torch; under a CPU-only torch its extension does not load, and importing it
fails at ``torchvision::nms``. Nothing here uses those operators, but transformers, open_clip, timm and dreamsim all
import torchvision. Declaring the two operators' signatures is enough; calling one still raises.
"""

from importlib.util import find_spec
from pathlib import Path

import torch

_SIGNATURES = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)


def _extension_loads() -> bool:
    """True if torchvision's compiled operators can be loaded into this torch."""
    spec = find_spec("torchvision")
    if spec is None or spec.origin is None:
        return True  # no torchvision at all: nothing to repair
    for library in Path(spec.origin).parent.glob("_C*.so"):
        try:
            torch.ops.load_library(str(library))
        except OSError:
            return False
    return True


def declare_missing_operators() -> torch.library.Library | None:
    """Declare torchvision's operators if its extension cannot load; returns the library to keep alive, else None."""
    if _extension_loads():
        return None
    library = torch.library.Library("torchvision", "DEF")
    for signature in _SIGNATURES:
        library.define(signature)
    return library


_LIBRARY = declare_missing_operators()
