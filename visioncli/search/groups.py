"""Groups of near-duplicates: what is joined by pairs, directly or through others. Knows nothing of files."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from visioncli.search.cosines import Rows, Vectors
from visioncli.search.pairs import near_duplicates


@dataclass(frozen=True, slots=True)
class Group:
    """`representative` is the member that most others are near to, of equals the first; `members` ascend."""

    representative: int
    members: Rows  # at least two


def near_duplicate_groups(vectors: Vectors, min_score: float, device: str = "cpu") -> list[Group]:
    """Return the connected components of `near_duplicates`, the largest first, of equals that with the first row.

    Its memory does not grow with the number of pairs. Raises as `near_duplicates` does.
    """
    forest = Forest(len(vectors))
    for pairs in near_duplicates(vectors, min_score, device, scored=False):
        forest.join(pairs.a, pairs.b)
    return forest.groups()


class Forest:
    """Rows and what joins them; a tree's root is its first row."""

    def __init__(self, rows: int) -> None:
        self._parent = np.arange(rows)
        self._near = np.zeros(rows, np.int64)  # how many others a row is near to

    def join(self, a: Rows, b: Rows) -> None:
        """Join a[i] with b[i]; each pair is given once."""
        self._near += np.bincount(a, minlength=len(self._near)) + np.bincount(b, minlength=len(self._near))
        while len(a):
            a, b = self._roots(a), self._roots(b)
            apart = a != b
            a, b = a[apart], b[apart]
            np.minimum.at(self._parent, np.maximum(a, b), np.minimum(a, b))

    def _roots(self, rows: Rows) -> Rows:
        found = self._parent[rows]
        while True:
            above = self._parent[found]
            if np.array_equal(above, found):
                self._parent[rows] = found
                return found
            found = above

    def groups(self) -> list[Group]:
        """Return the trees of two rows or more."""
        joined = np.flatnonzero(self._near)
        roots = self._roots(joined)
        order = np.argsort(roots, kind="stable")
        cuts = np.flatnonzero(np.diff(roots[order])) + 1
        found = [self._group(members) for members in np.split(joined[order], cuts) if len(members)]
        return sorted(found, key=lambda group: (-len(group.members), group.members[0]))

    def _group(self, members: Rows) -> Group:
        return Group(int(members[np.argmax(self._near[members])]), members)
