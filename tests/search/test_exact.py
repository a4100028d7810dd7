"""Search against brute force in float64, and against data made to mislead float16."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.search.indexes import Matrix, cosines, drawn, unit, written
from visioncli.search.exact import nearest
from visioncli.search.index import Index
from visioncli.search.sidecar import open_store
from visioncli.search.store import Store


def crowd(rows: int) -> Matrix:
    """Nearer to one another than float16 can tell."""
    return unit(drawn(1, 48, seed=1) + 2e-4 * drawn(rows, 48))


def tiny_parts(rows: int) -> Matrix:
    """Most numbers lie below float16's smallest."""
    return unit(np.hstack([drawn(rows, 40) * 1e-8, np.ones((rows, 8)) + 1e-5 * drawn(rows, 8)]))


def doubled(rows: int) -> Matrix:
    return np.repeat(drawn(rows // 5 + 1, 48), 5, axis=0)[:rows]


DATA = [lambda rows: drawn(rows, 48), crowd, tiny_parts, doubled]


def store(folder: Path, vectors: NDArray[np.float32], sidecar: bool = True) -> Store:
    return open_store(Index(str(written(folder / "emb.parquet", vectors, group=100))), sidecar)


def queries_of(vectors: Matrix, count: int) -> list[NDArray[np.float64]]:
    """Half of them rows, half of them random."""
    both = np.vstack([vectors[: count // 2], drawn(count - count // 2, vectors.shape[1], seed=9)]).astype(np.float64)
    return list(both / np.linalg.norm(both, axis=1, keepdims=True))


@pytest.mark.parametrize("sidecar", [True, False])
@pytest.mark.parametrize("make", DATA)
@pytest.mark.parametrize("k", [1, 10, 500, 10_000])
def test_the_k_nearest_are_those_of_brute_force(tmp_path: Path, make: type, k: int, sidecar: bool) -> None:
    vectors = make(600)
    queries = queries_of(vectors, 40)
    exact = np.stack(queries) @ (vectors / np.linalg.norm(vectors.astype(np.float64), axis=1)[:, None]).T
    for hits, scores in zip(nearest(store(tmp_path, vectors, sidecar), queries, k), exact, strict=True):
        assert len(hits.rows) == min(k, 600) == len(set(hits.rows.tolist()))
        np.testing.assert_allclose(hits.scores, scores[hits.rows], rtol=0, atol=2.0**-23)
        np.testing.assert_allclose(hits.scores, np.sort(scores)[::-1][:k], rtol=0, atol=2.0**-23)


def test_the_top_ten_of_a_thousand_random_queries_are_those_of_brute_force(tmp_path: Path) -> None:
    vectors = drawn(5000, 64)
    queries = queries_of(vectors, 1000)
    truth = np.argsort(-cosines(vectors, np.stack(queries)), axis=1, kind="stable")[:, :10]
    found = np.stack([hits.rows for hits in nearest(store(tmp_path, vectors), queries, 10)])
    np.testing.assert_array_equal(found, truth)


@pytest.mark.parametrize("sidecar", [True, False])
def test_equal_scores_come_in_the_order_of_rows(tmp_path: Path, sidecar: bool) -> None:
    vectors = np.tile(drawn(2, 48), (50, 1))
    [hits] = nearest(store(tmp_path, vectors, sidecar), [vectors[1].astype(np.float64)], 60)
    assert hits.rows.tolist() == [*range(1, 100, 2), *range(0, 20, 2)]


def test_rows_left_out_and_low_scores_are_no_hits(tmp_path: Path) -> None:
    angles = np.deg2rad([0, 10, 20, 60, 180])
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    [hits] = nearest(store(tmp_path, vectors), [vectors[0].astype(np.float64)], 10, 0.3, [[0, 2]])
    assert hits.rows.tolist() == [1, 3]
    np.testing.assert_allclose(hits.scores, np.cos(angles[[1, 3]]), atol=1e-7)


def test_lengths_do_not_matter_where_the_index_was_not_normalised(tmp_path: Path) -> None:
    vectors = drawn(300, 48) * np.random.default_rng(0).uniform(0.01, 90_000, (300, 1)).astype(np.float32)
    path = written(tmp_path / "emb.parquet", vectors, parameters={"normalize": False})
    queries = queries_of(unit(vectors), 20)
    truth = np.argsort(-cosines(vectors, np.stack(queries)), axis=1, kind="stable")[:, :10]
    found = [hits.rows for hits in nearest(open_store(Index(str(path))), queries, 10)]
    np.testing.assert_array_equal(found, truth)


def test_the_graph_finds_nearly_all_with_exact_scores(tmp_path: Path) -> None:
    from visioncli.search.approx import graph_of

    vectors = unit(drawn(40, 48, seed=3)[np.arange(3000) % 40] + 0.5 * drawn(3000, 48))
    opened = store(tmp_path, vectors)
    graph = graph_of(opened)
    queries = queries_of(unit(vectors + 0.2 * drawn(3000, 48, seed=4)), 200)[:100]  # near what is there
    truth = list(nearest(opened, queries, 10))
    found = list(graph.nearest(opened, queries, 10))
    assert graph.recall >= 0.98
    assert np.mean([np.isin(a.rows, b.rows).mean() for a, b in zip(found, truth, strict=True)]) >= 0.98
    scores = cosines(vectors, np.stack(queries))
    assert all(np.array_equal(hits.scores, row[hits.rows]) for hits, row in zip(found, scores, strict=True))
    assert graph_of(open_store(Index(str(tmp_path / "emb.parquet")))).recall == graph.recall  # mapped, not built again
