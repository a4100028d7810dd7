"""DINOv3's preprocessing by its definition, in float64: its stock processor needs torchvision."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

MEAN, STD = (
    (0.485, 0.456, 0.406),
    (0.229, 0.224, 0.225),
)  # ImageNet's: preprocessor_config.json of the hub's checkpoints


def pixels(
    pictures: list[NDArray[np.uint8]], size: tuple[int, int] = (224, 224), mode: str = "bilinear"
) -> torch.Tensor:
    """(N, 3, h, w) float64: first x / 255, then resized with antialiasing, then normalised (transformers 5.23)."""
    mean, std = (torch.tensor(values, dtype=torch.float64).view(3, 1, 1) for values in (MEAN, STD))
    floats = [torch.from_numpy(picture).permute(2, 0, 1)[None].double() / 255 for picture in pictures]
    resized = [torch.nn.functional.interpolate(x, size, mode=mode, antialias=True, align_corners=False) for x in floats]
    return (torch.cat(resized) - mean) / std
