"""All INPUTs together as a listing: one Arrow schema and a stream of record batches, in input order.

Knows nothing of pictures or models, and fetches nothing. No row is ever held as a Python object beyond its batch.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import BinaryIO, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from visioncli.errors import CODES, SourceError, UsageError
from visioncli.io import json_types
from visioncli.io.ids import IdLedger
from visioncli.io.rows import Input, ListingOptions, Remarks, Rows, Source
from visioncli.io.sources import SOURCES, TABLES, classified
from visioncli.io.standard import Arriving
from visioncli.samples import ImageRef
from visioncli.tables import look_up

__all__ = ["Listing", "ListingOptions", "columns_read", "refs", "survey"]


def survey(inputs: Sequence[str | bytes], options: ListingOptions, stdin: BinaryIO | Arriving | None = None) -> Listing:
    """Validate every INPUT and settle the columns, without listing anything whole but a JSONL's types.

    Raises UsageError: an INPUT that matches nothing, an unknown or unusable column, a flag that nothing here reads.
    Reading on, `Listing.batches` raises it too, for a CSV line or a tar that turns out to be damaged.
    """
    names = [_encoded(name) for name in inputs]
    if options.null_separated and b"-" not in names:
        raise UsageError("-0 says how names on standard input end; give - as an INPUT")
    if names.count(b"-") > 1:
        raise UsageError("standard input can be read only once; give - once")
    found = list(classified(names, cast("Arriving | None", stdin)))
    _refuse_columns_of_nothing([(kind, given) for kind, given in found if kind not in TABLES], len(found), options)
    return Listing([look_up(SOURCES, kind, "source")(given, options) for kind, given in found], options)


def _encoded(name: str | bytes) -> bytes:
    if not name:
        raise UsageError("an INPUT is empty; give a file, a folder, a glob, a URL, a manifest or -")
    return name if isinstance(name, bytes) else name.encode("utf-8", "surrogateescape")


def _refuse_columns_of_nothing(others: list[tuple[str, Input]], total: int, options: ListingOptions) -> None:
    """`others` are the INPUTs that are no table."""
    if others and (options.text_column is not None or not options.images):
        raise UsageError(
            f"{others[0][1].shown} has no text column; give a .csv, .tsv, .jsonl or .parquet with --text-col"
        )
    flags = {
        "--image-col": options.image_column,
        "--id-col": options.id_column,
        "--version-col": options.version_column,
        "--focal-col": options.focal_column,
    }
    idle = [flag for flag, column in flags.items() if column is not None]
    if idle and len(others) == total:
        raise UsageError(f"{idle[0]} names a column, but no INPUT is a .csv, .tsv, .jsonl or .parquet")


@dataclass(slots=True)
class Progress:
    """What one reading of a listing has counted so far."""

    rows: int = 0
    derived_repeats: int = 0  # ids that got `#2`, `#3`
    explicit_repeats: int = 0  # ids given by the user that came before; what --unique-ids refuses


class Listing:
    """`schema`: `id`, `uri`, `source`, `missing`, with `image_index` and `version` where asked for, then the extras.

    `notes` are sentences to announce; those on skipped files join when `batches` has come to its end. `renamed` maps a
    manifest's column to its name here where that differs. `progress` and `remarks` are of the last `batches`.
    """

    def __init__(self, sources: Sequence[Source], options: ListingOptions) -> None:
        self._sources = sources
        self.remarks = Remarks()
        lists = any(source.lists for source in sources)
        self._fixed = fixed = _fixed_fields(lists, options.version_column is not None)
        extras, merge_notes = _merged_extras(sources)
        self.renamed: Mapping[str, str] = _renamed(extras.names, options.reserved | {field.name for field in fixed})
        self._extras = extras
        self.schema = pa.schema(fixed + [field.with_name(self.renamed.get(field.name, field.name)) for field in extras])
        self.has_images = any(source.has_images for source in sources)
        self.manifests = tuple(source.manifest for source in sources if source.manifest is not None)
        self.progress = Progress()
        self._notes = (
            *(note for source in sources for note in source.notes),
            *merge_notes,
            *(
                f"column {name!r} clashes with one of ours and is kept as {kept!r}"
                for name, kept in self.renamed.items()
            ),
        )

    @property
    def notes(self) -> tuple[str, ...]:
        return (*self._notes, *self.remarks.notes)

    def batches(self, rows: int = 8192, limit: int | None = None) -> Generator[pa.RecordBatch]:
        """Yield all rows, or the first `limit`, at most `rows` at a time, with their final ids: derived ones that
        repeat get `#2`, `#3`.

        Starts over each time it is called; standard input can be read only once.
        """
        self.remarks, self.progress, ledger = Remarks(), Progress(), IdLedger()
        for source in self._sources:
            with closing(source.read(rows, self.remarks)) as stretches:  # what it left out is known then
                for stretch in stretches:
                    taken = stretch if limit is None else stretch.first(limit - self.progress.rows)
                    yield from _sliced(self._completed(source, taken, ledger), rows)
                    if self.progress.rows == limit:
                        return

    def _completed(self, source: Source, rows: Rows, ledger: IdLedger) -> pa.RecordBatch:
        ids = self._told_apart(rows, ledger)
        self.progress.rows += len(ids)
        ours = {
            "id": ids,
            "uri": rows.uri,
            "source": rows.source,
            "missing": rows.missing,
            "image_index": rows.image_index,
            "version": rows.version,
        }
        columns = [_or_nulls(ours[field.name], field, len(ids)) for field in self._fixed]
        for field in self._extras:
            column = _or_nulls(rows.extras.get(field.name), field, len(ids))
            agreed = field.name not in rows.extras or _agree(field, source.extras.field(field.name))
            columns.append(column if agreed else json_types.json_texts(column.to_pylist()))
        return pa.record_batch(columns, schema=self.schema)

    def _told_apart(self, rows: Rows, ledger: IdLedger) -> pa.Array:
        """Return the ids, derived repeats marked; the images of one list share a given id and are no repeats."""
        explicit = rows.explicit.to_numpy(zero_copy_only=False)
        index = 0 if rows.image_index is None else rows.image_index.fill_null(0).to_numpy()
        counted = ~explicit | (index == 0)
        ranks = np.ones(len(rows.id), np.int32)
        ranks[counted] = ledger.add(rows.id.filter(pa.array(counted)))
        repeated = ranks > 1
        derived = repeated & ~explicit
        self.progress.explicit_repeats += int((repeated & explicit).sum())
        self.progress.derived_repeats += int(derived.sum())
        if not derived.any():
            return rows.id
        marked = pc.binary_join_element_wise(rows.id, pa.array(ranks).cast(pa.string()), "#")
        return pc.if_else(pa.array(derived), marked, rows.id)


def _fixed_fields(lists: bool, versions: bool) -> list[pa.Field]:
    fields = [
        pa.field("id", pa.string()),
        pa.field("uri", pa.binary()),
        pa.field("source", pa.string()),
        pa.field("missing", pa.string()),
    ]
    fields += [pa.field("image_index", pa.int32())] if lists else []
    return fields + ([pa.field("version", pa.string())] if versions else [])


def _merged_extras(sources: Sequence[Source]) -> tuple[pa.Schema, list[str]]:
    """Return the columns of all manifests, in order of appearance, and a note on each whose types differ."""
    fields: dict[str, pa.Field] = {}
    notes: dict[str, str] = {}
    for field in (field for source in sources for field in source.extras):
        held = fields.setdefault(field.name, field)
        if not _agree(held, field):
            notes[field.name] = (
                f"column {field.name!r} has different types in different manifests: kept as JSON strings"
            )
            fields[field.name] = json_types.json_field(field.name)
    return pa.schema(list(fields.values())), list(notes.values())


def _renamed(names: Sequence[str], reserved: frozenset[str] | set[str]) -> dict[str, str]:
    """Return new names for those that are reserved: `<name>_in`, with more `_in` while that is taken too."""
    renamed: dict[str, str] = {}
    for name in names:
        kept = name
        while kept in reserved or (kept != name and (kept in names or kept in renamed.values())):
            kept += "_in"
        if kept != name:
            renamed[name] = kept
    return renamed


def _or_nulls(column: pa.Array | None, field: pa.Field, length: int) -> pa.Array:
    return pa.nulls(length, field.type) if column is None else column


def _agree(one: pa.Field, other: pa.Field) -> bool:
    return bool(one.type == other.type) and json_types.is_json(one) == json_types.is_json(other)


def _sliced(batch: pa.RecordBatch, rows: int) -> Iterator[pa.RecordBatch]:
    yield from (batch.slice(start, rows) for start in range(0, len(batch), rows))


def refs(
    batch: pa.RecordBatch | pa.Table, first_position: int, columns_needed: Sequence[str] = ()
) -> Iterator[ImageRef]:
    """Yield a listing's rows as ImageRefs; `extra` holds `columns_needed`, by their names in the listing.

    A column `_seen` (version of an earlier answer, for a conditional request) is read where a snapshot has one.
    """
    count = len(batch)
    ids, uris, missing = (batch.column(name).to_pylist() for name in ("id", "uri", "missing"))
    versions, seen = (_optional(batch, name) for name in ("version", "_seen"))
    needed = [batch.column(name).to_pylist() for name in columns_needed]
    extras = [dict(zip(columns_needed, values, strict=True)) for values in zip(*needed, strict=True)] or [{}] * count
    rows = zip(ids, uris, extras, versions, seen, missing, strict=True)
    for position, (id_, uri, extra, version, before, code) in enumerate(rows, first_position):
        error = None if code is None else SourceError(code, CODES[code])
        yield ImageRef(position, id_, uri, extra, version, before, error)


def columns_read(schema: pa.Schema, columns_needed: Sequence[str]) -> list[str]:
    """Return the columns that `refs` reads of a listing with this schema."""
    own = {"id", "uri", "missing", "version", "_seen", *columns_needed}
    return [name for name in schema.names if name in own]


def _optional(batch: pa.RecordBatch | pa.Table, name: str) -> list[str | None]:
    return batch.column(name).to_pylist() if name in batch.schema.names else [None] * len(batch)
