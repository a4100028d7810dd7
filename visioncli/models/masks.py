"""A model's mask logits -> masks of the upright original, and what they are kept as: run lengths or outlines.

One full-size mask at a time: what is made here is made of an iterator, and only run lengths and outlines stay. Knows
nothing of models, scores or files.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from visioncli.tasks.objects import Rings, Rle

Mask: TypeAlias = NDArray[np.bool_]  # (H, W), pixels of the upright original

BLOCK = 64  # columns enlarged at once: 1.5 MB at 3000 rows, which a core's cache holds


def covered(logits: NDArray[np.float32], size: tuple[int, int], threshold: float) -> Mask:
    """Return the pixels whose probability is above `threshold`.

    `logits` (h, w) are of the whole picture, squashed; `size` is (H, W). First sigmoid, then bilinear between centres
    without antialiasing, then the threshold: Sam3ImageProcessor.post_process_instance_segmentation, transformers 5.23.
    What is made is column by column in memory, as COCO counts, and nothing is computed where there can be no object.
    """
    shares = expit(logits)  # (h, w)
    full = np.zeros(size[::-1], bool)  # (W, H)
    rows, columns = (np.flatnonzero((shares > threshold).any(axis=axis)) for axis in (1, 0))
    if rows.size:
        y, x = _between(rows, shares.shape[0], size[0]), _between(columns, shares.shape[1], size[1])
        tall = np.ascontiguousarray(_mixed(shares, y).T)  # (w, H')
        found = full[x.start : x.start + len(x.first), y.start : y.start + len(y.first)]  # (W', H')
        for some in (slice(n, n + BLOCK) for n in range(0, len(found), BLOCK)):
            found[some] = _mixed(tall, x.part(some)) > threshold
    return full.T


def expit(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return 1 / (1 + exp(-logits)), without overflow."""
    small = np.exp(-np.abs(logits))
    return np.where(logits >= 0, 1 / (1 + small), small / (1 + small))


class Between(NamedTuple):
    """How `n` pixels in a row, from `start` on, lie between two of the model's each."""

    start: int
    first: NDArray[np.int64]  # (n,), index among the model's
    second: NDArray[np.int64]  # (n,)
    share: NDArray[np.float32]  # (n,), of the second

    def part(self, some: slice) -> Between:
        return Between(self.start + some.start, self.first[some], self.second[some], self.share[some])


def _mixed(rows: NDArray[np.float32], at: Between) -> NDArray[np.float32]:
    """(n, …) rows of the original, of (m, …) rows of the model."""
    mixed: NDArray[np.float32] = rows[at.first] * (1 - at.share)[:, None] + rows[at.second] * at.share[:, None]
    return mixed


def _between(wanted: NDArray[np.int64], model: int, original: int) -> Between:
    """The pixels of `original` that see one of `wanted` among `model`; float32 throughout, as torch's interpolate."""
    half = np.float32(0.5)
    at = np.maximum((np.arange(original, dtype=np.float32) + half) * np.float32(model / original) - half, 0)
    first = at.astype(np.int64)
    second = np.minimum(first + 1, model - 1)
    seen = slice(np.searchsorted(second, wanted[0]), np.searchsorted(first, wanted[-1], side="right"))
    return Between(int(seen.start), first[seen], second[seen], (at - first)[seen].astype(np.float32))


def unshared(masks: Iterable[Mask]) -> Iterator[Mask]:
    """Yield each mask without the pixels of those before it; one that has none left is yielded empty."""
    taken: Mask | None = None
    for mask in masks:
        taken = np.zeros_like(mask) if taken is None else taken
        yield mask & ~taken
        taken |= mask


def run_lengths(mask: Mask) -> Rle:
    """Return COCO's compressed run lengths."""
    from pycocotools.mask import encode

    counts = encode(np.asfortranarray(mask).view(np.uint8))["counts"]  # column by column
    return Rle((mask.shape[0], mask.shape[1]), counts.decode("ascii"))


