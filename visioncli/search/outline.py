"""A short outline of every vector, from which most pairs are known to be unlike: an upper bound of their cosine.

With x and y of length 1, p and q their parts in a few orthonormal directions and r and s the lengths of what is left,
x.y <= p.q + r s (Cauchy and Schwarz): one product of a few numbers more. The directions that hold most of a sample
leave least. The bound is never below the cosine, whatever the data; only how many pairs it leaves depends on them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from visioncli.search.cosines import Scores, Vectors, rounding, unit

_SAMPLE = 4096  # rows that the directions are taken from
_TRIED = 1024  # rows whose pairs say how many a width leaves
_WIDTHS = (8, 16, 32, 48, 64, 96, 128, 192, 256)
_COMPARED = 16  # comparing costs a pair as much as so many multiplications
CHECKED = 20_000  # as many of them as reading two vectors and their product (0.3 microseconds)


def outlines(vectors: Vectors, length: NDArray[np.float64], min_score: float) -> Scores | None:
    """Return (n, width + 1): its rows' products bound the cosines, within `rounding(width + 1)`.

    None where no width pays: as many pairs would be left as there are, or nearly.
    """
    draw = np.random.default_rng(0)
    order = draw.permutation(len(vectors))
    # Tried on other rows than they are taken from, which they fit better than they fit the rest.
    sample, tried = np.sort(order[:_SAMPLE]), np.sort(order[-_TRIED:])
    axes = _directions(unit(vectors[sample], length[sample]), min(_WIDTHS[-1], vectors.shape[1] // 2), draw)
    width = _best(unit(vectors[tried], length[tried]), axes, min_score)
    return None if width is None else _outlined(vectors, length, axes[:, :width])


def _directions(units: Vectors, most: int, draw: np.random.Generator) -> NDArray[np.float64]:
    """Return (D, most) orthonormal columns, those that hold most of `units` first.

    By subspace iteration (Halko, Martinsson and Tropp 2011, algorithm 4.4).
    """
    sample = units.astype(np.float64)
    axes = np.linalg.qr(draw.standard_normal((units.shape[1], most)))[0]
    for _ in range(2):
        axes = np.linalg.qr(sample.T @ (sample @ axes))[0]
    seen = sample @ axes
    turn = np.linalg.eigh(seen.T @ seen)[1][:, ::-1]
    return np.asarray(np.linalg.qr(axes @ turn)[0])


def _best(units: Vectors, axes: NDArray[np.float64], min_score: float) -> int | None:
    """Return the width that costs least by the pairs of `units`; None: the whole vectors do."""
    length = np.ones(len(units))
    costs: dict[int | None, float] = {None: units.shape[1] + _COMPARED}
    for width in (one for one in _WIDTHS if one <= axes.shape[1]):
        outline = _outlined(units, length, axes[:, :width])
        left = (np.triu(outline @ outline.T, 1) >= min_score).sum() if min_score > 0 else len(units) ** 2
        costs[width] = width + _COMPARED + CHECKED * left * 2 / len(units) ** 2
    return min(costs, key=lambda width: costs[width])


def _outlined(vectors: Vectors, length: NDArray[np.float64], axes: NDArray[np.float64]) -> Scores:
    found = np.empty((len(vectors), axes.shape[1] + 1), np.float32)
    for first in range(0, len(vectors), _SAMPLE):
        span = slice(first, first + _SAMPLE)
        units = vectors[span] / length[span, None]
        seen = units @ axes
        # 1e-12: what float64 loses above; a length of 1e-6 more than there is never hides a pair
        rest = np.sqrt(np.maximum(0, 1 - np.einsum("ij,ij->i", seen, seen)) + 1e-12)
        found[span, :-1], found[span, -1] = seen, rest
    return found


def slack(outline: Scores) -> float:
    """Return how far below a cosine the float32 product of two outlines can lie."""
    return rounding(outline.shape[1])
