"""Embeddings as numbers: read from a column, laid out on a plane, compared with their mean. Knows nothing of pages."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from visioncli.report.results import Results
from visioncli.search.arrays import matrix

Vectors = NDArray[np.float32]  # (n, D); a row without a vector is all NaN

COLUMNS = ("embedding", "tokens")  # the first that an output has; of tokens, their mean


def column_of(results: Results) -> str | None:
    """Return the column that holds vectors, None where there is none (vectors in side files)."""
    return next(iter(results.having(COLUMNS)), None)


def vectors(column: pa.ChunkedArray) -> Vectors:
    """Return a column's vectors, float32."""
    pieces = [_piece(chunk) for chunk in column.chunks]
    return np.concatenate(pieces) if pieces else np.zeros((0, 0), np.float32)


def _piece(array: pa.Array) -> Vectors:
    valid = pc.is_valid(array).to_numpy(zero_copy_only=False)
    shape: tuple[int, ...] = ()
    if isinstance(array.type, pa.FixedShapeTensorType):
        shape, array = tuple(array.type.shape), array.storage
    found: Vectors = matrix(array).astype(np.float32)
    found = found.reshape(-1, *shape).mean(axis=1) if shape else found  # (n, T, C) -> (n, C)
    found[~valid] = np.nan
    return found


def lengths(found: Vectors) -> NDArray[np.float64]:
    """Return each vector's length, (n,); 0 for one that has no direction: of zeros, or not finite."""
    squares = np.einsum("nd,nd->n", found, found, dtype=np.float64)
    return np.sqrt(np.where(np.isfinite(squares), squares, 0))


def units(found: Vectors) -> Vectors:
    """Return vectors of length 1; one that has no direction is all NaN."""
    length = lengths(found)[:, None]
    scaled: Vectors = np.full(found.shape, np.nan, np.float32)
    np.divide(found, length, out=scaled, where=length > 0, casting="same_kind")
    return scaled


def likeness_to_mean(results: Results, name: str) -> NDArray[np.float32]:
    """Return the cosine of every row's vector with the mean of all: small is unusual. (rows,), NaN where it has none.

    Reads the column twice and holds one row group of it.
    """
    total: NDArray[np.float64] | None = None
    for _, table in results.tables([name]):
        summed: NDArray[np.float64] = np.nansum(units(vectors(table[name])), axis=0, dtype=np.float64)
        total = summed if total is None else np.add(total, summed)
    mean = np.zeros(0) if total is None else total / (np.linalg.norm(total) or 1.0)
    pieces = [units(vectors(table[name])) @ mean.astype(np.float32) for _, table in results.tables([name])]
    return np.concatenate([np.zeros(0, np.float32), *pieces]).astype(np.float32)


def plane(found: Vectors) -> tuple[NDArray[np.float64], tuple[float, float]]:
    """Return each vector's first two principal components, (n, 2), and the shares of the variance that they hold.

    Principal component analysis by the covariance's eigenvectors; each axis points to where its largest part does.
    """
    centred = found.astype(np.float64) - found.mean(axis=0, dtype=np.float64)
    values, axes = np.linalg.eigh(centred.T @ centred)
    first = axes[:, : -min(2, len(values)) - 1 : -1]  # (D, 2), the largest first
    first = first * np.sign(first[np.abs(first).argmax(axis=0), np.arange(first.shape[1])])
    total = values.sum()
    shares = [float(value / total) if total > 0 else 0.0 for value in values[::-1][:2]]
    placed = np.zeros((len(found), 2))
    placed[:, : first.shape[1]] = centred @ first
    return placed, (shares[0], shares[1] if len(shares) > 1 else 0.0)
