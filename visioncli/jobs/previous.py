"""A finished output, as rows whose answers may stand again (--update, --retry-failed, --fail-on new).

Holds about 40 bytes a row; answers are read from the file when they are wanted. Rows are matched by 64-bit hashes of
their source and content: at ten million rows the odds of one false match are about one in a million.
Knows nothing of fetching or models.
"""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from visioncli.errors import UsageError, is_passing
from visioncli.io.sinks import write_parquet

U64 = NDArray[np.uint64]
I64 = NDArray[np.int64]
_LIGHT = ["id", "source", "status", "error_code", "sha256", "bytes", "version"]


@dataclass(frozen=True, slots=True)
class _Group:
    file: pq.ParquetFile
    number: int
    first: int  # row number of its first row in the whole output
    rows: int


class Previous:
    """Open with `Previous.open`. Methods may be called from any thread."""

    def __init__(self, files: list[Path], provenance: dict[str, Any], text_column: str | None) -> None:
        self.provenance = provenance
        self.schema = pq.read_schema(files[0])
        self._groups = list(_groups(files))
        self._lock = threading.Lock()  # a ParquetFile is no thread's but one's at a time
        self.text_column = text_column
        self.rows = sum(group.rows for group in self._groups)
        columns = [_numbers(table, text_column) for table in self.tables(_light(self.schema, text_column))]
        joined = {name: np.concatenate([part[name] for part in columns]) for name in columns[0]} if columns else _none()
        self.identity: U64 = with_ranks(joined["identity"])
        self.text: U64 = joined["text"]
        self.bytes: I64 = joined["bytes"]
        self.version: U64 = joined["version"]
        self.sha: U64 = joined["sha"]
        self.ok = joined["ok"].astype(bool)
        self.settled = joined["settled"].astype(bool)  # answered, or failed for good
        self._by_identity = np.argsort(self.identity, kind="stable")
        usable = np.flatnonzero(self.ok)
        self._by_content = usable[np.argsort(self._content[usable], kind="stable")]
        self._sorted_content = self._content[self._by_content]

    @classmethod
    def open(cls, output: Path, scratch: Path, text_column: str | None = None) -> Previous:
        """Open a Parquet file, a JSONL file (copied to Parquet in `scratch`), or a folder of parts.

        Raises UsageError when it is none of ours.
        """
        files = _files(output, scratch)
        metadata = pq.read_schema(files[0]).metadata or {} if files else {}
        if b"visioncli" not in metadata:
            raise UsageError(f"{output} was not written by visioncli: it carries no provenance")
        return cls(files, json.loads(metadata[b"visioncli"]), text_column)

    @property
    def _content(self) -> U64:
        return self.sha ^ self.text

    def match(self, identity: U64) -> I64:
        """Return, for each identity (see `with_ranks`), the row that has it, or -1."""
        return _search(self.identity, self._by_identity, identity)

    def find(self, sha256: str | None, text: int) -> int:
        """Return an answered row with this content, or -1."""
        content = np.uint64(int(sha256[:16], 16) if sha256 else 0) ^ np.uint64(text)
        at = int(np.searchsorted(self._sorted_content, content))
        found = at < len(self._sorted_content) and self._sorted_content[at] == content
        return int(self._by_content[at]) if found else -1

    def take(self, rows: I64, names: list[str]) -> pa.Table:
        """Return these rows' columns, in the order of `rows`."""
        order = np.argsort(rows, kind="stable")
        wanted, pieces = rows[order], []
        for group in self._groups:
            low, high = np.searchsorted(wanted, [group.first, group.first + group.rows])
            if high > low:
                with self._lock:
                    table = group.file.read_row_group(group.number, columns=names, use_threads=False)
                pieces.append(table.take(pa.array(wanted[low:high] - group.first)))
        if not pieces:
            return pa.table([pa.array([], self.schema.field(name).type) for name in names], names=names)
        back = np.empty_like(order)
        back[order] = np.arange(len(order))
        return pa.concat_tables(pieces).take(pa.array(back)).select(names)

    def tables(self, names: list[str]) -> Iterator[pa.Table]:
        """Yield the whole output's columns, a row group at a time."""
        for group in self._groups:
            with self._lock:
                table = group.file.read_row_group(group.number, columns=names, use_threads=False)
            yield table.select(names)


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
    """Return a 64-bit hash per string; equal in every process."""
    found: U64 = pd.util.hash_array(np.asarray(texts.to_pylist(), dtype=object), categorize=False)
    return found


