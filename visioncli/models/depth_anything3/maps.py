"""Maps at another resolution: the network's to the original's. Knows nothing of networks or of what a map means."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from visioncli.models.depth_anything3.pixels import Size
from visioncli.tasks.depth import DepthMap


def resampled(values: NDArray[np.float32], size: Size, mode: str) -> NDArray[np.float32]:
    """(h, w) -> `size`, as torch's interpolate does with `mode` (bilinear, bicubic), centres kept, no antialiasing.

    Raises MemoryError.
    """
    import torch

    if values.shape == size:
        return values
    grid = torch.from_numpy(np.ascontiguousarray(values))[None, None]
    try:
        large = torch.nn.functional.interpolate(grid, size, mode=mode, align_corners=False)
    except RuntimeError as error:  # what torch raises where its allocator gets nothing; no map is at fault otherwise
        raise MemoryError(f"a map of {size[1]} x {size[0]} pixels") from error
    out: NDArray[np.float32] = large[0, 0].numpy()
    return out


def enlarged(found: DepthMap, size: Size) -> DepthMap:
    """The same map with `size` pixels: depth and confidence bilinear, the sky nearest, intrinsics in the new pixels."""
    old = (found.depth.shape[0], found.depth.shape[1])
    if size == old:
        return found
    return replace(
        found,
        depth=resampled(found.depth, size, "bilinear"),
        confidence=None if found.confidence is None else resampled(found.confidence, size, "bilinear"),
        intrinsics=None if found.intrinsics is None else _scaled(found.intrinsics, size[0] / old[0], size[1] / old[1]),
        sky=None if found.sky is None else _nearest(found.sky, size),
    )


def _scaled(intrinsics: NDArray[np.float32], down: float, across: float) -> NDArray[np.float32]:
    """Pixels across count x's row, pixels down y's. Both frames begin at the picture's corner."""
    return intrinsics * np.array([[across], [down], [1]], np.float32)


def _nearest(mask: NDArray[np.bool_], size: Size) -> NDArray[np.bool_]:
    rows, columns = (
        ((np.arange(new) + 0.5) * old / new).astype(int) for new, old in zip(size, mask.shape, strict=True)
    )
    out: NDArray[np.bool_] = mask[rows[:, None], columns]
    return out
