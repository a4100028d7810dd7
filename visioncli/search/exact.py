"""The nearest rows of an index, exactly: all are scored in float16, those within its error of the last once more.

Knows nothing of what a query was made from.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from visioncli.search.cosines import Rows, Scores, lengths, rounding, with_query
from visioncli.search.store import Store

Query = NDArray[np.float64]  # (D,), of length 1

_TOGETHER = 16  # queries that one reading of the matrix answers
_BLOCK = 4096  # rows that stay in a core's cache meanwhile


@dataclass(frozen=True, slots=True)
class Hits:
    """Rows by score, best first; of equals the first in the index."""

    rows: Rows
    scores: Scores


def nearest(
    store: Store, queries: Sequence[Query], k: int, min_score: float = -1, without: Sequence[Sequence[int]] = ()
) -> Iterator[Hits]:
    """Yield, for each query, the k rows of the highest scores that are at least `min_score`.

    `without` names, for each query, rows that are no hits of it. No row of a higher score is missing, ever.
    """
    for first in range(0, len(queries), _TOGETHER):
        some = queries[first : first + _TOGETHER]
        for place, (query, rough) in enumerate(zip(some, _rough(store, np.stack(some)), strict=True)):
            left_out = list(without[first + place]) if without else []
            rough[left_out] = -np.inf
            rows = _candidates(rough, min(k, store.rows - len(left_out)), 2 * _error(store, query))
            yield best(store, query, rows, k, min_score)


def best(store: Store, query: Query, rows: Rows, k: int, min_score: float) -> Hits:
    """Return the k best of `rows`, ascending, by their exact scores."""
    scores = with_query(store.vectors, rows, query)
    order = np.lexsort((rows, -scores))[:k]
    order = order[scores[order] >= np.float32(min_score)]
    return Hits(rows[order], scores[order])


def _candidates(rough: NDArray[np.float64], k: int, error: float) -> Rows:
    """Return the rows that may be among the k best, where rough scores may be wrong by half of `error`."""
    if k <= 0:
        return np.empty(0, np.int64)
    least = np.partition(rough, len(rough) - k)[len(rough) - k]
    return np.flatnonzero(rough >= least - error)


def _rough(store: Store, queries: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (queries, rows) scores within `_error`."""
    if store.half is None:
        return _rough_in_memory(store, queries)
    from numkong import cdist

    halves = queries.astype(np.float16)
    if len(halves) == 1:
        return np.array(cdist(halves, store.half, metric="dot"))
    blocks = range(0, store.rows, _BLOCK)
    return np.hstack([np.array(cdist(halves, store.half[at : at + _BLOCK], metric="dot")) for at in blocks])


def _rough_in_memory(store: Store, queries: NDArray[np.float64]) -> NDArray[np.float64]:
    rough: NDArray[np.float64] = (queries.astype(np.float32) @ store.vectors.T) / lengths(store.vectors)
    return rough


def _error(store: Store, query: Query) -> float:
    """How far a rough score can be from the true one: by the row's rounding, the query's and the sum's.

    |h.g - v.q| <= |h - v| |q| + |h| |g - q| + the sum's own, with h, g in float16 and |v| = |q| = 1.
    """
    if store.half is None:
        return rounding(len(query))
    apart = float(np.linalg.norm(query - query.astype(np.float16)))
    return store.error + (1 + store.error) * (apart + rounding(len(query)))
