"""Curves, weights and pictures to touch: in JupyterLab, where a kernel answers, and as one offline page."""

from bfkit.extras import extra

with extra("notebooks"):
    from .page import write_explorer
    from .widget import Explorer, explore

__all__ = ["Explorer", "explore", "write_explorer"]
