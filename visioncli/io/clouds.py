"""A depth map as a point cloud: GLB for viewers, PLY for tools that measure.

Each pixel becomes a point along its ray at its depth; the picture gives the colour. Both files have glTF's axes (x
right, y up, z towards the viewer) and the median point in their origin. What was subtracted is told in the file: the
camera is at minus that. One picture is one view, and the frame is its own camera's, to which upstream aligns a first
view too: extrinsics would change nothing and are not read. Upstream's wireframe of the camera is left out.
Knows nothing of paths or models.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from math import radians, tan
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from visioncli.tasks.depth import DepthMap

MOST_POINTS = 1_000_000  # as upstream's GLB
# Below this confidence a pixel is no point: at least SURE, and at least what the lowest percent has, but the highest
# percent always stays (percentiles of what is outside the sky), as upstream's glb.py, get_conf_thresh.
SURE, LOWEST, HIGHEST = 1.05, 40, 90
ASSUMED_FOV_DEG = 60.0  # along the longer side, where a model tells no intrinsics
_SEED = 0  # of the choice among too many points


@dataclass(frozen=True, slots=True)
class Cloud:
    """Points in glTF's axes, in the unit of the map's depth."""

    points: NDArray[np.float32]  # (N, 3) x right, y up, z towards the viewer; the median is the origin
    colours: NDArray[np.uint8]  # (N, 3) sRGB
    told: dict[str, Any]  # what a reader has to know of them


def glb(depth_map: DepthMap, image: NDArray[np.uint8]) -> bytes:
    """Return a binary glTF 2.0 of a map's points; `image` is (h, w, 3) RGB of any size.

    Colours are linear there (glTF 2.0, 3.7.2.1), in 8 bits. `told` is under `visioncli` in the scene's extras.
    """
    trimesh = _trimesh()
    cloud = unproject(depth_map, image)
    scene = trimesh.Scene(metadata={"visioncli": cloud.told})
    scene.add_geometry(trimesh.PointCloud(cloud.points, _linear(cloud.colours)), geom_name="points")
    data: bytes = scene.export(file_type="glb")
    return data


def ply(depth_map: DepthMap, image: NDArray[np.uint8]) -> bytes:
    """Return a binary PLY of a map's points; `image` is (h, w, 3) RGB of any size.

    Colours are sRGB, as the picture's. `told` is one comment, `visioncli` and JSON.
    """
    cloud = unproject(depth_map, image)
    data: bytes = _trimesh().PointCloud(cloud.points, cloud.colours).export(file_type="ply")
    comment = f"comment visioncli {json.dumps(cloud.told)}\nend_header\n"
    return data.replace(b"end_header\n", comment.encode("ascii"), 1)


def unproject(depth_map: DepthMap, image: NDArray[np.uint8]) -> Cloud:
    """Return a map's points: no sky, none that is less than SURE, at most MOST_POINTS, the same at every call.

    Where all is sky, all of it stays: a glTF without a point is none. A pixel's ray goes through its centre.
    """
    depth = depth_map.depth
    height, width = depth.shape
    chosen = _chosen(depth_map)  # (N,) of the flattened map
    rows, columns = np.divmod(chosen, width)
    fx, fy, cx, cy = _pinhole(depth_map)
    z = depth.ravel()[chosen].astype(np.float64)  # (N,) camera frame: x right, y down, z forward
    points = np.stack([(columns + 0.5 - cx) / fx * z, (rows + 0.5 - cy) / fy * -z, -z], axis=1)  # y and z flipped: glTF
    origin = np.median(points, axis=0)
    colours = _picture_of(image, (height, width))[rows, columns]
    told = {"origin": origin.tolist(), "metric": depth_map.metric, "intrinsics": [fx, fy, cx, cy]}
    if depth_map.intrinsics is None:
        told["assumed_fov_deg"] = ASSUMED_FOV_DEG
    return Cloud((points - origin).astype(np.float32), colours, told)


def _trimesh() -> Any:
    """The library, a third of a second to import; its annotations are too few for a strict check."""
    import trimesh

    return trimesh


def _chosen(depth_map: DepthMap) -> NDArray[np.intp]:
    """(N,) indices into the flattened map, ascending."""
    kept = np.ones(depth_map.depth.shape, np.bool_) if depth_map.sky is None else ~depth_map.sky
    if not kept.any():
        kept = ~kept
    if depth_map.confidence is not None:
        low, high = np.percentile(depth_map.confidence[kept], (LOWEST, HIGHEST))
        kept &= depth_map.confidence >= min(max(SURE, low), high)
    found = np.flatnonzero(kept)
    if len(found) <= MOST_POINTS:
        return found
    return np.sort(np.random.default_rng(_SEED).choice(found, MOST_POINTS, replace=False, shuffle=False))


def _pinhole(depth_map: DepthMap) -> tuple[float, float, float, float]:
    """fx, fy, cx, cy in pixels of the map, whose top left corner is (0, 0)."""
    given = depth_map.intrinsics
    if given is not None:
        return float(given[0, 0]), float(given[1, 1]), float(given[0, 2]), float(given[1, 2])
    height, width = depth_map.depth.shape
    focal = max(height, width) / 2 / tan(radians(ASSUMED_FOV_DEG / 2))
    return focal, focal, width / 2, height / 2


def _picture_of(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """(h, w, 3) -> (height, width, 3), both RGB."""
    if image.shape[:2] == size:
        return image
    return np.asarray(Image.fromarray(image).resize(size[::-1], Image.Resampling.BILINEAR))


def _linear(colours: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """sRGB -> linear RGB, both of 0 to 255 (IEC 61966-2-1)."""
    share = np.arange(256) / 255
    table = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    linear: NDArray[np.uint8] = np.rint(table * 255).astype(np.uint8)[colours]
    return linear
