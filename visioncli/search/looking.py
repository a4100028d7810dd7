"""From an index and what is asked of it to tables: hits, pairs or groups. Knows nothing of flags or output files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from visioncli.errors import UsageError
from visioncli.search.approx import Graph
from visioncli.search.arrays import numbers, texts
from visioncli.search.embedding import ModelRequest, embedded
from visioncli.search.exact import Hits, nearest
from visioncli.search.index import Index
from visioncli.search.query import Sum
from visioncli.search.store import Store

if TYPE_CHECKING:
    import pyarrow as pa

MOST_PAIRS = 10_000_000  # 200 MB; a table of more helps nobody


def search(
    index: Index,
    store: Store,
    asked: Sequence[Sum],
    k: int,
    min_score: float = -1,
    request: ModelRequest | None = None,
    graph: Graph | None = None,
    with_embedding: bool = False,
) -> pa.Table:
    """Return `query`, `rank` (from 1), `score` and the rows' columns; a row that a query names is no hit of it.

    Raises what `embedded` raises, and UsageError for an id that is not there or there twice.
    """
    terms = list(dict.fromkeys(term for one in asked for term, _ in one.terms))
    rows = {term: store.row_of(term.value) for term in terms if term.kind == "row"}
    others = [term for term in terms if term.kind != "row"]
    vectors = {term: store.vectors[row].astype(np.float64) for term, row in rows.items()}
    vectors |= embedded(others, store.facts, index.path, request or ModelRequest())
    queries = [one.vector(vectors) for one in asked]
    without = [sorted({rows[term] for term, _ in one.terms if term in rows}) for one in asked]
    found = graph.nearest(store, queries, k, min_score, without) if graph else None
    hits = list(found or nearest(store, queries, k, min_score, without))
    return _hit_table(store, [one.name for one in asked], hits, with_embedding)


def _hit_table(store: Store, names: Sequence[str], hits: Sequence[Hits], with_embedding: bool) -> pa.Table:
    import pyarrow as pa

    rows = np.concatenate([np.empty(0, np.int64), *(one.rows for one in hits)])
    counts = [len(one.rows) for one in hits]
    own = {
        "query": texts([name for name, count in zip(names, counts, strict=True) for _ in range(count)]),
        "rank": numbers(np.array([rank for count in counts for rank in range(1, count + 1)], np.int32)),
        "score": numbers(np.concatenate([np.empty(0, np.float32), *(one.scores for one in hits)])),
    }
    table = pa.table(own)
    columns = store.columns.take(rows)
    for field in columns.schema:
        name = field.name
        while name in table.column_names or (name != field.name and name in columns.column_names):
            name += "_in"
        table = table.append_column(field.with_name(name), columns[field.name])
    if with_embedding:
        vectors = pa.FixedSizeListArray.from_arrays(store.vectors[rows].ravel(), store.vectors.shape[1])
        table = table.append_column("embedding", vectors)
    return table


def pair_table(store: Store, min_score: float, device: str = "cpu") -> pa.Table:
    """Return `id_a`, `id_b`, `score` of all near-duplicates, best first, of equals the first rows.

    Raises UsageError where there are more than MOST_PAIRS, or no ids.
    """
    import pyarrow as pa

    from visioncli.search.pairs import near_duplicates

    ids = store.columns.ids()
    parts = []
    total = 0
    for found in near_duplicates(store.vectors, min_score, device):
        parts.append(found)
        total += len(found.a)
        if total > MOST_PAIRS:
            raise UsageError(
                f"more than {MOST_PAIRS:,} pairs reach {min_score:g}: raise --min-score, or ask for --groups"
            )
    a, b = (np.concatenate([np.empty(0, np.int64), *(getattr(part, side) for part in parts)]) for side in "ab")
    scores = np.concatenate([np.empty(0, np.float32), *(part.scores for part in parts)])
    order = np.lexsort((b, a, -scores))
    return pa.table({"id_a": ids.take(a[order]), "id_b": ids.take(b[order]), "score": pa.array(scores[order])})


def group_table(store: Store, min_score: float, device: str = "cpu") -> pa.Table:
    """Return `group` (from 1), `representative`, `size`, `members`: ids, the members' in the index's order."""
    import pyarrow as pa

    from visioncli.search.groups import near_duplicate_groups

    ids = store.columns.ids()
    found = near_duplicate_groups(store.vectors, min_score, device)
    sizes = [len(group.members) for group in found]
    members = ids.take(np.concatenate([np.empty(0, np.int64), *(group.members for group in found)]))
    ends = np.cumsum([0, *sizes])
    return pa.table(
        {
            "group": pa.array(np.arange(1, len(found) + 1), pa.int32()),
            "representative": ids.take(np.array([group.representative for group in found], np.int64)),
            "size": pa.array(sizes, pa.int32()),
            "members": pa.LargeListArray.from_arrays(ends, members.combine_chunks()).cast(pa.list_(ids.type)),
        }
    )
