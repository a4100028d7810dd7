"""Arrow types for JSON values, and JSON strings where the values do not agree. Knows nothing of files."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import reduce
from typing import Any

import pyarrow as pa

from visioncli.samples import display

DEEPEST = 32  # lists and objects in one another; Parquet opens no more than 48 lists
SMALL = pa.int32()  # integers that a float64 holds exactly; becomes int64 when settled
PLAIN_TYPES = {bool: pa.bool_(), float: pa.float64(), str: pa.string()}
PLAIN_LISTS = {plain: pa.list_(kind) for plain, kind in PLAIN_TYPES.items()}
_JSON_MARK = {b"visioncli": b"json"}


class DisagreementError(ValueError):
    """Two values of one column have no common type; caught in this package, never shown."""


def json_field(name: str) -> pa.Field:
    """A string column of JSON texts."""
    return pa.field(name, pa.string(), metadata=_JSON_MARK)


def is_json(field: pa.Field) -> bool:
    return bool(field.metadata == _JSON_MARK)


def type_of(value: Any, deep: int = DEEPEST) -> pa.DataType:
    """Return the unsettled type of one JSON value.

    Raises DisagreementError for a list or object of mixed values, or one that lies too deep in others.
    """
    if deep == 0:
        raise DisagreementError
    match value:
        case None:
            return pa.null()
        case bool():
            return pa.bool_()
        case int():
            return _integer(value)
        case float():
            return pa.float64()
        case str():
            return pa.string()
        case list():
            of_one_type = len(found := set(map(type, value))) == 1 and PLAIN_LISTS.get(found.pop())  # for speed
            return of_one_type or pa.list_(common(type_of(inner, deep - 1) for inner in value))
    return pa.struct([(name, type_of(inner, deep - 1)) for name, inner in value.items()])


def _integer(value: int) -> pa.DataType:
    if -(2**53) <= value <= 2**53:
        return SMALL
    if -(2**63) <= value < 2**63:
        return pa.int64()
    raise DisagreementError


def common(types: Iterable[pa.DataType]) -> pa.DataType:
    return reduce(merged, types, pa.null())


def merged(one: pa.DataType, other: pa.DataType) -> pa.DataType:
    """Return the type that holds both without loss; raises DisagreementError where there is none."""
    if one == other or pa.types.is_null(other):
        return one
    if pa.types.is_null(one):
        return other
    if {one, other} == {SMALL, pa.int64()}:
        return pa.int64()
    if {one, other} == {SMALL, pa.float64()}:
        return pa.float64()
    if pa.types.is_list(one) and pa.types.is_list(other):
        return pa.list_(merged(one.value_type, other.value_type))
    if pa.types.is_struct(one) and pa.types.is_struct(other):
        return _merged_struct(one, other)
    raise DisagreementError


def _merged_struct(one: pa.StructType, other: pa.StructType) -> pa.DataType:
    fields = {field.name: field.type for field in one}
    for field in other:
        fields[field.name] = merged(fields.get(field.name, pa.null()), field.type)
    return pa.struct(list(fields.items()))


def settled(kind: pa.DataType) -> pa.DataType:
    """Return `kind` as a file can hold it: nothing but nulls becomes string; raises DisagreementError for `{}`."""
    if pa.types.is_null(kind):
        return pa.string()
    if kind == SMALL:
        return pa.int64()
    if pa.types.is_list(kind):
        return pa.list_(settled(kind.value_type))
    if pa.types.is_struct(kind):
        if not kind.num_fields:  # Parquet has no empty struct
            raise DisagreementError
        return pa.struct([(field.name, settled(field.type)) for field in kind])
    return kind


def column(values: list[Any], field: pa.Field) -> pa.Array:
    """Return JSON values as an array of the field's settled type."""
    return json_texts(values) if is_json(field) else pa.array(values, field.type)


def json_texts(values: Iterable[Any]) -> pa.Array:
    return pa.array([None if value is None else _text(value) for value in values], pa.string())


def unquoted(text: str | None) -> str | None:
    """Return a JSON string's characters; any other JSON text as it is."""
    return json.loads(text) if text is not None and text.startswith('"') else text


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=_plain)


def _plain(value: Any) -> Any:
    """What JSON does not know: bytes, dates, decimals."""
    if isinstance(value, bytes):
        return display(value)
    if isinstance(value, Mapping):
        return dict(value)
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
