"""Tables to files, whole or absent: written beside, fsynced, renamed.

A sink takes a stream of tables of one schema. Knows nothing of tasks; the schema is explicit, never inferred.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from visioncli.errors import UsageError
from visioncli.io.durable import whole_or_absent
from visioncli.io.json_lines import json_lines, tables_of

SINKS = {"parquet": "visioncli.io.sinks:write_parquet", "jsonl": "visioncli.io.sinks:write_jsonl"}
SUFFIXES = {".parquet": "parquet", ".jsonl": "jsonl", ".ndjson": "jsonl"}  # of a file -> its sink
JSON_LINES = tuple(suffix for suffix, kind in SUFFIXES.items() if kind == "jsonl")
Sink = Callable[[Path, pa.Schema, Iterable[pa.Table]], None]

ROW_GROUP_ROWS = 16_384
ROW_GROUP_BYTES = 64 * 2**20


def write_parquet(path: Path, schema: pa.Schema, tables: Iterable[pa.Table]) -> None:
    """Write one Parquet file: zstd, row groups of ROW_GROUP_ROWS or ROW_GROUP_BYTES, no dictionary on vectors."""
    with whole_or_absent(path) as file:
        writer = pq.ParquetWriter(file, schema, compression="zstd", use_dictionary=_dictionary_columns(schema))
        with writer:
            for group in _regrouped(schema, tables):
                writer.write_table(group, row_group_size=ROW_GROUP_ROWS)


def write_jsonl(path: Path, schema: pa.Schema, tables: Iterable[pa.Table]) -> None:
    """Write one JSON object a line, and before it `<path>.meta.json` with what Parquet keeps in its metadata."""
    meta = {key.decode(): json.loads(value) for key, value in (schema.metadata or {}).items()}
    meta["arrow_schema"] = base64.b64encode(schema.remove_metadata().serialize()).decode()
    with whole_or_absent(meta_of(path)) as file:
        file.write(json.dumps(meta, indent=1, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n")
    with whole_or_absent(path) as file:
        for table in tables:
            for line in json_lines(table):
                file.write(line.encode() + b"\n")


def meta_of(path: Path) -> Path:
    return path.with_name(path.name + ".meta.json")


def read_jsonl(path: Path) -> tuple[pa.Schema, Iterator[pa.Table]]:
    """Return what `write_jsonl` wrote. Raises UsageError, the tables too."""
    try:
        meta = json.loads(meta_of(path).read_text(encoding="utf-8"))
        schema = pa.ipc.read_schema(pa.py_buffer(base64.b64decode(meta.pop("arrow_schema"))))
    except (OSError, ValueError, KeyError):
        raise UsageError(f"{meta_of(path)} is missing or damaged: {path} cannot be read without it") from None
    schema = schema.with_metadata({key: json.dumps(value) for key, value in meta.items()})
    return schema, _jsonl_tables(path, schema)


def _jsonl_tables(path: Path, schema: pa.Schema) -> Iterator[pa.Table]:
    try:
        with open(path, "rb") as lines:
            yield from tables_of(lines, schema)
    except (ValueError, TypeError, ArithmeticError) as error:  # not JSON, or not of the type that the column has
        raise UsageError(f"{path} is damaged: {error}") from error


def _dictionary_columns(schema: pa.Schema) -> list[str]:
    """Text columns gain from a dictionary; vectors do not, and cost four times the reading with one."""
    return [field.name for field in schema if pa.types.is_string(field.type)]


def _regrouped(schema: pa.Schema, tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    waiting: list[pa.Table] = []
    rows = size = 0
    for piece in (piece for table in tables for piece in _pieces(table)):
        if rows and (rows + len(piece) > ROW_GROUP_ROWS or size + piece.nbytes > ROW_GROUP_BYTES):
            yield pa.concat_tables(waiting)
            waiting, rows, size = [], 0, 0
        waiting.append(piece)
        rows, size = rows + len(piece), size + piece.nbytes
    yield pa.concat_tables(waiting) if waiting else schema.empty_table()


def _pieces(table: pa.Table, rows: int = 1024) -> Iterator[pa.Table]:
    """Yield a table in slices of at most `rows`, fewer where those alone would pass ROW_GROUP_BYTES."""
    for start in range(0, len(table), rows):
        piece = table.slice(start, rows)
        if piece.nbytes <= ROW_GROUP_BYTES or rows == 1:
            yield piece
        else:
            yield from _pieces(piece, rows // 2)
