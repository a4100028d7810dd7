"""Near-duplicates: all pairs of rows whose score reaches a least one, exactly, in bounded memory.

Tiles of the upper triangle, one after the other: a product of the rows' outlines (see `outline`) leaves a few pairs,
whose scores are computed; where it leaves many, the product of the whole vectors decides what float32 can decide.
Knows nothing of files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from visioncli.search.cosines import (
    Rows,
    Scores,
    Vectors,
    lengths,
    of_pairs,
    refuse_impossible,
    roughly,
    rounding,
    unit,
)
from visioncli.search.outline import CHECKED, outlines, slack

_TILE = 2048  # rows; a tile's product is 16 MB, which a core's cache and its neighbours hold
_DEVICE_TILE = 8192  # 256 MB there; larger tiles are sent fewer times
_CHECKED_AT_ONCE = 2**20  # pairs

# (left, right, least) -> what of left @ right.T reaches `least`: rows, columns, values
Reaching = Callable[[Vectors, Vectors, float], tuple[Rows, Rows, Scores]]


@dataclass(frozen=True, slots=True)
class Pairs:
    """Rows a[i] < b[i] and their scores."""

    a: Rows
    b: Rows
    scores: Scores


def near_duplicates(vectors: Vectors, min_score: float, device: str = "cpu", scored: bool = True) -> Iterator[Pairs]:
    """Yield every pair of rows whose score is at least `min_score`, each once, and no other; in the order of tiles.

    `vectors` (n, D) may be mapped from a file and of any lengths; a row of length 0, or that is not finite, is in no
    pair. Without `scored`, scores are within 1e-4 (which costs less where pairs are many).
    `device`: cpu, cuda, cuda:<n> or mps. Raises UsageError, DeviceError.
    """
    refuse_impossible(min_score)
    length = lengths(vectors)
    rows = np.flatnonzero(length)
    if len(rows) < len(length):
        vectors, length = vectors[rows], length[rows]
    if len(rows) > 1:
        least = float(np.nextafter(np.float32(min_score), np.float32(-2)))  # what is rounded up to it is at least this
        tiles = _Tiles(vectors, length, min_score, least, scored)
        for found in tiles.on_device(device) if device != "cpu" else tiles.on_cpu():
            yield Pairs(rows[found.a], rows[found.b], found.scores)


@dataclass(frozen=True, slots=True)
class _Tiles:
    vectors: Vectors
    length: NDArray[np.float64]
    min_score: float
    least: float
    scored: bool

    def on_cpu(self) -> Iterator[Pairs]:
        outline = outlines(self.vectors, self.length, self.least)
        if outline is None:
            yield from self._whole(_reaching, _TILE)
            return
        least = self.least - slack(outline)
        many = self.vectors.shape[1] / CHECKED
        room = np.empty((_TILE, _TILE), np.float32)
        for left, right in _spans(len(outline), _TILE):
            height, width = left.stop - left.start, right.stop - right.start
            out = room.ravel()[: height * width].reshape(height, width)
            product = np.matmul(outline[left], outline[right].T, out=out)
            at = np.flatnonzero(product >= least)
            if len(at) > many * product.size + width:  # a diagonal's own pairs are always among them
                yield from self._decided(_reaching, left, right)
            elif len(at):
                yield from self._checked(left.start + at // width, right.start + at % width)

    def on_device(self, device: str) -> Iterator[Pairs]:
        from visioncli.models.products import reaching

        yield from self._whole(reaching(device), _DEVICE_TILE)

    def _whole(self, reaching: Reaching, tile: int) -> Iterator[Pairs]:
        for left, right in _spans(len(self.vectors), tile):
            yield from self._decided(reaching, left, right)

    def _decided(self, reaching: Reaching, left: slice, right: slice) -> Iterator[Pairs]:
        """By the product of whole vectors: what float32 leaves open is computed in float64."""
        error = rounding(self.vectors.shape[1])
        above, below = (unit(self.vectors[span], self.length[span]) for span in (left, right))
        rows, columns, values = reaching(above, below, self.least - error)
        a, b = rows + left.start, columns + right.start
        if self.scored:
            yield from self._checked(a, b)
            return
        sure = (values >= self.min_score + error) & (a < b)
        yield Pairs(a[sure], b[sure], values[sure])
        open_ = values < self.min_score + error
        yield from self._checked(a[open_], b[open_])

    def _checked(self, a: Rows, b: Rows) -> Iterator[Pairs]:
        upper = a < b
        a, b = a[upper], b[upper]
        for first in range(0, len(a), _CHECKED_AT_ONCE):
            part = slice(first, first + _CHECKED_AT_ONCE)
            near = roughly(self.vectors, self.length, a[part], b[part]) >= self.least - rounding(self.vectors.shape[1])
            left, right = a[part][near], b[part][near]
            scores = of_pairs(self.vectors, left, right)
            good = scores >= np.float32(self.min_score)
            yield Pairs(left[good], right[good], scores[good])


def _spans(rows: int, tile: int) -> Iterator[tuple[slice, slice]]:
    """Yield the tiles of the upper triangle, the diagonal's among them."""
    for top in range(0, rows, tile):
        for left in range(top, rows, tile):
            yield slice(top, min(top + tile, rows)), slice(left, min(left + tile, rows))


def _reaching(left: Vectors, right: Vectors, least: float) -> tuple[Rows, Rows, Scores]:
    product = left @ right.T
    at = np.flatnonzero(product >= least)
    return at // len(right), at % len(right), product.ravel()[at]
