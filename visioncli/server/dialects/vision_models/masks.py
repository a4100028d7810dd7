"""Masks as this API writes them: numbers, two kinds of run lengths, simplified outlines.

Knows nothing of scores, prompts or requests; masks come as the task gives them, `Rle` and `Rings`.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from visioncli.errors import UsageError
from visioncli.tasks.objects import Objects, Rings, Rle

TOLERANCE = 1.5  # pixels that a simplified outline may be off, as the original's
DENSE_PIXELS = 10**8  # of one answer's dense masks: each takes two bytes of JSON

Points = NDArray[np.float64]  # (n, 2) x y


def runs(mask: Rle) -> NDArray[np.uint32]:
    """Return a mask's run lengths, column by column, zeros first: what COCO's compressed counts hold.

    Five bits a character, lowest first, 0x20 when more follow, 0x10 the last one's sign; from the fourth run on, the
    difference to the run before the previous one (rleToString in COCO's maskApi.c).
    """
    codes = np.frombuffer(mask.counts.encode("ascii"), np.uint8).astype(np.int64) - 48
    ends = np.flatnonzero(codes & 0x20 == 0)
    starts = np.concatenate([[0], ends[:-1] + 1])
    places = np.arange(len(codes)) - np.repeat(starts, ends - starts + 1)  # of a character within its number
    values = np.add.reduceat((codes & 0x1F) << 5 * places, starts)
    values -= np.where(codes[ends] & 0x10, 1 << 5 * (places[ends] + 1), 0)
    values[1::2] = np.cumsum(values[1::2])
    values[2::2] = np.cumsum(values[2::2])
    return values.astype(np.uint32)


def pixels(mask: Rle) -> NDArray[np.uint8]:
    """Return a mask as (H, W) of 0 and 1."""
    height, width = mask.size
    lengths = runs(mask)
    columns = np.repeat(np.arange(len(lengths), dtype=np.uint8) & 1, lengths).reshape(width, height)
    return np.ascontiguousarray(columns.T)


def container(mask: Rle) -> dict[str, Any]:
    """Return the original's own form: base64 of zlib of the runs as little-endian uint32."""
    packed = zlib.compress(runs(mask).astype("<u4").tobytes())
    return {"encoding": "rle", "size": mask.size, "counts": base64.b64encode(packed).decode("ascii")}


def contours(rings: Rings) -> list[list[list[float]]]:
    """Return the outer outlines as [x, y] points, simplified; what has fewer than three points then is left out."""
    outer = [loop for ring in rings for loop in _outer(np.reshape(ring, (-1, 2)))]
    simple = [simplified(loop, TOLERANCE) for loop in outer]
    return [loop.tolist() for loop in simple if len(loop) >= 3]


def _outer(ring: Points) -> list[Points]:
    """A ring's loops that run clockwise: the task reaches its holes by seams, and those run the other way round."""
    way: list[tuple[float, float]] = []
    at: dict[tuple[float, float], int] = {}
    loops = []
    for point in map(tuple, ring.tolist()):
        if point in at:
            first = at[point]
            loops.append(way[first:])
            for passed in way[first + 1 :]:
                del at[passed]
            del way[first + 1 :]
        else:
            at[point] = len(way)
            way.append(point)
    return [np.array(loop) for loop in (way, *loops) if _area(np.array(loop)) > 0]


def _area(loop: Points) -> float:
    """Twice the area; positive for what runs clockwise, y down."""
    x, y = loop.T
    return float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))


def simplified(loop: Points, tolerance: float) -> Points:
    """Return a closed outline's corners that matter (Douglas and Peucker, 1973): the rest is within `tolerance`."""
    far = int(np.argmax(np.hypot(*(loop - loop[0]).T)))
    closed = np.concatenate([loop, loop[:1]])
    kept = np.zeros(len(closed), bool)
    kept[[0, far]] = True
    spans = [(0, far), (far, len(loop))]
    while spans:
        first, last = spans.pop()
        away = _distances(closed[first + 1 : last], closed[first], closed[last])
        if away.size and away.max() > tolerance:
            middle = first + 1 + int(away.argmax())
            kept[middle] = True
            spans += [(first, middle), (middle, last)]
    return closed[:-1][kept[:-1]]


def _distances(points: Points, start: NDArray[np.float64], end: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n,) of points from the straight way between two, which may be one."""
    along, offsets = end - start, points - start
    share = np.clip(offsets @ along / max(float(along @ along), 1e-9), 0, 1)
    away: NDArray[np.float64] = np.linalg.norm(offsets - share[:, None] * along, axis=1)
    return away


def refuse_too_many_pixels(found: Iterable[Objects]) -> None:
    """Raise UsageError where dense masks would be more numbers than one answer should have."""
    masks = (mask for objects in found for mask in objects.masks or ())
    if sum(mask.size[0] * mask.size[1] for mask in masks) > DENSE_PIXELS:
        raise UsageError("the dense masks would be too large for one answer; ask for output_format rle or polygons")


def dense(found: Objects, chosen: Sequence[int]) -> dict[str, Any]:
    masks = [pixels(mask) for mask in _masks(found, chosen)]
    return {"masks": np.stack(masks) if masks else []}


def run_lengths(found: Objects, chosen: Sequence[int]) -> dict[str, Any]:
    return {"masks_rle": [container(mask) for mask in _masks(found, chosen)]}


def both_run_lengths(found: Objects, chosen: Sequence[int]) -> dict[str, Any]:
    coco = [{"size": mask.size, "counts": mask.counts} for mask in _masks(found, chosen)]
    return run_lengths(found, chosen) | {"masks_coco": coco}


def polygons(found: Objects, chosen: Sequence[int]) -> dict[str, Any]:
    return {"masks_polygon": [contours((found.polygons or ())[i]) for i in chosen]}


def _masks(found: Objects, chosen: Sequence[int]) -> list[Rle]:
    return [(found.masks or ())[i] for i in chosen]


Written = Callable[[Objects, Sequence[int]], dict[str, Any]]  # (found, which of them) -> the result's mask fields

MASKS: dict[str, dict[str, Written]] = {  # fidelity -> output_format -> what writes it
    "document": {"dense": dense, "rle": both_run_lengths, "polygons": polygons},
    "original": {"dense": dense, "rle": run_lengths, "polygons": polygons},
}
