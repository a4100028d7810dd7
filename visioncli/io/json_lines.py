"""Arrow tables as JSON lines, and back: every type comes back as it was, but not-a-number is null.

Numbers are written in the fewest digits of their type, times as ISO 8601, durations as a count of their unit, decimals
as strings, bytes as base64, maps as lists of pairs, tensors as lists of lists. Knows nothing of files or of what the
columns mean.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator
from decimal import Decimal
from itertools import accumulate, chain
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

ROWS = 1024  # made into text at once
ROWS_BYTES = (
    16 * 2**20
)  # or as many rows as hold so much: their text is several times larger, and must stay below 2 GiB
TEXT_BYTES = 64 * 2**20  # of lines that are made into a table at once: as Python numbers they are several times larger


def json_lines(table: pa.Table) -> Iterator[str]:
    """Yield each row as one line of JSON, keys in column order."""
    fitting = ROWS_BYTES * len(table) // max(1, table.nbytes)
    for batch in table.to_batches(max_chunksize=max(1, min(ROWS, fitting))):
        yield from _object_texts(batch.schema.names, batch.columns, len(batch)).to_pylist()


def tables_of(lines: Iterable[str | bytes], schema: pa.Schema, rows: int = 4096) -> Iterator[pa.Table]:
    """Yield the rows of `lines` as tables of `schema`; at least one.

    Raises ValueError for a line that is no JSON object, and, with TypeError, for a value of another type.
    """
    waiting: list[dict[str, Any]] = []
    size = 0
    for line in lines:
        row = json.loads(line, parse_int=_integer)
        if not isinstance(row, dict):
            raise ValueError("a line is no JSON object")
        waiting.append(row)
        size += len(line)
        if len(waiting) == rows or size > TEXT_BYTES:
            yield _table(waiting, schema)
            waiting, size = [], 0
    yield _table(waiting, schema)


def _integer(text: str) -> int | float:
    return -0.0 if text == "-0" else int(text)  # how Arrow writes the float


def _table(rows: list[dict[str, Any]], schema: pa.Schema) -> pa.Table:
    columns = [array_of([row.get(field.name) for row in rows], field.type) for field in schema]
    return pa.Table.from_arrays(columns, schema=schema)


# To text: arrays of strings without nulls, the word `null` in their place


def _texts(array: pa.Array) -> pa.StringArray:
    kind, types = array.type, pa.types
    if isinstance(kind, pa.FixedShapeTensorType):
        return _texts(_nested(array))
    if isinstance(array, pa.ExtensionArray):
        return _texts(array.storage)
    if types.is_dictionary(kind):
        return _texts(array.dictionary_decode())
    if types.is_map(kind):
        pairs = _joined("[", _texts(array.keys), ", ", _texts(array.items), "]")
        return _list_texts(array, array.offsets, pairs)
    if types.is_list(kind) or types.is_large_list(kind):
        start = array.offsets[0].as_py()
        values = array.values.slice(start, array.offsets[-1].as_py() - start)
        return _list_texts(array, pc.subtract(array.offsets, start), _texts(values))
    if types.is_fixed_size_list(kind):
        size = kind.list_size
        offsets = pa.array(np.arange(len(array) + 1, dtype=np.int32) * size)
        return _list_texts(array, offsets, _texts(array.values.slice(array.offset * size, len(array) * size)))
    if types.is_struct(kind):
        children = [array.field(number) for number in range(kind.num_fields)]
        return _or_null(_object_texts([field.name for field in kind], children, len(array)), array)
    return _plain_texts(array)


def _nested(array: pa.Array) -> pa.FixedSizeListArray:
    """A tensor array as lists of lists, in the order that its numbers lie in memory."""
    size = array.storage.type.list_size
    values = array.storage.values.slice(array.offset * size, len(array) * size)
    for length in array.type.shape[:0:-1]:
        values = pa.FixedSizeListArray.from_arrays(values, length)
    return pa.FixedSizeListArray.from_arrays(values, array.type.shape[0], mask=pc.is_null(array))


def _plain_texts(array: pa.Array) -> pa.StringArray:
    """The texts of values that hold no others."""
    kind, types = array.type, pa.types
    if types.is_floating(kind):
        return _or_null(array.cast(pa.string()), pc.if_else(pc.is_finite(array), array, pa.scalar(None, kind)))
    if types.is_boolean(kind) or types.is_integer(kind):
        return _or_null(array.cast(pa.string()), array)
    if types.is_duration(kind):
        return _plain_texts(array.cast(pa.int64()))
    if types.is_timestamp(kind):
        utc = array.cast(pa.int64()).cast(pa.timestamp(kind.unit))
        iso = pc.replace_substring(utc.cast(pa.string()), " ", "T", max_replacements=1)
        return _or_null(_joined('"', iso, 'Z"' if kind.tz else '"'), array)
    if types.is_decimal(kind) or types.is_temporal(kind):
        return _or_null(_joined('"', array.cast(pa.string()), '"'), array)
    return pa.array([_python_text(value) for value in array.to_pylist()], pa.string())


def _python_text(value: Any) -> str:
    return json.dumps(base64.b64encode(value).decode() if isinstance(value, bytes) else value, ensure_ascii=False)


def _object_texts(names: list[str], columns: list[pa.Array], rows: int) -> pa.StringArray:
    parts: list[Any] = [pa.array(["{"] * rows, pa.string())]
    for number, (name, column) in enumerate(zip(names, columns, strict=True)):
        parts += [f"{', ' if number else ''}{json.dumps(name, ensure_ascii=False)}: ", _texts(column)]
    return _joined(*parts, "}")


def _list_texts(array: pa.Array, offsets: pa.Array, values: pa.StringArray) -> pa.StringArray:
    lists = pa.ListArray.from_arrays(offsets.cast(pa.int32()), values)
    return _or_null(_joined("[", pc.binary_join(lists, ", "), "]"), array)


def _joined(*parts: Any) -> pa.StringArray:
    return pc.binary_join_element_wise(*parts, "", null_handling="skip")


def _or_null(texts: pa.StringArray, array: pa.Array) -> pa.StringArray:
    return pc.if_else(pc.is_valid(array), texts, "null")


# And back


def array_of(values: list[Any], kind: pa.DataType) -> pa.Array:
    """Return what `json.loads` made of a column's values as an array of its type."""
    types = pa.types
    if isinstance(kind, pa.FixedShapeTensorType):
        return _tensors(values, kind)
    if isinstance(kind, pa.BaseExtensionType):
        return pa.ExtensionArray.from_storage(kind, array_of(values, kind.storage_type))
    if types.is_dictionary(kind):
        return pa.array(array_of(values, kind.value_type).to_pylist(), kind)
    if types.is_map(kind):
        pairs = _flat(values)
        keys, items = ([pair[side] for pair in pairs] for side in (0, 1))
        return pa.MapArray.from_arrays(_offsets(values), array_of(keys, kind.key_type), array_of(items, kind.item_type))
    if types.is_list(kind) or types.is_large_list(kind):
        offsets = _offsets(values).cast(pa.int64() if types.is_large_list(kind) else pa.int32())
        make = pa.LargeListArray if types.is_large_list(kind) else pa.ListArray
        return make.from_arrays(offsets, array_of(_flat(values), kind.value_type)).cast(kind)
    if types.is_fixed_size_list(kind):
        whole = [[None] * kind.list_size if value is None else value for value in values]
        return pa.FixedSizeListArray.from_arrays(array_of(_flat(whole), kind.value_type), type=kind, mask=_mask(values))
    if types.is_struct(kind):
        children = [array_of([value and value.get(field.name) for value in values], field.type) for field in kind]
        return pa.StructArray.from_arrays(children, fields=list(kind), mask=_mask(values))
    return _plain_array(values, kind)


