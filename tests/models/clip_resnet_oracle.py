"""open_clip's preprocessing, from torchvision's documented definition: what our recipe is held to."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Picture = Image.Image


def resized(image: Picture, side: int, filter: Image.Resampling) -> Picture:
    """torchvision's Resize(side): the shorter edge becomes `side`, the longer int(side * long / short)."""
    short, long = sorted(image.size)
    new = int(side * long / short)
    return image.resize((side, new) if image.width <= image.height else (new, side), filter)


def cropped(image: Picture, side: int) -> Picture:
    """torchvision's CenterCrop(side): the corner is int(round(rest / 2.0))."""
    left, top = int(round((image.width - side) / 2.0)), int(round((image.height - side) / 2.0))  # noqa: RUF046
    return image.crop((left, top, left + side, top + side))


def truth(image: Picture, side: int, filter: Image.Resampling = Image.Resampling.BICUBIC) -> NDArray[np.uint8]:
    """(side, side, 3) grey levels 0 to 255, before ToTensor and Normalize."""
    return np.asarray(cropped(resized(image, side, filter), side).convert("RGB"))
