"""One depth map per picture, and what is made of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from visioncli.errors import UsageError
from visioncli.provenance import ModelInfo
from visioncli.tasks import Task, keep_several, pictures_needed

EXPORTS = {  # what a depth map may be written as -> the column that holds its path
    "png16": "depth_path",
    "npz": "depth_npz_path",
    "preview": "depth_preview_path",
    "glb": "depth_glb_path",
    "ply": "depth_ply_path",
}
SIZES = ("original", "model")
MOST_FOCAL = 1_000_000  # pixels; five times that of a 1,000 mm lens on a film of 8,000 pixels


def is_focal(pixels: float) -> bool:
    """Whether a number may be a focal length in pixels."""
    return 0 < pixels <= MOST_FOCAL


@dataclass(frozen=True, slots=True)
class DepthOptions:
    exports: tuple[str, ...] = ("png16",)  # keys of EXPORTS
    size: str = "original"  # the map's pixels: those of the upright original, or the fewer that the model gives
    focal_px: float | None = None  # focal length in pixels of the original; makes a metric model's depth metres
    focal_column: str | None = None  # key in ImageRef.extra with the same, a row at a time

    def __post_init__(self) -> None:
        keep_several(self, "exports")
        unknown = [name for name in self.exports if name not in EXPORTS]
        if unknown:
            raise UsageError(f"unknown export {unknown[0]!r}; known: {', '.join(EXPORTS)}")
        if self.size not in SIZES:
            raise UsageError(f"unknown depth size {self.size!r}; known: {', '.join(SIZES)}")
        if self.focal_px is not None and not is_focal(self.focal_px):
            raise UsageError(f"--focal must be more than 0 and at most {MOST_FOCAL:,} pixels")
        if self.focal_px is not None and self.focal_column is not None:
            raise UsageError("--focal and --focal-col exclude each other")


@dataclass(frozen=True, slots=True)
class DepthMap:
    """Distance along the optical axis, larger is farther; in metres where `metric`, else up to a scale."""

    depth: NDArray[np.float32]  # (H, W), finite; pixels of the upright original, or of the model
    metric: bool
    confidence: NDArray[np.float32] | None = None  # (H, W), larger is surer
    intrinsics: NDArray[np.float32] | None = None  # (3, 3), in pixels of `depth`
    extrinsics: NDArray[np.float32] | None = None  # (3, 4), world to camera
    sky: NDArray[np.bool_] | None = None  # (H, W), where a model tells it
    near: float | None = None  # smallest and largest depth of a map that was written and let go
    far: float | None = None
    paths: dict[str, str] = field(default_factory=dict)  # column -> path, once written

    @property
    def ends(self) -> tuple[float, float]:
        """The smallest and the largest depth, also where the map was let go."""
        if self.near is not None and self.far is not None:
            return self.near, self.far
        return float(self.depth.min()), float(self.depth.max())

    @property
    def nbytes(self) -> int:
        """What it holds, so that what waits can be bounded."""
        return 256 + sum(part.nbytes for part in (self.depth, self.confidence, self.sky) if part is not None)


def _columns(options: DepthOptions, info: ModelInfo) -> pa.Schema:
    paths = [(EXPORTS[name], pa.string()) for name in options.exports]
    first = paths if "png16" in options.exports else [("depth_path", pa.string()), *paths]
    return pa.schema([*first, ("depth_min", pa.float32()), ("depth_max", pa.float32()), ("metric", pa.bool_())])


def _to_row(result: DepthMap, options: DepthOptions) -> dict[str, Any]:
    near, far = result.ends
    return result.paths | {"depth_min": near, "depth_max": far, "metric": result.metric}


def _in_files(options: DepthOptions) -> str | None:
    """The first export beyond the usual one, without which a row still says how near and far its picture is."""
    return next((f"export {name!r}" for name in options.exports if name != "png16"), None)


def _reads(options: DepthOptions) -> tuple[str, ...]:
    return () if options.focal_column is None else (options.focal_column,)


TASK: Task[DepthOptions, DepthMap] = Task(
    "depth", DepthOptions, _columns, _to_row, for_rows=pictures_needed, reads=_reads, in_files=_in_files
)
