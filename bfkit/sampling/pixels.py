"""Pictures as the bytes that files and screens hold."""

import numpy as np
import torch


def to_bytes(images: torch.Tensor) -> np.ndarray:
    """Pictures (..., 3, H, W) in [0, 1] as uint8 (..., H, W, 3), each value rounded to the nearest of 256 levels."""
    return (images.clamp(0, 1).movedim(-3, -1) * 255).round().byte().cpu().numpy()
