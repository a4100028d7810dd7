"""A table in one or several Parquet files, read a row group at a time. Knows nothing of what its columns mean."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

_OPEN_FILES = 16  # a folder of parts may have more of them than a process may have open


@dataclass(frozen=True, slots=True)
class _Group:
    path: Path
    number: int
    first: int  # row number of its first row in the whole table
    rows: int


class RowGroups:
    """The files, one after the other, as one table. Methods may be called from any thread; they raise pyarrow's
    ArrowException, or OSError, for files that cannot be read."""

    def __init__(self, files: Sequence[Path]) -> None:
        self.schema: pa.Schema = pq.read_schema(files[0])
        self._groups = list(_groups(files))
        self._file = lru_cache(_OPEN_FILES)(lambda path: pq.ParquetFile(path, memory_map=True))
        self._lock = threading.Lock()  # a ParquetFile is no thread's but one's at a time
        self.rows = sum(group.rows for group in self._groups)

    def tables(self, names: Sequence[str]) -> Iterator[tuple[int, pa.Table]]:
        """Yield the number of a first row and these columns from there on, a row group at a time."""
        for group in self._groups:
            yield group.first, self._read(group, names)

    def take(self, rows: NDArray[np.int64], names: Sequence[str]) -> pa.Table:
        """Return these rows' columns, in the order of `rows`; only their row groups are read."""
        order = np.argsort(rows, kind="stable")
        wanted, pieces = rows[order], [self.schema.empty_table().select(names)]
        for group in self._groups:
            low, high = np.searchsorted(wanted, [group.first, group.first + group.rows])
            if high > low:
                pieces.append(self._read(group, names).take(pa.array(wanted[low:high] - group.first)))
        back = np.empty_like(order)
        back[order] = np.arange(len(order))
        return pa.concat_tables(pieces).take(pa.array(back))

    def close(self) -> None:
        self._file.cache_clear()

    def _read(self, group: _Group, names: Sequence[str]) -> pa.Table:
        with self._lock:
            file = self._file(group.path)
            return file.read_row_group(group.number, columns=list(names), use_threads=False).select(names)


def _groups(files: Sequence[Path]) -> Iterator[_Group]:
    first = 0
    for path in files:
        metadata = pq.read_metadata(path)
        for number in range(metadata.num_row_groups):
            rows = metadata.row_group(number).num_rows
            if rows:
                yield _Group(path, number, first, rows)
            first += rows
