"""64-bit hashes by which the rows of two tables are matched: of where a row is from, and of what was asked.

Equal in every process. At ten million rows the odds of one false match are about one in a million.
Knows nothing of files or of answers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

U64 = NDArray[np.uint64]


def with_ranks(identity: U64) -> U64:
    """Return identities made distinct: the n-th row of the same source is another one than the first."""
    order = np.argsort(identity, kind="stable")
    ordered = identity[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]]) if len(ordered) else np.array([], np.int64)
    lengths = np.diff(np.r_[starts, len(ordered)])
    rank = np.arange(len(ordered)) - np.repeat(starts, lengths)
    mixed = np.empty_like(identity)
    mixed[order] = ordered + rank.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)  # wraps; the golden ratio's bits
    return mixed


def hashes(texts: pa.Array | pa.ChunkedArray) -> U64:
    """Return a 64-bit hash per string."""
    found: U64 = pd.util.hash_array(np.asarray(texts.to_pylist(), dtype=object), categorize=False)
    return found


def identities(table: pa.Table | pa.RecordBatch) -> U64:
    """Return a hash per row of its source; of its id, where there is no source (rows that are text alone)."""
    return hashes(pc.coalesce(table["source"], table["id"]))


def text_hashes(table: pa.Table | pa.RecordBatch, text_column: str | None) -> U64:
    """Return a hash per row of its text, 0 for none."""
    if text_column is None:
        return np.zeros(len(table), np.uint64)
    texts = table[text_column].to_pylist()
    missing = np.array([text is None for text in texts], dtype=bool)
    return np.where(missing, np.uint64(0), hashes(pa.array(map(str, texts), pa.string())))


def text_hash(text: object) -> int:
    """Return the hash of one text, as `text_hashes` does."""
    return 0 if text is None else int(hashes(pa.array([str(text)]))[0])


def version_hashes(version: pa.Array | pa.ChunkedArray) -> U64:
    """Return a hash per version, 0 for none."""
    return np.where(mask(pc.is_valid(version)), hashes(pc.fill_null(version, "")), np.uint64(0))


def contents(table: pa.Table | pa.RecordBatch, text_column: str | None) -> U64:
    """Return a hash per row of what is asked: the picture's bytes and the text beside it."""
    sha256 = [int(value[:16], 16) if value else 0 for value in table["sha256"].to_pylist()]
    return np.array(sha256, np.uint64) ^ text_hashes(table, text_column)


def content(sha256: str | None, text: int) -> np.uint64:
    """Return the hash of one row's content, as `contents` does; `text` is from `text_hash`."""
    return np.uint64(int(sha256[:16], 16) if sha256 else 0) ^ np.uint64(text)


def mask(array: Any) -> NDArray[np.bool_]:
    """Return an Arrow array of bools, without nulls, as numpy's."""
    result: NDArray[np.bool_] = np.asarray(array.to_numpy(zero_copy_only=False), dtype=bool)
    return result
