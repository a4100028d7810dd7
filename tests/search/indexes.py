"""Outputs of `embed` with vectors of our choosing, written without our writer's help."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

Matrix = NDArray[np.float32]
SPACE = {"model": "demo", "commit": "files:1", "embedding_space": "demo@files:1/x", "parameters": {"normalize": True}}


def unit(vectors: NDArray[Any]) -> Matrix:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def drawn(rows: int, width: int = 32, seed: int = 0) -> Matrix:
    """Random vectors of length 1."""
    return unit(np.random.default_rng(seed).standard_normal((rows, width)))


def table(vectors: NDArray[Any], ids: Sequence[str] | None = None, lost: Sequence[int] = (), **said: Any) -> pa.Table:
    """A table as `embed` writes it; rows in `lost` failed and have no vector."""
    count, width = vectors.shape
    gone = np.isin(np.arange(count), lost)
    kind = pa.from_numpy_dtype(vectors.dtype)
    numbers = pa.FixedSizeListArray.from_arrays(vectors.ravel(), type=pa.list_(kind, width), mask=pa.array(gone))
    columns = {
        "id": list(ids or (f"{n}.jpg" for n in range(count))),
        "price": pa.array(np.arange(count) * 3),
        "status": np.where(gone, "error", "ok").tolist(),
        "embedding": numbers,
    }
    return pa.table(columns).replace_schema_metadata({"visioncli": json.dumps(SPACE | said)})


def written(path: Path, vectors: NDArray[Any], *, group: int = 7, **more: Any) -> Path:
    """Row groups of a few rows, so that all the seams are there."""
    pq.write_table(table(vectors, **more), path, row_group_size=group)
    return path


def cosines(vectors: NDArray[Any], queries: NDArray[Any]) -> Matrix:
    """(queries, n) by the definition, in float64, rounded to float32."""
    left, right = (
        one.astype(np.float64) / np.linalg.norm(one.astype(np.float64), axis=1, keepdims=True)
        for one in (queries, vectors)
    )
    return (left @ right.T).astype(np.float32)
