"""Tables to files, whole or absent: written beside, fsynced, renamed.

A sink takes a stream of tables of one schema. Knows nothing of tasks; the schema is explicit, never inferred.
"""

from __future__ import annotations

import base64
import json
import math
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from visioncli.errors import OutputError

SINKS = {"parquet": "visioncli.io.sinks:write_parquet", "jsonl": "visioncli.io.sinks:write_jsonl"}
Sink = Callable[[Path, pa.Schema, Iterable[pa.Table]], None]

ROW_GROUP_ROWS = 16_384
ROW_GROUP_BYTES = 64 * 2**20


@contextmanager
def whole_or_absent(path: Path) -> Iterator[BinaryIO]:
    """Open a file that appears under `path` complete and durable, or not at all. Raises OutputError."""
    beside = path.with_name(f".{path.name}.tmp")
    try:
        with open(beside, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
        sync_folder(path.parent)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise OutputError(f"{path} cannot be written: {error.strerror or error}") from error
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def sync_folder(path: Path) -> None:
    """Make renames and removals in `path` durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_parquet(path: Path, schema: pa.Schema, tables: Iterable[pa.Table]) -> None:
    """Write one Parquet file: zstd, row groups of ROW_GROUP_ROWS or ROW_GROUP_BYTES, no dictionary on vectors."""
    with whole_or_absent(path) as file:
        writer = pq.ParquetWriter(file, schema, compression="zstd", use_dictionary=_dictionary_columns(schema))
        with writer:
            for group in _regrouped(schema, tables):
                writer.write_table(group, row_group_size=ROW_GROUP_ROWS)


def write_jsonl(path: Path, schema: pa.Schema, tables: Iterable[pa.Table]) -> None:
    """Write one JSON object a line, and `<path>.meta.json` with what Parquet keeps in its metadata."""
    meta = {key.decode(): json.loads(value) for key, value in (schema.metadata or {}).items()}
    meta["arrow_schema"] = base64.b64encode(schema.remove_metadata().serialize()).decode()
    with whole_or_absent(path.with_name(path.name + ".meta.json")) as file:
        file.write(json.dumps(meta, indent=1, ensure_ascii=False).encode() + b"\n")
    with whole_or_absent(path) as file:
        for table in tables:
            for line in json_lines(table):
                file.write(line.encode() + b"\n")


def json_lines(table: pa.Table) -> Iterator[str]:
    """Yield each row as one line of JSON, keys in column order, numbers in the fewest digits of their type."""
    keys = [json.dumps(name, ensure_ascii=False) for name in table.column_names]
    for batch in table.to_batches():
        columns = [_json_cells(column) for column in batch.columns]
        for cells in zip(*columns, strict=True):
            yield "{" + ", ".join(f"{key}: {cell}" for key, cell in zip(keys, cells, strict=True)) + "}"


def _json_cells(column: pa.Array) -> list[str]:
    if _is_vector(column.type) or (pa.types.is_list(column.type) and pa.types.is_floating(column.type.value_type)):
        lists = column.cast(pa.list_(column.type.value_type)).cast(pa.list_(pa.string()))
        joined = pc.binary_join(lists, ", ").to_pylist()
        return ["null" if cell is None else f"[{cell}]" for cell in joined]
    if pa.types.is_floating(column.type):
        finite = pc.if_else(pc.is_finite(column), column, pa.scalar(None, column.type))
        return ["null" if cell is None else cell for cell in finite.cast(pa.string()).to_pylist()]
    return [json.dumps(_plain(value), ensure_ascii=False) for value in column.to_pylist()]


def _plain(value: Any) -> Any:
    """Make a Python value of an Arrow cell JSON's: times as ISO 8601, bytes as base64, not-a-number as null."""
    if value is None or isinstance(value, (str, int, bool)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def _is_vector(kind: pa.DataType) -> bool:
    return pa.types.is_fixed_size_list(kind) and pa.types.is_floating(kind.value_type)


def _dictionary_columns(schema: pa.Schema) -> list[str]:
    """Text columns gain from a dictionary; vectors do not, and cost four times the reading with one."""
    return [field.name for field in schema if pa.types.is_string(field.type)]


def _regrouped(schema: pa.Schema, tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    waiting: list[pa.Table] = []
    rows = size = 0
    for table in tables:
        for start in range(0, len(table), 1024):
            piece = table.slice(start, 1024)
            if rows and (rows + len(piece) > ROW_GROUP_ROWS or size + piece.nbytes > ROW_GROUP_BYTES):
                yield pa.concat_tables(waiting)
                waiting, rows, size = [], 0, 0
            waiting.append(piece)
            rows, size = rows + len(piece), size + piece.nbytes
    yield pa.concat_tables(waiting) if waiting else schema.empty_table()
