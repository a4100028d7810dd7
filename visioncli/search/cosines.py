"""The score: cosines in float64, and how far float32 arithmetic can be from them. Knows nothing of files."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from visioncli.errors import UsageError

Vectors = NDArray[np.float32]  # (n, D)
Rows = NDArray[np.int64]  # row numbers of such an array
Scores = NDArray[np.float32]

_ROWS = 1024  # gathered at once: 6 MB of float64 at 768 dimensions


def refuse_impossible(min_score: float) -> None:
    """Raise UsageError for what is no cosine."""
    if not -1 <= min_score <= 1:
        raise UsageError(f"--min-score {min_score:g} is no cosine: it lies between -1 and 1")


def lengths(vectors: Vectors) -> NDArray[np.float64]:
    """Return each vector's length, (n,); 0 for a vector that has none or is not finite: it is like nothing."""
    found = np.zeros(len(vectors))
    for first in range(0, len(vectors), _ROWS):
        rows = vectors[first : first + _ROWS].astype(np.float64)
        found[first : first + _ROWS] = np.sqrt(np.einsum("ij,ij->i", rows, rows))
    found[~np.isfinite(found)] = 0
    return found


def unit(vectors: NDArray[np.floating], length: NDArray[np.float64]) -> Vectors:
    """Return vectors divided by their lengths, each number within one float32 rounding of the true one."""
    scaled: Vectors = (vectors / length[:, None]).astype(np.float32)
    return scaled


def with_query(vectors: Vectors, rows: Rows, query: NDArray[np.float64]) -> Scores:
    """Return the scores of these rows with a query of length 1."""
    found = np.empty(len(rows), np.float32)
    for first in range(0, len(rows), _ROWS):
        part = vectors[rows[first : first + _ROWS]].astype(np.float64)
        found[first : first + _ROWS] = (part @ query) / np.sqrt(np.einsum("ij,ij->i", part, part))
    return found


def of_pairs(vectors: Vectors, a: Rows, b: Rows) -> Scores:
    """Return the scores of the pairs (a[i], b[i])."""
    found = np.empty(len(a), np.float32)
    for first in range(0, len(a), _ROWS):
        left, right = (vectors[rows[first : first + _ROWS]].astype(np.float64) for rows in (a, b))
        squares = np.einsum("ij,ij->i", left, left) * np.einsum("ij,ij->i", right, right)
        found[first : first + _ROWS] = np.einsum("ij,ij->i", left, right) / np.sqrt(squares)
    return found


def roughly(vectors: Vectors, length: NDArray[np.float64], a: Rows, b: Rows) -> NDArray[np.float64]:
    """Return the pairs' scores within `rounding(D)`, ten times as fast."""
    found = np.empty(len(a))
    for first in range(0, len(a), _ROWS):
        left, right = (rows[first : first + _ROWS] for rows in (a, b))
        product = np.einsum("ij,ij->i", vectors[left], vectors[right])
        found[first : first + _ROWS] = product / (length[left] * length[right])
    return found


def rounding(width: int) -> float:
    """Return how far a float32 product of two vectors of length 1 and `width` numbers can be from the true cosine.

    width * 2^-24 in any order of summation, with or without fused steps (Higham, Accuracy and Stability of Numerical
    Algorithms, section 3.1), 2^-24 for each rounding of the vectors themselves and of the result; doubled, for terms of
    second order.
    """
    return 2 * (width + 8) * 2.0**-24
