"""Repeated ids, found while the rows stream by. Knows nothing of where ids come from."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

_RUN_CAP = 4_000_000  # hashes in one run; above it runs are kept apart, so that merging never copies much more


class IdLedger:
    """Tells for each id how often it came before, in 12 bytes of memory a distinct id.

    Ids are remembered as 64-bit hashes in sorted runs of doubling length, so the answer comes at once and no second
    pass over the rows is needed. Two different ids share a hash once in 370,000 listings of ten million rows; the
    second of them would then be called a repeat.
    """

    def __init__(self) -> None:
        self._runs: list[tuple[NDArray[np.int64], NDArray[np.int32]]] = []  # (hashes, ascending; occurrences)

    def add(self, ids: pa.Array) -> NDArray[np.int32]:
        """Return, per id in order, 1 for its first occurrence, 2 for the second, and so on."""
        hashes = np.fromiter(map(hash, ids.to_pylist()), np.int64, len(ids))
        distinct, inverse, counts = np.unique(hashes, return_inverse=True, return_counts=True)
        earlier = self._earlier(distinct, counts)
        return earlier[inverse] + _ranks(inverse, counts)

    def _earlier(self, distinct: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[np.int32]:
        earlier = np.zeros(len(distinct), np.int32)
        for hashes, occurrences in self._runs:
            at = np.minimum(np.searchsorted(hashes, distinct), len(hashes) - 1)
            found = hashes[at] == distinct
            earlier[found] = occurrences[at[found]]
            occurrences[at[found]] += counts[found].astype(np.int32)
        new = earlier == 0
        self._keep(distinct[new], counts[new].astype(np.int32))
        return earlier

    def _keep(self, hashes: NDArray[np.int64], occurrences: NDArray[np.int32]) -> None:
        while self._runs and len(self._runs[-1][0]) <= 2 * len(hashes) and len(hashes) < _RUN_CAP:
            larger, their_occurrences = self._runs.pop()
            at = np.searchsorted(larger, hashes)
            hashes = np.insert(larger, at, hashes)
            occurrences = np.insert(their_occurrences, at, occurrences)
        if len(hashes):
            self._runs.append((hashes, occurrences))


def _ranks(inverse: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[np.int32]:
    """Return the 1-based rank of each element among its equals, in order of appearance."""
    ranks = np.empty(len(inverse), np.int32)
    order = np.argsort(inverse, kind="stable")
    ranks[order] = np.arange(len(inverse)) - np.repeat(np.cumsum(counts) - counts, counts) + 1
    return ranks
