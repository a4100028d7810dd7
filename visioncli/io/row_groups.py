"""A table in one or several Parquet files, read a row group at a time. Knows nothing of what its columns mean."""

from __future__ import annotations

import hashlib
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from visioncli.errors import OutputError
from visioncli.io.durable import whole_or_absent

_OPEN_FILES = 16  # a folder of parts may have more of them than a process may have open
_OFTEN = 2  # times that a table is read whole before it is worth a copy

Names = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Group:
    path: Path
    number: int
    first: int  # row number of its first row in the whole table
    rows: int


class RowGroups:
    """The files, one after the other, as one table. Methods may be called from any thread; they raise pyarrow's
    ArrowException, or OSError, for files that cannot be read.

    `scratch` is the beginning of paths for copies: rows that are taken in another order than the table's would read
    every row group again each time, so after _OFTEN times the columns lie there uncompressed and mapped, and a row
    costs a page or two.
    """

    def __init__(self, files: Sequence[Path], scratch: Path | None = None) -> None:
        self.schema: pa.Schema = pq.read_schema(files[0])
        self._groups = list(_groups(files))
        self._file = lru_cache(_OPEN_FILES)(lambda path: pq.ParquetFile(path, memory_map=True))
        self._lock = threading.RLock()  # a ParquetFile is no thread's but one's at a time
        self.rows = sum(group.rows for group in self._groups)
        self._scratch = scratch
        self._reads: Counter[Names] = Counter()  # row groups read by `take`, by columns
        self._copies: dict[Names, pa.ipc.RecordBatchFileReader] = {}
        self._last: tuple[int, Names, pa.Table] | None = None  # takes that follow the table's order share groups

    def tables(self, names: Sequence[str]) -> Iterator[tuple[int, pa.Table]]:
        """Yield the number of a first row and these columns from there on, a row group at a time."""
        for group in self._groups:
            yield group.first, self._read(group, names)

    def take(self, rows: NDArray[np.int64], names: Sequence[str]) -> pa.Table:
        """Return these rows' columns, in the order of `rows`; only their row groups are read."""
        order = np.argsort(rows, kind="stable")
        wanted, pieces = rows[order], [self.schema.empty_table().select(names)]
        for number, group in enumerate(self._groups):
            low, high = np.searchsorted(wanted, [group.first, group.first + group.rows])
            if high > low:
                pieces.append(self._rows_of(number, wanted[low:high] - group.first, tuple(names)))
        back = np.empty_like(order)
        back[order] = np.arange(len(order))
        return pa.concat_tables(pieces).take(pa.array(back))

    def close(self) -> None:
        self._file.cache_clear()
        self._copies.clear()
        self._last = None

    def _rows_of(self, number: int, places: NDArray[np.int64], names: Names) -> pa.Table:
        with self._lock:
            if names not in self._copies and self._reads[names] >= _OFTEN * len(self._groups):
                self._copy(names)
            if names in self._copies:
                return pa.Table.from_batches([self._copies[names].get_batch(number).take(pa.array(places))])
            if self._last is None or self._last[:2] != (number, names):
                self._reads[names] += 1
                self._last = number, names, self._read(self._groups[number], names)
            return self._last[2].take(pa.array(places))

    def _copy(self, names: Names) -> None:
        """Write the columns as Arrow, a record batch a row group; where there is no room for them, go on without."""
        if self._scratch is None:
            return
        digest = hashlib.sha256(repr(names).encode("utf-8", "surrogatepass")).hexdigest()[:16]
        path = self._scratch.with_name(f"{self._scratch.name}.{digest}.arrow")
        with suppress(OutputError):
            if not path.exists():  # a run that was killed may have made it
                self._write_copy(path, names)
            self._copies[names] = pa.ipc.open_file(pa.memory_map(str(path)))
            return
        self._scratch = None

    def _write_copy(self, path: Path, names: Names) -> None:
        schema = self.schema.empty_table().select(names).schema
        with whole_or_absent(path) as file, pa.ipc.new_file(file, schema) as writer:
            for _, table in self.tables(names):
                (batch,) = table.combine_chunks().to_batches()
                writer.write_batch(batch)

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
