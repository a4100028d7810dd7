"""CSV, TSV, JSONL and Parquet files as an Arrow schema and a stream of record batches.

Knows nothing of images: every column is read, with its type. Only one batch is held at a time, of so many rows as are
asked for, or of about BATCH_BYTES.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import json
import re
import zlib
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, BinaryIO, TypeVar, cast

import pyarrow as pa
import pyarrow.parquet as pq

from visioncli.errors import UsageError
from visioncli.io import json_types
from visioncli.samples import display
from visioncli.wording import counted

BATCH_BYTES = 32 * 2**20
CELL_CHARACTERS = 16 * 2**20  # of a CSV; csv's own limit of 131,072 refuses captions that people have
RowT = TypeVar("RowT")
_ESCAPED = re.compile("[\udc80-\udcff]")  # how `surrogateescape` shows bytes that are not UTF-8


@dataclass(frozen=True, slots=True)
class Sheet:
    schema: pa.Schema
    read: Callable[[int], Iterator[pa.RecordBatch]]  # rows at a time, at most
    notes: tuple[str, ...] = ()


def chunks(rows: Iterable[tuple[RowT, int]], most: int) -> Iterator[list[RowT]]:
    """Yield rows, which come with their sizes in bytes, at most so many or about BATCH_BYTES together."""
    chunk, held = list[RowT](), 0
    for row, size in rows:
        chunk.append(row)
        held += size
        if len(chunk) == most or held > BATCH_BYTES:
            yield chunk
            chunk, held = [], 0
    if chunk:
        yield chunk


@contextmanager
def opened(path: bytes) -> Iterator[BinaryIO]:
    """Open a file, unpacking `.gz`; raises UsageError for one that cannot be read or is damaged."""
    try:
        with gzip.open(path) if path.lower().endswith(b".gz") else open(path, "rb") as file:
            yield cast(BinaryIO, file)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UsageError(f"{display(path)}: the gzip data are damaged ({error})") from error
    except OSError as error:
        raise UsageError(f"{display(path)} cannot be read: {error.strerror or error}") from error


def open_csv(path: bytes, name: str, delimiter: str = ",") -> Sheet:
    """Read a table of strings: nothing is taken for a number, a date or a missing value.

    Raises UsageError, from `read` too, for a line with more or fewer cells than the header: a reader that filled
    such lines up would move cells under the wrong column (pandas does).
    """
    with closing(_csv_lines(path, name, delimiter)) as lines:
        header = next(lines, None)
    if header is None:
        raise UsageError(f"{name} is empty: a header line with the columns' names is needed")
    names = [cell or f"column_{number}" for number, cell in enumerate(header[1], 1)]
    _refuse_repeated(names, name)
    schema = pa.schema([(column, pa.string()) for column in names])
    unnamed = ", ".join(repr(column) for column, cell in zip(names, header[1], strict=True) if not cell)
    notes = (f"{name}: columns without a name are called {unnamed}",) if unnamed else ()
    return Sheet(schema, partial(_csv_batches, path, name, delimiter, schema), notes)


def _csv_lines(path: bytes, name: str, delimiter: str) -> Generator[tuple[int, list[str]]]:
    """Yield (line number where the row begins, cells); blank lines are skipped."""
    csv.field_size_limit(max(CELL_CHARACTERS, csv.field_size_limit()))  # the process's; what others raised stays
    with opened(path) as file, io.TextIOWrapper(file, encoding="utf-8-sig", newline="") as text:
        reader: Any = csv.reader(text, delimiter=delimiter, strict=True)
        begins = 1
        try:
            for cells in reader:
                if cells:
                    yield begins, cells
                begins = reader.line_num + 1
        except csv.Error as error:
            if "field larger" in str(error) or "unexpected end" in str(error):
                raise UsageError(f"{name}, line {begins}: {error}; is a quote not closed?") from error
            raise UsageError(f"{name}, line {reader.line_num}: {error}") from error
        except UnicodeDecodeError as error:
            line = _foreign_line(path)
            raise UsageError(f"{name}, line {line}: the text is not UTF-8; save the file as UTF-8") from error


def _foreign_line(path: bytes) -> int:
    """Return the number of the first line that is not UTF-8; text is decoded a block ahead of its lines."""
    with opened(path) as file, io.TextIOWrapper(file, encoding="utf-8", errors="surrogateescape", newline="") as text:
        return next(number for number, line in enumerate(text, 1) if not line.isascii() and _ESCAPED.search(line))


def _csv_batches(path: bytes, name: str, delimiter: str, schema: pa.Schema, rows: int) -> Iterator[pa.RecordBatch]:
    lines = _csv_lines(path, name, delimiter)
    next(lines)
    sized = ((_checked(line, cells, len(schema), name), sum(map(len, cells))) for line, cells in lines)
    for chunk in chunks(sized, rows):
        yield pa.record_batch([pa.array(cells, pa.string()) for cells in zip(*chunk, strict=True)], schema=schema)


def _checked(line: int, cells: list[str], width: int, name: str) -> list[str]:
    if len(cells) != width:
        here, columns = counted(len(cells), "cell"), counted(width, "column")
        raise UsageError(f"{name}, line {line}: {here}, but the header has {columns}")
    return cells


def _refuse_repeated(names: Sequence[str], name: str) -> None:
    repeated = [column for column, times in Counter(names).items() if times > 1]
    if repeated:
        raise UsageError(f"{name}: the header names {repeated[0]!r} more than once; each column needs its own name")


def open_jsonl(path: bytes, name: str) -> Sheet:
    """Read one JSON object a line; a first pass over the whole file settles the columns' types.

    Raises UsageError naming the first line that is no JSON object.
    """
    kinds: dict[str, pa.DataType | None] = {}  # None: its values have no common type
    with opened(path) as file:
        for values, _ in _json_lines(file, name):
            for column, value in values.items():
                kinds[column] = _widened(kinds.get(column, pa.null()), value)
    schema = pa.schema([_settled(column, kind) for column, kind in kinds.items()])
    notes = tuple(
        f"{name}: the values of column {field.name!r} have no common type and are kept as JSON strings"
        for field in schema
        if json_types.is_json(field)
    )
    return Sheet(schema, partial(_json_batches, path, name, schema), notes)


def _widened(kind: pa.DataType | None, value: Any) -> pa.DataType | None:
    if kind is None or value is None or json_types.PLAIN_TYPES.get(type(value)) is kind:
        return kind
    try:
        return json_types.merged(kind, json_types.type_of(value))
    except json_types.DisagreementError:
        return None


def _settled(column: str, kind: pa.DataType | None) -> pa.Field:
    try:
        return json_types.json_field(column) if kind is None else pa.field(column, json_types.settled(kind))
    except json_types.DisagreementError:
        return json_types.json_field(column)


def _json_lines(file: BinaryIO, name: str) -> Iterator[tuple[dict[str, Any], int]]:
    """Yield each line's object, and the line's bytes."""
    for number, line in enumerate(file, 1):
        line = line.removeprefix(codecs.BOM_UTF8) if number == 1 else line
        if line.strip():
            yield _json_object(line.rstrip(b"\r\n"), f"{name}, line {number}"), len(line)


def _json_object(line: bytes, where: str) -> dict[str, Any]:
    try:
        value = json.loads(line.decode("utf-8"))
        if not isinstance(value, dict):
            raise UsageError(f'{where} is no JSON object: each line needs the form {{"image": "a.jpg", ...}}')
        return _encodable(value) if b"\\u" in line else value
    except UnicodeDecodeError as error:
        raise UsageError(f"{where}: the text is not UTF-8") from error
    except json.JSONDecodeError as error:
        raise UsageError(f"{where} is not JSON: {error.msg} at column {error.colno}") from error
    except RecursionError as error:
        raise _too_deep(where) from error
    except ValueError as error:  # an integer of more than 4,300 digits, which Python does not read
        raise UsageError(f"{where}: a number has too many digits; write it as a string") from error


def _too_deep(where: str) -> UsageError:
    return UsageError(f"{where}: lists or objects lie too deep in one another; write them as a string")


def _encodable(value: dict[str, Any]) -> dict[str, Any]:
    """Replace half surrogate pairs (`"\\ud83d"`), which JSON can spell and UTF-8 cannot."""
    text = json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")
    return cast(dict[str, Any], json.loads(text))


def _json_batches(path: bytes, name: str, schema: pa.Schema, rows: int) -> Iterator[pa.RecordBatch]:
    with opened(path) as file:
        for chunk in chunks(_json_lines(file, name), rows):
            try:
                columns = [json_types.column([values.get(field.name) for values in chunk], field) for field in schema]
            except RecursionError as error:  # they were read, but leave no room to write them
                raise _too_deep(name) from error
            yield pa.record_batch(columns, schema=schema)


def open_parquet(path: bytes, name: str) -> Sheet:
    """Read Parquet columns as they are; dictionaries become their values.

    Raises UsageError for a file that is no Parquet.
    """
    with opened(path) as file, _parquet_errors(name):
        stored = pq.ParquetFile(file).schema_arrow
    _refuse_repeated(stored.names, name)
    schema = pa.schema([pa.field(field.name, _without_dictionary(field.type)) for field in stored])
    return Sheet(schema, partial(_parquet_batches, path, name, schema))


@contextmanager
def _parquet_errors(name: str) -> Iterator[None]:
    try:
        yield
    except pa.ArrowException as error:
        raise UsageError(f"{name} cannot be read as Parquet: {str(error).splitlines()[0]}") from error


def _without_dictionary(kind: pa.DataType) -> pa.DataType:
    kind = kind.storage_type if isinstance(kind, pa.BaseExtensionType) else kind
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _parquet_batches(path: bytes, name: str, schema: pa.Schema, rows: int) -> Iterator[pa.RecordBatch]:
    with opened(path) as file, _parquet_errors(name):
        # without pre_buffer a row group is decoded as it is read, not held whole
        table = pq.ParquetFile(file, pre_buffer=False, buffer_size=1 << 20)
        for batch in table.iter_batches(min(rows, _fitting(table))):
            columns = [_stored(column).cast(field.type) for column, field in zip(batch.columns, schema, strict=True)]
            yield pa.record_batch(columns, schema=schema)


def _fitting(table: pq.ParquetFile) -> int:
    """How many rows hold about BATCH_BYTES: as they are stored, and, where a dictionary makes that small, as read."""
    first = next(table.iter_batches(16), None)
    read = first.nbytes // max(1, len(first)) if first is not None else 0
    groups = (table.metadata.row_group(number) for number in range(table.num_row_groups))
    stored = max((group.total_byte_size // max(1, group.num_rows) for group in groups), default=0)
    return int(max(1, BATCH_BYTES // max(1, read, stored)))


def _stored(column: pa.Array) -> pa.Array:
    return column.storage if isinstance(column, pa.ExtensionArray) else column
