"""A finished output as it lies on disk: what it says of itself, its columns a piece at a time, and single rows.

A Parquet file, a JSON-lines file (copied to Parquet while it is open) or a folder of parts. Knows nothing of what the
columns mean, nor of pages.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from visioncli.errors import UsageError
from visioncli.io.sinks import read_jsonl, write_parquet

Rows = NDArray[np.int64]  # row numbers, from 0

NEEDED = {"id", "source", "status", "error_code", "error"}  # columns of every output
JSON_LINES = (".jsonl", ".ndjson")
_OPEN_FILES = 16  # a folder of parts may have more of them than a process may have open


@dataclass(frozen=True, slots=True)
class _Group:
    path: Path
    number: int
    first: int  # row number of its first row in the whole output
    rows: int


class Results:
    """A context manager. `folder` is where the paths of side files start."""

    def __init__(self, path: str) -> None:
        """Raises UsageError when there is nothing, or nothing of ours."""
        self.path = Path(path)
        self.name = self.path.name or str(self.path)
        self.folder = self.path.resolve().parent
        self._scratch = tempfile.TemporaryDirectory(prefix="visioncli-report-")
        try:
            self._open()
        except BaseException:
            self._scratch.cleanup()
            raise

    def _open(self) -> None:
        try:
            files = self._files()
            self.schema: pa.Schema = pq.read_schema(files[0])
            self._groups = list(_groups(files))
        except (pa.ArrowException, OSError) as error:
            raise UsageError(f"{self.path} cannot be read: {str(error).splitlines()[0]}") from error
        self.provenance = _provenance(self.schema, self.path)
        self.task = str(self.provenance["task"])
        self.rows = sum(group.rows for group in self._groups)
        self._file = lru_cache(_OPEN_FILES)(lambda path: pq.ParquetFile(path, memory_map=True))

    def _files(self) -> list[Path]:
        if not self.path.exists():
            raise UsageError(f"{self.path} is not there")
        if self.path.is_dir():
            parts = sorted(self.path.glob("part-*.parquet"))
            if not parts:
                raise UsageError(f"{self.path} holds no part-*.parquet: it is no output of visioncli")
            return parts
        return [self._copied()] if self.path.suffix in JSON_LINES else [self.path]

    def _copied(self) -> Path:
        """JSON lines as Parquet: their rows could not be found again without reading all before them."""
        copy = Path(self._scratch.name) / "copy.parquet"
        try:
            write_parquet(copy, *read_jsonl(self.path))
        except UsageError as error:  # it advises how to run again, which is not what was asked here
            raise UsageError(str(error).partition("; say ")[0].partition(": without it")[0]) from error
        return copy

    @property
    def is_unfinished(self) -> bool:
        """Whether it is a folder whose run has not come to its end."""
        return self.path.is_dir() and "finished" not in self._run()

    def summary(self) -> dict[str, Any] | None:
        """The run's summary, where the output keeps it: a folder of parts does."""
        found: dict[str, Any] | None = self._run().get("finished", {}).get("summary") if self.path.is_dir() else None
        return found

    def _run(self) -> dict[str, Any]:
        try:
            found = json.loads((self.path / "_run.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def having(self, names: Sequence[str]) -> list[str]:
        """Return those of `names` that are columns."""
        return [name for name in names if name in self.schema.names]

    def tables(self, names: Sequence[str]) -> Iterator[tuple[int, pa.Table]]:
        """Yield the number of a first row and these columns from there on, a row group at a time."""
        for group in self._groups:
            yield group.first, self._read(group, names)

    def take(self, rows: Rows, names: Sequence[str]) -> pa.Table:
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

    def _read(self, group: _Group, names: Sequence[str]) -> pa.Table:
        try:
            return self._file(group.path).read_row_group(group.number, columns=list(names), use_threads=False)
        except (pa.ArrowException, OSError) as error:
            raise UsageError(f"{group.path} is damaged: {str(error).splitlines()[0]}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._file.cache_clear()
        self._scratch.cleanup()


def _provenance(schema: pa.Schema, path: Path) -> dict[str, Any]:
    try:
        found = json.loads((schema.metadata or {})[b"visioncli"])
        found["task"]
    except (KeyError, ValueError, TypeError):
        raise UsageError(f"{path} was not written by visioncli: it carries no provenance") from None
    if missing := NEEDED - set(schema.names):
        raise UsageError(f"{path} has no column {min(missing)!r}: it is no output of visioncli")
    return dict(found)


def _groups(files: list[Path]) -> Iterator[_Group]:
    first = 0
    for path in files:
        metadata = pq.read_metadata(path)
        for number in range(metadata.num_row_groups):
            rows = metadata.row_group(number).num_rows
            yield _Group(path, number, first, rows)
            first += rows
