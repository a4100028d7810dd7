"""The snapshot of the enumerated inputs: what a run's rows are, whatever the folder does meanwhile.

Columns: those of the listing, and, when an earlier output is taken up again, `_was` (its row of the same source),
`_kept` (whether that answer stands without reading) and `_seen` (its version, for a conditional request).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import accumulate, pairwise
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from visioncli.io.durable import whole_or_absent
from visioncli.io.listing import columns_read, refs
from visioncli.samples import ImageRef

ROWS = 8192  # rows of one row group: what is in memory at once, and how coarsely a range is found
GROUP_BYTES = 32 * 2**20  # or fewer rows, where they are wide
PLAN = pa.schema([("_was", pa.int64()), ("_kept", pa.bool_()), ("_seen", pa.string())])
_HIDDEN = frozenset({"uri", "missing", "version", *PLAN.names})  # not for the output

Plan = Callable[[pa.RecordBatch], pa.RecordBatch]  # adds the columns of PLAN


def write_snapshot(
    path: Path,
    schema: pa.Schema,
    batches: Iterable[pa.RecordBatch],
    metadata: Callable[[], dict[str, str]],
) -> None:
    """Write the listing's rows, then what is known of them; whole or absent."""
    with whole_or_absent(path) as file, pq.ParquetWriter(file, schema, compression="zstd") as writer:
        for group in _groups(batches):
            writer.write_table(group)
        writer.add_key_value_metadata(metadata())


def _groups(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    """Yield the rows as tables of at least ROWS rows or GROUP_BYTES: names may have come one by one."""
    waiting, rows, size = list[pa.RecordBatch](), 0, 0
    for batch in batches:
        waiting.append(batch)
        rows, size = rows + len(batch), size + batch.nbytes
        if rows >= ROWS or size >= GROUP_BYTES:
            yield pa.Table.from_batches(waiting).combine_chunks()
            waiting, rows, size = [], 0, 0
    if waiting:
        yield pa.Table.from_batches(waiting).combine_chunks()


def plan_snapshot(path: Path, plan: Plan) -> None:
    """Write the snapshot again with the columns of PLAN; whole or absent, so a killed pass is done again."""
    file = pq.ParquetFile(path)
    if PLAN.names[0] in file.schema_arrow.names:
        return
    schema = pa.schema([*file.schema_arrow, *PLAN])
    known = {key.decode(): value.decode() for key, value in file.metadata.metadata.items() if key != b"ARROW:schema"}
    groups = (file.read_row_group(number, use_threads=False) for number in range(file.num_row_groups))
    batches = (plan(batch) for group in groups for batch in group.combine_chunks().to_batches())
    write_snapshot(path, schema, batches, lambda: known)


class Snapshot:
    """Ranges of rows. One thread for `pieces`, another for the iterator of `refs`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        file = pq.ParquetFile(path)
        self.rows: int = file.metadata.num_rows
        self.schema: pa.Schema = file.schema_arrow
        groups = (file.metadata.row_group(number).num_rows for number in range(file.num_row_groups))
        self._firsts = [0, *accumulate(groups)]
        self._group = lru_cache(maxsize=1)(lambda number: file.read_row_group(number, use_threads=False))

    def pieces(self, first: int, end: int) -> Iterator[pa.Table]:
        """Yield rows [first, end) with every column, a row group at a time."""
        for number, at in self._overlap(first, end):
            yield _cut(self._group(number), at, first, end)

    def tables(self, names: list[str]) -> Iterator[pa.Table]:
        """Yield these columns of all rows, a row group at a time."""
        file = pq.ParquetFile(self._path)
        for number in range(file.num_row_groups):
            yield file.read_row_group(number, columns=names, use_threads=False).select(names)

    def columns(self, names: list[str]) -> pa.Table:
        """Return these columns of all rows."""
        return pq.read_table(self._path, columns=names, use_threads=False)

    def refs(self, first: int, end: int, extras: Sequence[str]) -> Iterator[ImageRef]:
        """Yield rows [first, end) as references, with the columns `extras` beside them."""
        file = pq.ParquetFile(self._path)  # its own reader: the pipeline's feeder runs far ahead of the parts
        names = columns_read(self.schema, extras)
        for number, at in self._overlap(first, end):
            table = _cut(file.read_row_group(number, columns=names, use_threads=False), at, first, end)
            yield from refs(table, max(first, at), extras)

    def _overlap(self, first: int, end: int) -> list[tuple[int, int]]:
        """Return (number, first row) of the row groups that hold rows of [first, end)."""
        spans = enumerate(pairwise(self._firsts))
        return [(number, at) for number, (at, after) in spans if at < end and after > first]


def _cut(group: pa.Table, at: int, first: int, end: int) -> pa.Table:
    start = max(0, first - at)
    return group.slice(start, min(len(group), end - at) - start)


def visible_schema(schema: pa.Schema) -> pa.Schema:
    """Return the columns of a snapshot that the output shows: `id`, `source`, pass-through, `image_index`."""
    shown = [name for name in schema.names if name not in _HIDDEN]
    order = ["id", "source", *(n for n in shown if n not in ("id", "source", "image_index"))]
    return pa.schema([schema.field(name) for name in order + (["image_index"] if "image_index" in shown else [])])
