"""An index ready to be searched: its vectors, their float16 copies, and the columns of its rows.

Mapped from a side-car or held in memory. Rows are those that have a vector, numbered from 0 in the index's order.
Knows nothing of how they came there.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from visioncli.errors import UsageError
from visioncli.search.arrays import texts
from visioncli.search.cosines import Rows, Vectors

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Store:
    vectors: Vectors  # (n, D), as the index has them
    half: NDArray[np.float16] | None  # (n, D), of length 1; None where the index is in memory
    error: float  # the greatest distance between a row of `half` and the true unit vector
    columns: Columns
    facts: dict[str, Any]  # Index.facts
    folder: Path | None = None  # the side-car; None where the index is in memory

    @property
    def rows(self) -> int:
        return len(self.vectors)

    def row_of(self, id: str) -> int:
        """Return the row that has an id. Raises UsageError for an id that no row has, or several."""
        found = self.columns.having(id)
        if not found:
            raise UsageError(f"--row: no row with a vector has the id {id!r}")
        if len(found) > 1:
            raise UsageError(f"--row: {len(found)} rows have the id {id!r}; ids must be unique to be asked for")
        return found[0]


@dataclass(frozen=True)
class Columns:
    """The columns of all rows but their vectors, in batches."""

    schema: pa.Schema
    batches: list[pa.RecordBatch]
    _ends: list[int] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_ends", list(accumulate(len(batch) for batch in self.batches)))

    def having(self, id: str) -> list[int]:
        """Return the rows that have this id, ascending. Raises UsageError."""
        import pyarrow as pa
        import pyarrow.compute as pc

        found: list[int] = []
        try:
            wanted = texts([id])[0].cast(self._id_type)
        except pa.ArrowInvalid:  # ids are numbers, and this is none
            return found
        for end, batch in zip(self._ends, self.batches, strict=True):
            same = pc.equal(batch.column("id"), wanted)
            if same.true_count:
                found += [end - len(batch) + at for at in pc.indices_nonzero(same).to_pylist()]
        return found

    def take(self, rows: Rows, names: list[str] | None = None) -> pa.Table:
        """Return these rows' columns, in the order of `rows`."""
        import pyarrow as pa

        wanted = names or self.schema.names
        pieces = [self._row(int(row)).select(wanted) for row in rows]
        schema = pa.schema([self.schema.field(name) for name in wanted])
        return pa.Table.from_batches(pieces, schema=schema).combine_chunks()

    def _row(self, row: int) -> pa.RecordBatch:
        at = bisect_right(self._ends, row)
        return self.batches[at].slice(row - self._ends[at] + len(self.batches[at]), 1)

    def ids(self) -> pa.ChunkedArray:
        """Return the ids of all rows. Raises UsageError."""
        import pyarrow as pa

        kind = self._id_type
        return pa.chunked_array([batch.column("id") for batch in self.batches], kind)

    @property
    def _id_type(self) -> pa.DataType:
        if "id" not in self.schema.names:
            raise UsageError(
                "the index has no column 'id', by which rows are named: only --text and --image can use it"
            )
        return self.schema.field("id").type