def identities(table: pa.Table | pa.RecordBatch) -> U64:
    """Return a hash per row of its source; of its id, where there is no source (rows that are text alone)."""
    return hashes(pc.coalesce(table["source"], table["id"]))


def text_hashes(table: pa.Table | pa.RecordBatch, text_column: str | None) -> U64:
    """Return a hash per row of its text, 0 for none."""
    if text_column is None:
        return np.zeros(len(table), np.uint64)
    text = table[text_column]
    return np.where(_mask(pc.is_valid(text)), hashes(pc.fill_null(pc.cast(text, pa.string()), "")), np.uint64(0))


def text_hash(text: object) -> int:
    """Return the hash of one text, as `text_hashes` does."""
    return 0 if text is None else int(hashes(pa.array([str(text)]))[0])


def version_hashes(version: pa.Array) -> U64:
    return np.where(_mask(pc.is_valid(version)), hashes(pc.fill_null(version, "")), np.uint64(0))


def _search(keys: U64, order: I64, wanted: U64) -> I64:
    if not len(keys):
        return np.full(len(wanted), -1, np.int64)
    ordered = keys[order]
    at = np.minimum(np.searchsorted(ordered, wanted), len(keys) - 1)
    return np.where(ordered[at] == wanted, order[at], -1)


def _numbers(table: pa.Table, text_column: str | None) -> dict[str, NDArray[Any]]:
    ok = _mask(pc.equal(table["status"], "ok"))
    codes = table["error_code"].to_pylist()
    passing = np.array([code is not None and is_passing(code) for code in codes], dtype=bool)
    sha = [int(value[:16], 16) if value else 0 for value in table["sha256"].to_pylist()]
    return {
        "identity": identities(table),
        "text": text_hashes(table, text_column),
        "bytes": pc.fill_null(table["bytes"], -1).to_numpy(),
        "version": version_hashes(table["version"]),
        "sha": np.array(sha, dtype=np.uint64),
        "ok": ok,
        "settled": ok | ~passing,
    }


def _none() -> dict[str, NDArray[Any]]:
    return {name: np.array([], np.uint64) for name in ("identity", "text", "version", "sha", "ok", "settled")} | {
        "bytes": np.array([], np.int64)
    }


def _mask(array: Any) -> NDArray[np.bool_]:
    result: NDArray[np.bool_] = np.asarray(array.to_numpy(zero_copy_only=False), dtype=bool)
    return result


def _light(schema: pa.Schema, text_column: str | None) -> list[str]:
    return [*_LIGHT, *([text_column] if text_column is not None else [])]


def _groups(files: list[Path]) -> Iterator[_Group]:
    first = 0
    for path in files:
        file = pq.ParquetFile(path, memory_map=True)
        for number in range(file.num_row_groups):
            rows = file.metadata.row_group(number).num_rows
            yield _Group(file, number, first, rows)
            first += rows


def _files(output: Path, scratch: Path) -> list[Path]:
    if output.is_dir():
        return sorted(output.glob("part-*.parquet"))
    if output.suffix == ".jsonl":
        copy = scratch / ".previous.parquet"
        if not copy.exists():
            _copy_jsonl(output, copy)
        return [copy]
    return [output]


def _copy_jsonl(source: Path, copy: Path) -> None:
    meta_path = source.with_name(source.name + ".meta.json")
    try:
        meta = json.loads(meta_path.read_text())
    except (OSError, ValueError):
        raise UsageError(f"{meta_path} is missing or damaged: without it {source} cannot be continued") from None
    schema = pa.ipc.read_schema(pa.py_buffer(base64.b64decode(meta["arrow_schema"])))
    schema = schema.with_metadata({"visioncli": json.dumps(meta["visioncli"])})
    write_parquet(copy, schema, _jsonl_tables(source, schema))


def _jsonl_tables(source: Path, schema: pa.Schema) -> Iterator[pa.Table]:
    with open(source, encoding="utf-8") as lines:
        rows: list[dict[str, Any]] = []
        for line in lines:
            rows.append(json.loads(line))
            if len(rows) == 4096:
                yield pa.Table.from_pylist(rows, schema)
                rows = []
        yield pa.Table.from_pylist(rows, schema)
