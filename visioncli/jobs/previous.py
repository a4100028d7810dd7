"""A finished output, as rows whose answers may stand again (--update, --retry-failed, --fail-on new).

Holds about 70 bytes a row; answers are read from the file when they are wanted. Knows nothing of fetching or models.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from visioncli.errors import UsageError, first_line, is_passing
from visioncli.io.row_groups import RowGroups
from visioncli.io.sinks import read_jsonl, write_parquet
from visioncli.jobs.hashes import U64, content, contents, identities, mask, text_hashes, version_hashes, with_ranks

I64 = NDArray[np.int64]
_LIGHT = ["id", "source", "status", "error_code", "sha256", "bytes", "version"]


class Previous:
    """Open with `Previous.open`. Methods may be called from any thread."""

    def __init__(self, files: list[Path], scratch: Path, provenance: dict[str, Any], text_column: str | None) -> None:
        self.provenance = provenance
        self._table = RowGroups(files, scratch / ".previous")
        self.schema, self.rows = self._table.schema, self._table.rows
        self.text_column = text_column if text_column in self.schema.names else None
        self.identity: U64
        self.content: U64
        self.text: U64
        self.version: U64
        self.bytes: I64
        self.ok: NDArray[np.bool_]
        self.settled: NDArray[np.bool_]  # answered, or failed for good
        self._read_numbers()
        self._by_identity = np.argsort(self.identity, kind="stable")
        usable = np.flatnonzero(self.ok)
        self._by_content = usable[np.argsort(self.content[usable], kind="stable")]
        self._sorted_content = self.content[self._by_content]

    def _read_numbers(self) -> None:
        light = [*_LIGHT, *([self.text_column] if self.text_column is not None else [])]
        parts = [_numbers(self.schema.empty_table(), self.text_column)]
        parts += [_numbers(table, self.text_column) for table in self.tables(light)]
        for name in parts[0]:
            setattr(self, name, np.concatenate([part[name] for part in parts]))
        self.identity = with_ranks(self.identity)

    @classmethod
    def open(cls, output: Path, scratch: Path, text_column: str | None = None) -> Previous:
        """Open a Parquet file, a JSONL file, or a folder of parts; `scratch` is a folder for copies, `.previous.*`.

        Raises UsageError when it is none of ours.
        """
        said = said_by(output, scratch)
        files = _files(output, scratch)
        with _ours(output):
            return cls(files, scratch, said, text_column)

    def match(self, identity: U64) -> I64:
        """Return, for each identity (see `with_ranks`), the row that has it, or -1."""
        if not self.rows:
            return np.full(len(identity), -1, np.int64)
        ordered = self.identity[self._by_identity]
        at = np.minimum(np.searchsorted(ordered, identity), self.rows - 1)
        return np.where(ordered[at] == identity, self._by_identity[at], -1)

    def find(self, sha256: str | None, text: int) -> int:
        """Return an answered row with this content, or -1."""
        wanted = content(sha256, text)
        at = int(np.searchsorted(self._sorted_content, wanted))
        found = at < len(self._sorted_content) and self._sorted_content[at] == wanted
        return int(self._by_content[at]) if found else -1

    def take(self, rows: I64, names: list[str]) -> pa.Table:
        """Return these rows' columns, in the order of `rows`."""
        return self._table.take(rows, names)

    def tables(self, names: list[str]) -> Iterator[pa.Table]:
        """Yield the whole output's columns, a row group at a time."""
        for _, table in self._table.tables(names):
            yield table


def said_by(output: Path, scratch: Path) -> dict[str, Any]:
    """Return what a finished output says of itself, without reading its rows. Raises UsageError when it is none."""
    with _ours(output):
        with _advising():
            files = _there(output, scratch)
            schema = read_jsonl(output)[0] if files is None else pq.read_schema(files[0]) if files else pa.schema([])
        if b"visioncli" not in (schema.metadata or {}):
            raise UsageError(f"{output} was not written by visioncli: it carries no provenance")
        said: dict[str, Any] = json.loads(schema.metadata[b"visioncli"])
        said["key"]  # what --update and --retry-failed compare
        return said


def rows_of(output: Path, scratch: Path, names: list[str]) -> Iterator[pa.Table]:
    """Yield these columns of a finished output, some rows at a time; makes no copy. Raises UsageError."""
    files = _there(output, scratch)
    with _ours(output), _advising():
        tables = read_jsonl(output)[1] if files is None else (table for _, table in RowGroups(files).tables(names))
        for table in tables:
            yield table.select(names)


@contextmanager
def _ours(output: Path) -> Iterator[None]:
    """Translate what reading a finished output raises where it is damaged, or none."""
    try:
        yield
    except (pa.ArrowException, KeyError, OSError) as error:
        raise UsageError(f"{output} cannot be read as an output of visioncli: {first_line(error)}") from error


@contextmanager
def _advising() -> Iterator[None]:
    try:
        yield
    except UsageError as error:
        raise UsageError(f"{error}; say --overwrite to ask all again") from error


def of_rows(values: NDArray[Any], rows: I64, absent: Any) -> NDArray[Any]:
    """Return `values` of these rows, `absent` where a row is -1."""
    found = np.full(len(rows), absent, values.dtype)
    found[rows >= 0] = values[rows[rows >= 0]]
    return found


def _numbers(table: pa.Table, text_column: str | None) -> dict[str, NDArray[Any]]:
    ok = mask(pc.equal(table["status"], "ok"))
    codes = table["error_code"].to_pylist()
    passing = np.array([code is not None and is_passing(code) for code in codes], dtype=bool)
    return {
        "identity": identities(table),
        "content": contents(table, text_column),
        "text": text_hashes(table, text_column),
        "version": version_hashes(table["version"]),
        "bytes": pc.fill_null(table["bytes"], -1).to_numpy(),
        "ok": ok,
        "settled": ok | ~passing,
    }


def _files(output: Path, scratch: Path) -> list[Path]:
    files = _there(output, scratch)
    if files is not None:
        return files
    with _advising():
        write_parquet(_copy(scratch), *read_jsonl(output))
    return [_copy(scratch)]


def _there(output: Path, scratch: Path) -> list[Path] | None:
    """Return an output's Parquet files; None for JSON lines of which there is no copy yet."""
    if output.is_dir():
        return sorted(output.glob("part-*.parquet"))
    if output.suffix == ".parquet":
        return [output]
    return [_copy(scratch)] if _copy(scratch).exists() else None


def _copy(scratch: Path) -> Path:
    return scratch / ".previous.parquet"
