"""A picture as Depth Anything 3 sees it: the longest side to one length, then each side to whole patches.

Source: depth-anything-3 0.1.1, utils/io/input_processor.py, which resizes with OpenCV: by exact area where both sides
shrink, else by a cubic (a = -0.75) without antialiasing; levels are rounded after each of the two steps. Pillow's box
filter counts whole pixels only, so both filters are written out here; held to OpenCV's 5.0 they are within one level.
Deviation: a side below half a patch becomes one patch, where the original fails. Knows nothing of torch or networks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Size: TypeAlias = tuple[int, int]  # height, width

VERSION = 1  # raised whenever a picture's pixels, or what is made of its depth, would change
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # input_processor.py: NORMALIZE; ImageNet's
CUBIC = -0.75  # OpenCV's, and torch's


@dataclass(frozen=True, slots=True)
class Recipe:
    process_size: int  # pixels of the longest side
    patch: int

    @property
    def name(self) -> str:
        """Stable: part of the run key. Names the pixels, then what is made of the depth."""
        return f"depth_anything3/{VERSION} longest {self.process_size} multiple {self.patch} area,cubic; bilinear"

    def sizes(self, size: Size) -> tuple[Size, Size]:
        """Of a picture of `size`: after the first step, and as the network sees it."""
        scale = self.process_size / max(size)
        height, width = (max(1, round(side * scale)) for side in size)  # round(): half to even, as the original
        return (height, width), (self._whole(height), self._whole(width))

    def apply(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """(H, W, 3) -> (h, w, 3), both RGB."""
        first, last = self.sizes((image.shape[0], image.shape[1]))
        return resized(resized(image, first), last)

    def _whole(self, side: int) -> int:
        """The nearest multiple of the patch, upwards from the middle."""
        return max(1, (side + self.patch // 2) // self.patch) * self.patch


def resized(image: NDArray[np.uint8], size: Size) -> NDArray[np.uint8]:
    """(H, W, 3) -> (*size, 3), by area where no side grows, else by cubic."""
    old = (image.shape[0], image.shape[1])
    if size == old:
        return image
    along = _cubic if size[0] > old[0] or size[1] > old[1] else _area
    down = along(np.ascontiguousarray(image).reshape(old[0], -1), size[0])  # (h, 3 W) float32
    turned = down.reshape(size[0], old[1], 3).transpose(1, 0, 2).reshape(old[1], -1)  # (W, 3 h)
    across = along(turned, size[1]).reshape(size[1], size[0], 3).transpose(1, 0, 2)
    return np.rint(across).clip(0, 255).astype(np.uint8)


def _area(rows: NDArray[np.uint8 | np.float32], count: int) -> NDArray[np.float32]:
    """(n, m) -> (count, m): the average over each equal part of the rows, those at its ends by their share."""
    if count == len(rows):
        return rows.astype(np.float32)
    out = np.empty((count, rows.shape[1]), np.float32)
    step = len(rows) / count
    for i in range(count):
        start, end = i * step, min((i + 1) * step, len(rows))
        first, last = int(start), int(np.ceil(end))
        inside = np.arange(first, last)
        shares = np.minimum(inside + 1, end) - np.maximum(inside, start)
        out[i] = (shares / shares.sum()).astype(np.float32) @ rows[first:last].astype(np.float32)
    return out


def _cubic(rows: NDArray[np.uint8 | np.float32], count: int) -> NDArray[np.float32]:
    """(n, m) -> (count, m), each from its four nearest rows; the first and last go on outside."""
    if count == len(rows):
        return rows.astype(np.float32)
    centres = (np.arange(count) + 0.5) * (len(rows) / count) - 0.5
    below = np.floor(centres).astype(int)
    out = np.zeros((count, rows.shape[1]), np.float32)
    for tap in (-1, 0, 1, 2):
        weights = _cubic_weight(np.abs(centres - below - tap)).astype(np.float32)
        out += weights[:, None] * rows[(below + tap).clip(0, len(rows) - 1)]
    return out


def _cubic_weight(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Keys' kernel (IEEE TASSP 29, 1981) at 0 <= distance <= 2."""
    d, a = distance, CUBIC
    near = ((a + 2) * d - (a + 3)) * d * d + 1
    far = a * (((d - 5) * d + 8) * d - 4)
    return np.where(d <= 1, near, far)