def outlines(mask: Mask) -> Rings:
    """Return one ring for each part of the mask whose pixels share edges: exact, along the edges of pixels.

    A ring is x0 y0 x1 y1 … of its corners, whole numbers from 0 to width and height, clockwise, not closed; a pixel's
    left upper corner has its column and row. A hole is no ring of its own: a seam of no width, there and back, leads to
    it from the left. So filling the rings one by one and taking their union (as pycocotools does) and filling all at
    once by the even-odd rule both give the mask back. An empty mask has no rings.
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not rows.size:
        return []
    top, left = rows[0], columns[0]
    inside = mask[top : rows[-1] + 1, left : columns[-1] + 1]
    points, loops = _sewn(inside, _corners(inside))
    placed = (points[:, [1, 0]] + (left, top)).astype(float)  # (n, 2) x y, in the whole mask
    return [placed[loop].ravel().tolist() for loop in loops]


# Corners: (n, 4) int64, each y, x, whether its horizontal edge goes right, whether its vertical edge goes down. Along
# a row, sorted, corners end edges in pairs, and along a column too; so partners are known without walking over pixels.
Corners: TypeAlias = NDArray[np.int64]


def _corners(mask: Mask) -> Corners:
    """Where the boundary turns, row by row; where two pixels touch by a corner alone it turns twice."""
    around = np.pad(mask, 1)
    above, below = around[:-1], around[1:]  # pixels above and below each vertex's row
    right, up = above[:, 1:] != below[:, 1:], above[:, :-1] != above[:, 1:]  # (h + 1, w + 1): is there an edge?
    left, down = above[:, :-1] != below[:, :-1], below[:, :-1] != below[:, 1:]
    y, x = np.nonzero((left != right) | (left & up & right & down))  # left == right without the others: straight on
    twice = (left & right)[y, x]
    # Of two that touch, each pixel keeps its own corner: that of the one above goes up, that of the one below down.
    rightwards = np.where(twice, ~above[y, x], right[y, x])  # the one above is on the right, else on the left
    first = np.stack([y, x, rightwards, np.where(twice, False, down[y, x])], axis=1)
    second = np.stack([y, x, ~rightwards, np.ones_like(twice)], axis=1)[twice]
    corners = np.concatenate([first, second]).astype(np.int64)
    return corners[np.lexsort([corners[:, 1], corners[:, 0]])]  # so that a ring's first is its top left: see `_loops`


def _sewn(mask: Mask, corners: Corners) -> tuple[Corners, list[list[int]]]:
    """Return the corners with those of the seams, and for each part its ring, as indices of them."""
    beside, along = _partners(corners, (0, 1, 2)), _partners(corners, (1, 0, 3))
    loops = _loops(beside, along)
    leftmost = (corners[:, 1] * (mask.shape[0] + 1) + corners[:, 0]).tolist()  # then topmost
    firsts = np.array([min(loop, key=leftmost.__getitem__) for loop in loops])
    holes = firsts[~mask[corners[firsts, 0], corners[firsts, 1]]]
    if not holes.size:
        return corners, loops
    corners, ends = _with_seams(mask, corners, holes)
    beside, along = _partners(corners, (0, 1, 2)), _partners(corners, (1, 0, 3))
    for hole, end in zip(holes.tolist(), ends, strict=True):
        across, back = beside[hole], beside[end]  # exchanging partners on one line makes two loops one
        beside[hole], beside[end], beside[across], beside[back] = end, hole, back, across
    return corners, _loops(beside, along)


def _with_seams(mask: Mask, corners: Corners, holes: NDArray[np.int64]) -> tuple[Corners, list[int]]:
    """Return the corners, a pair more where a seam meets the middle of an edge, and the far corner of each hole's."""
    ends = [(y, _run_start(mask[y, :x])) for y, x in corners[holes, :2].tolist()]
    downwards = _downwards(corners)
    added = [(y, x, side, side) for y, x in ends if (y, x) not in downwards for side in (0, 1)]
    corners = np.concatenate([corners, np.array(added, np.int64).reshape(-1, 4)])
    downwards = _downwards(corners)
    return corners, [downwards[end] for end in ends]


def _downwards(corners: Corners) -> dict[tuple[int, int], int]:
    """(y, x) of the corners whose edge goes down -> index."""
    indices = np.flatnonzero(corners[:, 3])
    y, x = corners[indices, :2].T.tolist()
    return dict(zip(zip(y, x, strict=True), indices.tolist(), strict=True))


def _run_start(row: Mask) -> int:
    """Where the run of covered pixels that reaches the row's end begins."""
    gaps = np.flatnonzero(~row)
    return int(gaps[-1]) + 1 if gaps.size else 0


def _partners(corners: Corners, keys: Sequence[int]) -> list[int]:
    """The other end of each corner's edge, along the lines that the first of `keys` names."""
    order = np.lexsort([corners[:, key] for key in reversed(keys)])
    partners = np.empty(len(order), np.int64)
    partners[order[0::2]], partners[order[1::2]] = order[1::2], order[0::2]
    found: list[int] = partners.tolist()
    return found


def _loops(beside: list[int], along: list[int]) -> list[list[int]]:
    """The closed ways over horizontal and vertical edges in turn, each from its first corner."""
    seen = [False] * len(beside)
    loops = []
    for start in range(len(beside)):
        loop, at = [], start
        while not seen[at]:
            loop += [at, beside[at]]
            seen[at] = seen[beside[at]] = True
            at = along[beside[at]]
        if loop:
            loops.append(loop)
    return loops
