"""Depth maps as this API writes them: a grey PNG, its scale, and a file to download.

Larger is farther, as in Depth Anything 3's own depth. Knows nothing of requests.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from visioncli.errors import UsageError
from visioncli.io import clouds, depth_files
from visioncli.tasks.depth import DepthMap

CAMERA = ("intrinsics", "extrinsics")

MAPS: dict[str, Callable[[DepthMap], bytes]] = {"npz": depth_files.npz}  # export_format -> the file, of the map alone
CLOUDS: dict[str, Callable[[DepthMap, NDArray[np.uint8]], bytes]] = {  # ... and of the picture, (h, w, 3) RGB
    "glb": clouds.glb,
    "ply": clouds.ply,
}


def refuse_gaussians(export_format: str) -> None:
    """Raise UsageError for the formats of models with a Gaussian head; there are none here."""
    known = *MAPS, *CLOUDS
    if export_format not in known:
        raise UsageError(
            f"export_format {export_format} needs a model with a Gaussian head, which none here has; "
            f"use {', '.join(known)}"
        )


def depth_body(maps: Sequence[DepthMap], files: Sequence[bytes], export_format: str) -> dict[str, Any]:
    """Return the answer's own fields: the first picture's at the top, the further ones' under `others`."""
    first, *others = [_one(*each, export_format) for each in zip(maps, files, strict=True)]
    shape = [len(maps), *first["metadata"]["shape"]]
    stacked = {
        name: [one["metadata"][name] for one in (first, *others)] for name in CAMERA if name in first["metadata"]
    }
    body = first | {"format": "png_base64", "export_format": export_format}
    body["metadata"] = first["metadata"] | {"shape": shape} | stacked
    return body | {"others": others} if others else body


def _one(found: DepthMap, file: bytes, export_format: str) -> dict[str, Any]:
    return {
        "depth_data": _text(grey_png(found.depth)),
        "metadata": _told(found, export_format),
        "export_data": _text(file),
    }


def grey_png(depth: NDArray[np.float32]) -> bytes:
    """Return an 8-bit grey PNG of (H, W): 0 is the smallest depth, 255 the largest; a constant map is all 0."""
    near, far = float(depth.min()), float(depth.max())
    scale = 255 / (far - near) if far > near else 0.0
    file = io.BytesIO()
    Image.fromarray(np.rint((depth.astype(np.float64) - near) * scale).astype(np.uint8)).save(file, "PNG")
    return file.getvalue()


def _told(found: DepthMap, export_format: str) -> dict[str, Any]:
    told = {
        "shape": list(found.depth.shape),
        "depth_min": found.depth.min(),
        "depth_max": found.depth.max(),
        "direction": "larger is farther",
        "formula": "depth = depth_min + value / 255 * (depth_max - depth_min)",
        "metric": found.metric,
    }
    if found.intrinsics is None and export_format != "npz":
        told["assumed_fov_deg"] = clouds.ASSUMED_FOV_DEG  # of the cloud's camera: the model tells none
    camera = {name: getattr(found, name) for name in CAMERA}
    return told | {name: np.ascontiguousarray(part) for name, part in camera.items() if part is not None}


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
