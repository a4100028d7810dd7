"""Outcomes to tables: one row each, explicit schema, equal for an all-failed part and a full one.

Knows nothing of files. The task's columns come from the task; all others are the same for every task.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np
import pyarrow as pa

from visioncli.errors import UsageError
from visioncli.provenance import ModelInfo
from visioncli.samples import Answer, Facts, Failure
from visioncli.tables import look_up
from visioncli.tasks import TASKS, Task

FACT_COLUMNS = pa.schema(
    [
        ("status", pa.string()),
        ("error_code", pa.string()),
        ("error", pa.string()),
        ("sha256", pa.string()),
        ("bytes", pa.int64()),
        ("version", pa.string()),
        ("height", pa.int32()),
        ("width", pa.int32()),
    ]
)
STALE = pa.field("stale", pa.bool_())
OVERLAY = pa.field("overlay_path", pa.string())
_ANY_MODEL = ModelInfo("", "", "", "", 1, "", "", 1, token_shape=(1, 1))


def reserved_names(task: Task[Any, Any], options: Any) -> frozenset[str]:
    """Return the names that a pass-through column may not have."""
    own = task.columns(options, _ANY_MODEL).names
    return frozenset(["id", "source", "image_index", STALE.name, OVERLAY.name, *FACT_COLUMNS.names, *own])


def answer_schema(task: Task[Any, Any], options: Any, info: ModelInfo, stale: bool, drawn: bool = False) -> pa.Schema:
    """Return the columns that say what became of a row: `status` … `width`, `stale` if asked, the task's own, and
    `overlay_path` where pictures are drawn.
    """
    own = [*([STALE] if stale else []), *task.columns(options, info), *([OVERLAY] if drawn else [])]
    return pa.schema([*FACT_COLUMNS, *own])


def answer_table(
    outcomes: Sequence[Answer[Any] | Failure], task: Task[Any, Any], options: Any, schema: pa.Schema
) -> pa.Table:
    """Return one row per outcome, in order, with the columns of `schema` (made by `answer_schema`)."""
    rows = [_row(outcome, task, options) for outcome in outcomes]
    return pa.table([column([row.get(field.name) for row in rows], field.type) for field in schema], schema=schema)


def column(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """Return an Arrow array of `values`; vectors and tensors come as arrays of their size, or None."""
    if isinstance(kind, pa.FixedShapeTensorType):
        vectors = [None if value is None else value.reshape(-1) for value in values]
        return pa.ExtensionArray.from_storage(kind, column(vectors, kind.storage_type))
    if not pa.types.is_fixed_size_list(kind):
        return pa.array(values, kind)
    width, dtype = kind.list_size, kind.value_type.to_pandas_dtype()
    missing = np.array([value is None for value in values], dtype=bool)
    matrix = np.zeros((len(values), width), dtype=dtype)
    for index, value in enumerate(values):
        if value is not None:
            matrix[index] = value
    flat = pa.array(matrix.reshape(-1), kind.value_type)
    return pa.FixedSizeListArray.from_arrays(flat, type=kind, mask=pa.array(missing))


def _row(outcome: Answer[Any] | Failure, task: Task[Any, Any], options: Any) -> dict[str, Any]:
    row = _facts(outcome.facts or Facts(version=outcome.ref.version))
    if isinstance(outcome, Failure):
        return row | {"status": "error", "error_code": outcome.error.code, "error": str(outcome.error), "stale": False}
    drawn = getattr(outcome.result, OVERLAY.name, None)  # results that can be drawn have it
    return row | {"status": "ok", "stale": False, OVERLAY.name: drawn} | task.to_row(outcome.result, options)


def _facts(facts: Facts) -> dict[str, Any]:
    height, width = facts.size or (None, None)
    return {
        "sha256": facts.sha256,
        "bytes": facts.bytes,
        "version": facts.version,
        "height": height,
        "width": width,
    }


def record_batches(
    outcomes: Iterable[Answer[Any] | Failure], task: str, options: Any, info: ModelInfo, rows: int = 1024
) -> Iterator[pa.RecordBatch]:
    """Return what `visioncli.answer` yields as Arrow: `id`, `source`, then the columns of the contract, in order.

    No file is written: a depth row's `depth_path` is null. Raises UsageError, before anything is asked, for options
    whose answers are files.
    """
    record: Task[Any, Any] = look_up(TASKS, task, "task")
    if (files := record.in_files(options)) is not None:
        raise UsageError(f"{task}: {files} asks for files, which visioncli.run writes beside its table; rows hold none")
    return _record_batches(iter(outcomes), record, options, answer_schema(record, options, info, stale=False), rows)


def _record_batches(
    outcomes: Iterator[Answer[Any] | Failure], task: Task[Any, Any], options: Any, answers: pa.Schema, rows: int
) -> Iterator[pa.RecordBatch]:
    schema = pa.schema([("id", pa.string()), ("source", pa.string()), *answers])
    while chunk := list(islice(outcomes, rows)):
        names = [[outcome.ref.id for outcome in chunk], [outcome.ref.source for outcome in chunk]]
        columns = [pa.array(values, pa.string()) for values in names]
        table = answer_table(chunk, task, options, answers)
        yield from pa.Table.from_arrays([*columns, *table.columns], schema=schema).combine_chunks().to_batches()
