"""The nearest rows of an index, nearly always: a graph of neighbours (HNSW) beside the matrix, mapped when searched.

Built once with usearch, with how wide it is searched settled by its measured recall. Scores are exact all the same.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from visioncli.errors import NotNowError, UsageError
from visioncli.io.durable import durable, publish
from visioncli.search.exact import Hits, Query, best, nearest
from visioncli.search.locking import LOCK, locked
from visioncli.search.store import Store

log = logging.getLogger("visioncli")

SAMPLED = 100  # rows whose neighbours are looked for both ways
_K = 10  # recall@10
_ENOUGH = 0.99
_BREADTHS = (48, 96, 192, 384, 768)  # candidates that a search keeps; the first whose recall is enough
_NEIGHBOURS = 24  # of a row in the graph
_BUILD_BREADTH = 128
_TOGETHER = 4096  # rows that are added at once: 2 s of two cores
_TELL_EVERY_S = 5.0
GRAPH, ABOUT = "graph.usearch", "graph.json"


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
    """Return the store's graph, built where it is not there yet, or damaged: by one process, while others wait.

    Raises UsageError where it cannot be kept, before it is built; NotNowError where the side-car is removed meanwhile.
    """
    if store.folder is None:
        raise UsageError("--approx keeps its graph in the side-car, and there is none: leave --approx out")
    if not store.rows:
        raise UsageError("--approx: the index has no rows with a vector")
    found = _mapped(store, store.folder)
    if found is not None:
        return found
    try:
        with locked(store.folder.parent / LOCK):
            return _mapped(store, store.folder) or _built(store, store.folder)
    except OSError as error:
        if not store.folder.exists():
            raise NotNowError("the side-car was removed meanwhile, as the index has changed: search again") from error
        raise UsageError(
            f"--approx keeps its graph in the side-car, and {store.folder.parent} cannot be written "
            f"({error.strerror or error}): leave --approx out"
        ) from error


def _mapped(store: Store, folder: Path) -> Graph | None:
    """None where it is not there, or not whole."""
    path = folder / GRAPH
    try:
        said = json.loads((folder / ABOUT).read_text())
        if path.stat().st_size != said["bytes"]:
            return None
        graph = _empty(store)
        graph.view(str(path))
        return Graph(graph, said["breadth"], said["recall"])
    except (FileNotFoundError, ValueError, KeyError, TypeError, RuntimeError):  # the last is usearch's
        return None


def _empty(store: Store) -> Any:
    from usearch.index import Index

    return Index(
        ndim=store.vectors.shape[1],
        metric="ip",
        dtype="f16",
        connectivity=_NEIGHBOURS,
        expansion_add=_BUILD_BREADTH,
    )


def _built(store: Store, folder: Path) -> Graph:
    """Raises OSError where it could not be kept, before the work; where that shows only afterwards, it is used once."""
    beside = folder / f".{GRAPH}.building"
    with open(beside, "wb"):
        pass
    (folder / ABOUT).unlink(missing_ok=True)
    graph = _grown(store)
    said = _measured(store, graph)
    try:
        _keep(graph, said, beside, folder)
    except (OSError, RuntimeError) as error:  # the latter is usearch's, of a full disk
        beside.unlink(missing_ok=True)
        log.warning("the graph cannot be kept (%s): --approx would build it again", error)
    return Graph(graph, int(said["breadth"]), said["recall"])


def _keep(graph: Any, said: dict[str, float], beside: Path, folder: Path) -> None:
    """Under other names first, ABOUT last: where that is, the graph is whole."""
    graph.save(str(beside))
    with open(beside, "rb") as file:
        os.fsync(file.fileno())
    size = beside.stat().st_size
    publish(beside, folder / GRAPH)
    with durable(folder / f".{ABOUT}.building") as file:
        file.write(json.dumps(said | {"bytes": size}).encode())
    publish(folder / f".{ABOUT}.building", folder / ABOUT)


def _grown(store: Store) -> Any:
    log.info("building the graph of %s rows; later searches map it", f"{store.rows:,}")
    graph, told = _empty(store), time.monotonic()
    assert store.half is not None  # there is a side-car
    for first in range(0, store.rows, _TOGETHER):
        keys = np.arange(first, min(first + _TOGETHER, store.rows), dtype=np.uint64)
        graph.add(keys, store.half[first : first + _TOGETHER], threads=len(os.sched_getaffinity(0)))
        if time.monotonic() - told > _TELL_EVERY_S:
            told = time.monotonic()
            log.info("%s of %s rows are in the graph", f"{int(keys[-1]) + 1:,}", f"{store.rows:,}")
    return graph


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
