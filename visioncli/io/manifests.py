"""Manifests to rows: which column holds the images, what the ids are, one row per image.

Knows nothing of file formats (`sheets`) and of other INPUTs (`listing`).
"""

from __future__ import annotations

import os
from collections.abc import Generator
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from visioncli.errors import UsageError
from visioncli.io import json_types
from visioncli.io.rows import Input, ListingOptions, Remarks, Rows, Source, absolute, resolve, stamp
from visioncli.io.sheets import Sheet, open_csv, open_jsonl, open_parquet
from visioncli.samples import display

IMAGE_COLUMNS = ("image", "image_url", "image_path", "url", "path", "file", "file_name", "filename", "img", "src")


def read_csv(given: Input, options: ListingOptions) -> Source:
    path = absolute(given.name)
    delimiter = "\t" if path.lower().removesuffix(b".gz").endswith(b".tsv") else ","
    return _source(open_csv(path, given.shown, delimiter), given, options)


def read_jsonl(given: Input, options: ListingOptions) -> Source:
    return _source(open_jsonl(absolute(given.name), given.shown), given, options)


def read_parquet(given: Input, options: ListingOptions) -> Source:
    return _source(open_parquet(absolute(given.name), given.shown), given, options)


@dataclass(frozen=True, slots=True)
class _Manifest:
    name: str  # as written
    folder: bytes  # where relative paths start
    image: str | None
    id: str | None
    version: str | None
    lists: bool
    extras: pa.Schema


def _source(sheet: Sheet, given: Input, options: ListingOptions) -> Source:
    if next(sheet.read(1), None) is None:
        raise UsageError(f"{given.shown} matches nothing: it has no rows")
    manifest = _columns(sheet.schema, given, options)
    guessed = manifest.image is not None and options.image_column is None
    notes = (f"{given.shown}: images are read from column {manifest.image!r}",) if guessed else ()
    return Source(
        read=partial(_read, sheet, manifest),
        extras=manifest.extras,
        notes=sheet.notes + notes,
        has_images=manifest.image is not None,
        lists=manifest.lists,
        manifest=stamp(absolute(given.name)),
    )


def _columns(schema: pa.Schema, given: Input, options: ListingOptions) -> _Manifest:
    named = {
        "--id-col": options.id_column,
        "--version-col": options.version_column,
        "--focal-col": options.focal_column,
    }
    for flag, wanted in named.items():
        if wanted is not None:
            _refuse_absent(schema, wanted, flag, given.shown)
            _refuse_nested(schema, wanted, flag, given.shown)
    if options.text_column is not None:
        _refuse_absent(schema, options.text_column, "--text-col", given.shown)
    image = _image_column(schema, given.shown, options)
    id_column = options.id_column or (
        "id" if "id" in schema.names and not _is_nested(schema.field("id").type) else None
    )
    used_up = {image, "id" if id_column == "id" else None, "version" if options.version_column == "version" else None}
    return _Manifest(
        name=given.shown,
        folder=os.path.dirname(absolute(given.name)),
        image=image,
        id=id_column,
        version=options.version_column,
        lists=image is not None and _is_list(schema.field(image).type),
        extras=pa.schema([field for field in schema if field.name not in used_up]),
    )


def _image_column(schema: pa.Schema, name: str, options: ListingOptions) -> str | None:
    """Return the column of paths and URLs, None for texts alone; raises UsageError where neither can be had."""
    if not options.images:
        return None
    if options.image_column is not None:
        _refuse_absent(schema, options.image_column, "--image-col", name)
        return _of_paths(schema, options.image_column, name)
    by_name = {field.name.lower(): field.name for field in reversed(list(schema))}
    usual = [by_name[candidate] for candidate in IMAGE_COLUMNS if candidate in by_name]
    fit = [column for column in usual if _holds_paths(schema.field(column))]
    if usual:
        return _of_paths(schema, (fit or usual)[0], name)
    if options.text_column is not None:
        return None
    raise UsageError(f"{name}: no column has a usual name for images; choose one with --image-col: {_listed(schema)}")


def _refuse_absent(schema: pa.Schema, column: str, flag: str, name: str) -> None:
    if column not in schema.names:
        raise UsageError(f"{name} has no column {column!r} ({flag}); it has {_listed(schema)}")


def _refuse_nested(schema: pa.Schema, column: str, flag: str, name: str) -> None:
    if _is_nested(schema.field(column).type):
        raise UsageError(f"{name}: column {column!r} ({flag}) holds {schema.field(column).type}, not single values")


def _listed(schema: pa.Schema) -> str:
    return ", ".join(schema.names) or "no columns"


