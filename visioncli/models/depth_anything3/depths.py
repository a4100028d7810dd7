"""What a network says of one picture, made into its depth: the sky put far away, metres where a scale is known.

Source: depth-anything-3 0.1.1, model/da3.py and utils/alignment.py. Quantiles are those of all pixels, where the
original draws 100,000 of them by chance. Knows nothing of torch, checkpoints or files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import hypot, isfinite

import numpy as np
from numpy.typing import NDArray

from visioncli.errors import PredictError
from visioncli.models.depth_anything3.pixels import Size
from visioncli.samples import Sample
from visioncli.tasks.depth import DepthMap, DepthOptions, is_focal

SKY = 0.3  # da3.py: at least this much is sky
FEW = 10  # da3.py: no rule is applied to so few pixels
FAR, FARTHEST = 0.99, 200.0  # da3.py: the sky is at this quantile of what is not; metres, of a nested network's
CANONICAL_FOCAL = 300.0  # alignment.py: pixels, as the network sees the picture, for which metric depth is metres
LEAST_DEPTH, LEAST_METRES = 1e-3, 1e-2  # alignment.py: nearer pixels do not tell the scale
FILM_DIAGONAL = hypot(36, 24)  # mm; CIPA DCG-001: what a focal length "in 35 mm film" is in proportion to


@dataclass(frozen=True, slots=True)
class Maps:
    """A network's answer for one picture, (h, w) as the network sees it; float32."""

    depth: NDArray[np.float32]  # (h, w)
    confidence: NDArray[np.float32] | None = None  # (h, w)
    extrinsics: NDArray[np.float32] | None = None  # (3, 4), world to camera
    intrinsics: NDArray[np.float32] | None = None  # (3, 3), in pixels of (h, w)
    sky: NDArray[np.float32] | None = None  # (h, w)
    metric_depth: NDArray[np.float32] | None = None  # (h, w), a nested network's; for CANONICAL_FOCAL

    @property
    def nbytes(self) -> int:
        parts = (self.depth, self.confidence, self.sky, self.metric_depth)
        return sum(part.nbytes for part in parts if part is not None)


def any_view(maps: Maps, focal: tuple[float, float] | None) -> DepthMap:
    """Depth up to a scale; no focal length changes it."""
    return DepthMap(maps.depth, False, maps.confidence, maps.intrinsics, maps.extrinsics)


def mono(maps: Maps, focal: tuple[float, float] | None) -> DepthMap:
    """Depth up to a scale, the sky at FAR of what is not."""
    sky = _sky(maps)
    if min(sky.sum(), (~sky).sum()) <= FEW:
        return DepthMap(maps.depth, False, sky=sky)
    far = np.quantile(maps.depth[~sky], FAR)
    return DepthMap(np.where(sky, far, maps.depth).astype(np.float32), False, sky=sky)


def metric(maps: Maps, focal: tuple[float, float] | None) -> DepthMap:
    """Metres for a focal length (x and y, in pixels of (h, w)); without one as `mono`, for CANONICAL_FOCAL."""
    found = mono(maps, None)
    if focal is None:
        return found
    metres = (found.depth * (sum(focal) / 2 / CANONICAL_FOCAL)).astype(np.float32)
    return replace(found, depth=metres, metric=True, intrinsics=_intrinsics(focal, maps.depth.shape))


def nested(maps: Maps, focal: tuple[float, float] | None) -> DepthMap:
    """The any-view network's depth, to the metric one's scale: for its own focal length where none is given.

    Where nothing tells the scale (all sky, say), depth is left up to it.
    """
    assert maps.confidence is not None and maps.intrinsics is not None  # noqa: PT018
    assert maps.extrinsics is not None and maps.metric_depth is not None  # noqa: PT018
    intrinsics = maps.intrinsics if focal is None else _intrinsics(focal, maps.depth.shape)
    metres = maps.metric_depth * ((intrinsics[0, 0] + intrinsics[1, 1]) / 2 / CANONICAL_FOCAL)
    sky = _sky(maps)
    scale = _scale(maps, metres, sky)
    found = DepthMap(maps.depth, False, maps.confidence, intrinsics, maps.extrinsics, sky)
    if scale is None:
        return found
    depth = maps.depth * scale
    far = min(np.quantile(depth[~sky], FAR), FARTHEST)
    moved = np.concatenate([maps.extrinsics[:, :3], maps.extrinsics[:, 3:] * scale], axis=1)
    return replace(
        found,
        depth=np.where(sky, far, depth).astype(np.float32),
        metric=True,
        confidence=np.where(sky, 1, maps.confidence).astype(np.float32),  # da3.py
        extrinsics=moved.astype(np.float32),
    )


KINDS = {"any_view": any_view, "mono": mono, "metric": metric, "nested": nested}
FOCAL_KINDS = ("metric", "nested")  # those whose depth a focal length changes


def _sky(maps: Maps) -> NDArray[np.bool_]:
    assert maps.sky is not None
    return maps.sky >= SKY


def _scale(maps: Maps, metres: NDArray[np.float32], sky: NDArray[np.bool_]) -> np.float32 | None:
    """The least-squares scale from depth to metres, over the surer half of what is not sky."""
    assert maps.confidence is not None
    if (~sky).sum() <= FEW:
        return None
    sure = maps.confidence >= np.quantile(maps.confidence[~sky], 0.5)
    telling = sure & ~sky & (metres > LEAST_METRES) & (maps.depth > LEAST_DEPTH)
    if not telling.any():
        return None
    given, wanted = maps.depth[telling].astype(np.float64), metres[telling].astype(np.float64)
    return np.float32(wanted @ given / (given @ given))


def _intrinsics(focal: tuple[float, float], size: tuple[int, ...]) -> NDArray[np.float32]:
    """(3, 3), the principal point at the centre."""
    x, y = focal
    return np.array([[x, 0, size[1] / 2], [0, y, size[0] / 2], [0, 0, 1]], np.float32)


def given_focal(sample: Sample, options: DepthOptions) -> float | None:
    """Return the focal length of the options or the row, in pixels of the original; None for an empty cell.

    Raises PredictError("preprocess_failed") for a cell that is no length.
    """
    if options.focal_column is None:
        return options.focal_px
    cell = sample.ref.extra.get(options.focal_column)
    if cell is None or not str(cell).strip():
        return None
    try:
        focal = float(str(cell))
    except ValueError:
        focal = 0.0
    if not is_focal(focal):
        raise PredictError(
            "preprocess_failed", f"the column {options.focal_column} has {cell!r}, which is no focal length in pixels"
        )
    return focal


def exif_focal(exif: Mapping[str, object] | None, size: Size) -> float | None:
    """Return the focal length in pixels of an original of `size`, where EXIF says what it is in 35 mm film."""
    film = (exif or {}).get("focal_length_35mm")  # mm; EXIF 2.32, 4.6.5: 0 is unknown
    if not isinstance(film, int | float) or not (isfinite(film) and film > 0):
        return None
    return film * hypot(*size) / FILM_DIAGONAL


def original_size(sample: Sample) -> Size:
    """(height, width) of the upright original. `sample.image` may be a scaled decoding of it, or gone."""
    if sample.facts.size is not None:
        return sample.facts.size
    assert sample.image is not None  # only a caller that decodes by itself leaves the size out
    return sample.image.shape[0], sample.image.shape[1]