def _tensors(values: list[Any], kind: pa.FixedShapeTensorType) -> pa.ExtensionArray:
    nested = kind.value_type
    for length in reversed(kind.shape):
        nested = pa.list_(nested, length)
    numbers = array_of(values, nested)
    for _ in kind.shape:
        numbers = numbers.values
    storage = pa.FixedSizeListArray.from_arrays(numbers, type=kind.storage_type, mask=_mask(values))
    return pa.ExtensionArray.from_storage(kind, storage)


def _plain_array(values: list[Any], kind: pa.DataType) -> pa.Array:
    types = pa.types
    if types.is_floating(kind):
        numbers = np.array(values, dtype=kind.to_pandas_dtype())  # null becomes NaN here, and null again there
        return pa.array(numbers, kind, from_pandas=True)
    if types.is_decimal(kind):
        return pa.array([None if value is None else Decimal(value) for value in values], kind)
    if types.is_duration(kind):
        return pa.array(values, pa.int64()).cast(kind)
    if types.is_time(kind):  # Arrow reads no time of day by itself
        moments = [None if value is None else f"1970-01-01T{value}" for value in values]
        return pa.array(moments, pa.string()).cast(pa.timestamp(kind.unit)).cast(kind)
    if types.is_temporal(kind):
        return pa.array(values, pa.string()).cast(kind)
    if "binary" in str(kind):  # of any length, of a fixed one, large, or a view
        return pa.array([None if value is None else base64.b64decode(value) for value in values], kind)
    return pa.array(values, kind)


def _flat(values: list[Any]) -> list[Any]:
    return list(chain.from_iterable(value for value in values if value is not None))


def _offsets(values: list[Any]) -> pa.Array:
    """Return where each list begins; null for a list that is null."""
    ends = list(accumulate((len(value or ()) for value in values), initial=0))
    starts = [None if value is None else start for value, start in zip(values, ends[:-1], strict=True)]
    return pa.array([*starts, ends[-1]], pa.int32())


def _mask(values: list[Any]) -> pa.Array:
    return pa.array([value is None for value in values], pa.bool_())