def _is_nested(kind: pa.DataType) -> bool:
    return bool(pa.types.is_nested(kind))


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _holds_paths(field: pa.Field) -> bool:
    kind = field.type.value_type if _is_list(field.type) else field.type
    text = pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    return bool(text or pa.types.is_null(kind)) and not json_types.is_json(field)


def _of_paths(schema: pa.Schema, column: str, name: str) -> str:
    field = schema.field(column)
    if _holds_paths(field):
        return column
    kind = "values of several types" if json_types.is_json(field) else str(field.type)
    raise UsageError(f"{name}: column {column!r} holds {kind}, not paths or URLs; choose another with --image-col")


def _read(sheet: Sheet, manifest: _Manifest, rows: int, remarks: Remarks) -> Generator[Rows]:
    first = 1
    for batch in sheet.read(rows):
        yield _rows(batch, manifest, first)
        first += len(batch)


def _rows(batch: pa.RecordBatch, manifest: _Manifest, first: int) -> Rows:
    """Turn manifest rows, the first being row `first` (counted from 1), into one row per image."""
    numbers, cells, image_index = pa.array(range(first, first + len(batch))), None, None
    if manifest.lists:
        parents, image_index, cells = _spread(batch.column(manifest.image))
        batch, numbers = batch.take(parents), numbers.take(parents)
    elif manifest.image is not None:
        cells = batch.column(manifest.image).cast(pa.string())
    nothing = pa.nulls(len(batch), pa.string())
    texts = nothing if cells is None else _blank_to_null(cells)
    given = nothing if manifest.id is None else _scalars(batch, manifest.id)
    row_ids = pc.binary_join_element_wise(manifest.name, numbers.cast(pa.string()), ":")
    uri = _uris(texts, manifest.folder)
    return Rows(
        id=pc.coalesce(given, texts, row_ids),
        explicit=pc.is_valid(given),
        uri=uri,
        source=_shown(uri),
        missing=nothing if cells is None else pc.if_else(pc.is_null(texts), "input_missing", nothing),
        image_index=image_index,
        version=None if manifest.version is None else _scalars(batch, manifest.version),
        extras={column: batch.column(column) for column in manifest.extras.names},
    )


def _spread(lists: pa.Array) -> tuple[pa.Array, pa.Array, pa.Array]:
    """Return per image its row in `lists`, its index in the list and its cell; a row without images keeps one null."""
    lengths = pc.list_value_length(lists).fill_null(0).to_numpy().astype(np.int64)
    places = np.maximum(lengths, 1)
    parents = np.repeat(np.arange(len(lists)), places)
    index = np.arange(len(parents)) - np.repeat(np.cumsum(places) - places, places)
    empty = np.repeat(lengths == 0, places)
    at = pa.array(np.cumsum(~empty) - 1, mask=empty)
    cells = pc.list_flatten(lists).cast(pa.string()).take(at)
    return pa.array(parents), pa.array(index.astype(np.int32), mask=empty), cells


def _blank_to_null(cells: pa.Array) -> pa.Array:
    return pc.if_else(pc.equal(pc.utf8_trim_whitespace(cells), ""), pa.scalar(None, pa.string()), cells)


def _scalars(batch: pa.RecordBatch, column: str) -> pa.Array:
    """Return a column's values as strings; empty ones are null."""
    values = batch.column(column)
    if json_types.is_json(batch.schema.field(column)):
        values = pa.array(map(json_types.unquoted, values.to_pylist()), pa.string())
    if pa.types.is_binary(values.type) or pa.types.is_large_binary(values.type):
        return pa.array([None if value is None else display(value) for value in values.to_pylist()], pa.string())
    return _blank_to_null(values.cast(pa.string()))


def _uris(texts: pa.Array, folder: bytes) -> pa.Array:
    """Resolve cells from the manifest's folder: in one go, and one by one those that are more than a plain path."""
    cells = texts.cast(pa.binary())
    dirty = pc.match_substring_regex(texts, r"^[a-zA-Z][a-zA-Z0-9+.\-]*:|//|(^|/)\.\.?(/|$)")
    base = pa.scalar(os.path.join(folder, b""), pa.binary())
    joined = pc.binary_join_element_wise(base, cells, pa.scalar(b"", pa.binary()))
    plain = pc.if_else(pc.starts_with(texts, "/"), cells, joined)
    odd = [resolve(cell, folder) for cell in cells.filter(dirty).to_pylist()]
    return pc.replace_with_mask(plain, dirty.fill_null(False), pa.array(odd, pa.binary()))


def _shown(uris: pa.Array) -> pa.Array:
    try:
        return uris.cast(pa.string())
    except pa.ArrowInvalid:  # the manifest's folder is not UTF-8
        return pa.array([None if uri is None else display(uri) for uri in uris.to_pylist()], pa.string())
