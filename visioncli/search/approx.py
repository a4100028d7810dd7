"""The nearest rows of an index, nearly always: a graph of neighbours (HNSW) beside the matrix, mapped when searched.

Built once with usearch, with how wide it is searched settled by its measured recall. Scores are exact all the same.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from visioncli.errors import UsageError
from visioncli.search.exact import Hits, Query, best, nearest
from visioncli.search.store import Store

log = logging.getLogger("visioncli")

SAMPLED = 100  # rows whose neighbours are looked for both ways
_K = 10  # recall@10
_ENOUGH = 0.99
_BREADTHS = (48, 96, 192, 384, 768)  # candidates that a search keeps; the first whose recall is enough
_NEIGHBOURS = 24  # of a row in the graph
_BUILD_BREADTH = 128


@dataclass(frozen=True, slots=True)
class Graph:
    """A mapped graph, and its share of the true 10 nearest rows over SAMPLED rows of the index."""

    index: Any  # usearch's
    breadth: int
    recall: float

    def nearest(
        self,
        store: Store,
        queries: Sequence[Query],
        k: int,
        min_score: float = -1,
        without: Sequence[Sequence[int]] = (),
    ) -> Iterator[Hits]:
        """As `exact.nearest`, but a row may be missing. Asks for more rows than the graph's breadth widen it."""
        self.index.expansion_search = max(self.breadth, 2 * k)
        for place, query in enumerate(queries):
            left_out = without[place] if without else ()
            rows = self._rows(query, min(k + len(left_out), store.rows))
            yield best(store, query, np.setdiff1d(rows, left_out), k, min_score)

    def _rows(self, query: Query, k: int) -> NDArray[np.int64]:
        found: NDArray[np.int64] = self.index.search(query.astype(np.float16), k).keys.astype(np.int64)
        return found


def graph_of(store: Store) -> Graph:
    """Return the store's graph, built where it is not there yet. Raises UsageError for a store without a side-car."""
    if store.folder is None:
        raise UsageError("--approx keeps its graph in the side-car, and there is none: leave --approx out")
    if not store.rows:
        raise UsageError("--approx: the index has no rows with a vector")
    path, about = store.folder / "graph.usearch", store.folder / "graph.json"
    if not about.exists():
        _build(store, path, about)
    said = json.loads(about.read_text())
    return Graph(_opened(store, path), said["breadth"], said["recall"])


def _opened(store: Store, path: Path) -> Any:
    found = _empty(store)
    found.view(str(path))
    return found


def _empty(store: Store) -> Any:
    from usearch.index import Index

    return Index(
        ndim=store.vectors.shape[1],
        metric="ip",
        dtype="f16",
        connectivity=_NEIGHBOURS,
        expansion_add=_BUILD_BREADTH,
    )


def _build(store: Store, path: Path, about: Path) -> None:
    """Under other names first, `about` last: where that is, the graph is whole."""
    log.info("building the graph of %s rows; later searches map it", f"{store.rows:,}")
    graph = _empty(store)
    graph.add(np.arange(store.rows, dtype=np.uint64), store.half, threads=len(os.sched_getaffinity(0)))
    said = _measured(store, graph)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    graph.save(str(beside))
    os.replace(beside, path)
    beside.write_text(json.dumps(said))
    os.replace(beside, about)


def _measured(store: Store, graph: Any) -> dict[str, float]:
    rows = np.sort(np.random.default_rng(0).permutation(store.rows)[:SAMPLED])
    queries = [vector / np.linalg.norm(vector) for vector in store.vectors[rows].astype(np.float64)]
    without = [[int(row)] for row in rows]
    truth = list(nearest(store, queries, _K, without=without))
    said: dict[str, float] = {}
    for breadth in _BREADTHS:
        found = Graph(graph, breadth, 0).nearest(store, queries, _K, without=without)
        said = {"breadth": breadth, "recall": _recall(truth, list(found))}
        if said["recall"] >= _ENOUGH:
            break
    return said


def _recall(truth: list[Hits], found: list[Hits]) -> float:
    """The share of true hits that were found, counting a row of the same score as the last as one."""
    shares = []
    for true, seen in zip(truth, found, strict=True):
        good = np.isin(seen.rows, true.rows) | (seen.scores >= true.scores.min(initial=2))
        shares.append(good.sum() / max(1, len(true.rows)))
    return float(np.mean(shares))
