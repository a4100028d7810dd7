"""What a row says, drawn on its picture: boxes and masks, or depth in colours beside it.

Masks and depth maps are read from the row or from the files it names. Knows nothing of pages.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from visioncli.io.decode import DecodeOptions, decode
from visioncli.tasks.objects import Objects, Rle

Pixels = NDArray[np.uint8]  # (h, w, 3) RGB
Row = Mapping[str, Any]  # an output's row
Drawn = Callable[[Pixels, Row, Path], Image.Image]  # (picture, row, the folder that its paths start at)

_LINES = 150  # a box's line is this part of the picture's longer side
_GAP = 4  # pixels between a picture and its depth
_DEPTH_SIDE = 512  # pixels of a map that is coloured for a page


def plain(image: Pixels, row: Row, folder: Path) -> Image.Image:
    """Return the picture as it is."""
    return Image.fromarray(image)


def with_objects(image: Pixels, row: Row, folder: Path) -> Image.Image:
    """Return the picture with boxes and masks; labels stand beside it on the page. Raises OSError, ValueError."""
    from visioncli.io.drawings import drawn

    found = objects_of(row, folder)
    line_px = max(1, round(max(image.shape[:2]) / _LINES))
    return drawn(image, found, (row["height"], row["width"]), lettered=False, line_px=line_px)


def with_depth(image: Pixels, row: Row, folder: Path) -> Image.Image:
    """Return the picture and, right of it, its depth in colours, near bright. Raises OSError, ValueError."""
    colours = depth_colours(row, folder)
    return Image.fromarray(image) if colours is None else beside(Image.fromarray(image), colours)


def only_depth(image: Pixels, row: Row, folder: Path) -> Image.Image:
    """Return the depth alone, in colours and of the picture's size. Raises OSError, ValueError."""
    colours = depth_colours(row, folder)
    return Image.fromarray(image) if colours is None else colours.resize(image.shape[1::-1])


OVERLAYS: dict[str, Drawn] = {"detect": with_objects, "segment": with_objects, "depth": with_depth}


def overlay_of(task: str) -> Drawn:
    """Return how a task's rows are drawn on their pictures."""
    return answered(OVERLAYS.get(task, plain))


def answered(draw: Drawn) -> Drawn:
    """Return `draw` for rows that were answered; one that failed is left as it is."""
    return lambda image, row, folder: (draw if row["error_code"] is None else plain)(image, row, folder)


def beside(left: Image.Image, right: Image.Image) -> Image.Image:
    """Return two pictures in one, both of the left one's size."""
    both = Image.new("RGB", (2 * left.width + _GAP, left.height), "white")
    both.paste(left, (0, 0))
    both.paste(right.resize(left.size), (left.width + _GAP, 0))
    return both


def objects_of(row: Row, folder: Path) -> Objects:
    """Return a row's objects, whatever way their masks are kept."""
    rows = row["objects"] or []
    boxes = [[one[name] for name in ("x0", "y0", "x1", "y1")] for one in rows]
    labels = tuple(one["label"] or "" for one in rows)
    masks = [_mask(one, folder) for one in rows]
    return Objects(
        labels,
        np.array([one["score"] for one in rows], np.float32),
        np.array(boxes, np.float32).reshape(-1, 4),
        labels,
        masks=tuple(mask for mask in masks if mask is not None) if all(masks) and masks else None,
        polygons=tuple(one["polygons"] for one in rows) if rows and "polygons" in rows[0] else None,
    )


def _mask(one: Mapping[str, Any], folder: Path) -> Rle | None:
    if one.get("mask") is not None:
        height, width = one["mask"]["size"]
        return Rle((height, width), one["mask"]["counts"])
    return _of_png(folder / one["mask_path"]) if one.get("mask_path") else None


def _of_png(path: Path) -> Rle:
    from pycocotools.mask import encode

    inside = decode(path.read_bytes(), DecodeOptions()).image[..., 0] > 127
    counts = encode(np.asfortranarray(inside).view(np.uint8))["counts"]
    return Rle((inside.shape[0], inside.shape[1]), counts.decode("ascii"))


def depth_colours(row: Row, folder: Path) -> Image.Image | None:
    """Return a row's depth map in colours, from its preview, its 16-bit PNG or its arrays; None where it has none."""
    if row.get("depth_preview_path"):
        return Image.fromarray(decode((folder / row["depth_preview_path"]).read_bytes(), DecodeOptions()).image)
    values = _values(row, folder)
    if values is None:
        return None
    from visioncli.io.depth_files import preview
    from visioncli.tasks.depth import DepthMap

    return Image.open(io.BytesIO(preview(DepthMap(values, bool(row["metric"])))))


def _values(row: Row, folder: Path) -> NDArray[np.float32] | None:
    """(h, w) of a row's map, every so many pixels of it. Raises OSError, ValueError."""
    if row.get("depth_path"):
        with Image.open(folder / row["depth_path"], formats=["PNG"]) as picture:
            levels = _thinned(np.asarray(picture)).astype(np.float64)
        near, far = row["depth_min"], row["depth_max"]
        found: NDArray[np.float32] = (near + levels / 65535 * (far - near)).astype(np.float32)
        return found
    if row.get("depth_npz_path"):
        with np.load(folder / row["depth_npz_path"], allow_pickle=False) as arrays:
            depth: NDArray[np.float32] = np.asarray(_thinned(arrays["depth"]), np.float32)
            return depth
    return None


def _thinned(values: NDArray[Any]) -> NDArray[Any]:
    step = max(1, -(-max(values.shape) // _DEPTH_SIDE))
    return values[::step, ::step]
