"""The rows of a job, written once as its snapshot: from INPUTs, from literal texts, or from an earlier output."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from visioncli.errors import UsageError
from visioncli.io.fetch import is_remote
from visioncli.io.listing import Listing, survey
from visioncli.io.listing import Progress as Counted
from visioncli.io.rows import Remarks
from visioncli.io.standard import StandardInput
from visioncli.io.tars import tar_members
from visioncli.jobs.job import Job, Stop
from visioncli.jobs.previous import Previous
from visioncli.jobs.rows import reserved_names
from visioncli.jobs.snapshot import PLAN, ROWS, write_snapshot
from visioncli.tasks import Task
from visioncli.wording import counted

log = logging.getLogger("visioncli")


@dataclass(frozen=True)
class Listed:
    """What is known of a snapshot besides its rows; kept in its metadata."""

    has_images: bool
    repeated_ids: int = 0  # ids given by the user that came before

    @classmethod
    def of(cls, snapshot: Path) -> Listed:
        metadata = pq.read_metadata(snapshot).metadata or {}
        return cls(metadata[b"has_images"] == b"1", int(metadata[b"repeated_ids"]))

    def metadata(self) -> dict[str, str]:
        return {"has_images": str(int(self.has_images)), "repeated_ids": str(self.repeated_ids)}


def survey_job(job: Job, task: Task[Any, Any], stop: Stop) -> Listing | Texts:
    """Return the job's rows as a stream of record batches, and announce what was guessed.

    Raises UsageError for an INPUT that matches nothing or a column that is not there, and `stop.reason`.
    """
    if job.texts:
        if job.inputs:
            raise UsageError("--text takes the place of INPUT; give one or the other")
        return Texts(job.texts)
    if not job.inputs:
        raise UsageError("give at least one INPUT: a file, a folder, a glob, a URL, a manifest or -")
    options = replace(job.listing, reserved=reserved_names(task, job.options))
    listing = survey([os.fsencode(name) for name in job.inputs], options, StandardInput.of(stop.check))
    for note in listing.notes:
        log.info(note)
    for name in set(task.reads(job.options)) & set(listing.renamed):
        raise UsageError(f"the column {name!r}, which is read, has the name of one of ours; rename it")
    return listing


def list_inputs(job: Job, task: Task[Any, Any], snapshot: Path, stop: Stop) -> Listed:
    """Write the snapshot of the job's INPUTs. Raises UsageError, `stop.reason`."""
    listing = survey_job(job, task, stop)

    def listed() -> Listed:
        return Listed(listing.has_images, listing.progress.explicit_repeats)

    with closing(listing.batches(ROWS, job.limit)) as batches:
        write_snapshot(snapshot, listing.schema, _stoppable(batches, stop), lambda: listed().metadata())
    announce_remarks(listing)
    try:
        refuse_repeats(job, listing)
    except UsageError:
        snapshot.unlink()
        raise
    return listed()


def announce_remarks(listing: Listing | Texts) -> None:
    """Say what the listing left out, which was read to its end or closed."""
    for note in listing.remarks.notes:
        log.info(note)
    for warning in listing.remarks.warnings:
        log.warning(warning)


def refuse_repeats(job: Job, listing: Listing | Texts) -> None:
    """Raise UsageError where ids that were given repeat, in the rows that were read, and must not."""
    repeats = listing.progress.explicit_repeats
    if job.policy.unique_ids and repeats:
        raise UsageError(f"--unique-ids: {counted(repeats, 'id')} came before")


class Texts:
    """Literal texts as a listing: each is a row whose id and `text` it is."""

    notes: tuple[str, ...] = ()
    has_images = False
    progress = Counted()
    remarks = Remarks()
    schema = pa.schema(
        [
            ("id", pa.string()),
            ("uri", pa.binary()),
            ("source", pa.string()),
            ("missing", pa.string()),
            ("text", pa.string()),
        ]
    )

    def __init__(self, texts: tuple[str, ...]) -> None:
        self._texts = texts

    def batches(self, rows: int = ROWS, limit: int | None = None) -> Generator[pa.RecordBatch]:
        taken = self._texts[:limit]
        for start in range(0, len(taken), rows):
            texts = pa.array(taken[start : start + rows], pa.string())
            nothing = pa.nulls(len(texts), pa.string())
            yield pa.record_batch([texts, nothing.cast(pa.binary()), nothing, nothing, texts], schema=self.schema)


def list_previous(previous: Previous, snapshot: Path, task: Task[Any, Any], options: Any, has_versions: bool) -> Listed:
    """Write an earlier output's rows as the snapshot: answered rows stand, failed ones are asked again.

    `has_versions`: its column `version` was given, and not found when the pictures were read.
    """
    own = reserved_names(task, options) - {"id", "source", "image_index"}
    fields = [field for field in previous.schema if field.name not in own]
    schema = pa.schema(
        [
            *fields,
            ("uri", pa.binary()),
            ("missing", pa.string()),
            *([("version", pa.string())] if has_versions else []),
            *PLAN,
        ]
    )
    names = [field.name for field in fields]
    tables = previous.tables([*names, "status", "error_code", "version"])
    batches = _rows_again(tables, schema, names, has_versions)
    has_images = any(pc.any(pc.is_valid(table["source"])).as_py() for table in previous.tables(["source"]))
    listed = Listed(bool(has_images))
    write_snapshot(snapshot, schema, batches, listed.metadata)
    return listed


def _rows_again(
    tables: Iterator[pa.Table], schema: pa.Schema, names: list[str], has_versions: bool
) -> Iterator[pa.RecordBatch]:
    first = 0
    for table in tables:
        ok = pc.equal(table["status"], "ok").combine_chunks()
        empty = pc.equal(table["error_code"], "input_missing").combine_chunks()
        missing = pc.if_else(pc.fill_null(empty, False), "input_missing", pa.scalar(None, pa.string()))
        sources = zip(table["source"].to_pylist(), ok.to_pylist(), strict=True)
        uris = [None if source is None else b"" if done else uri_of(source) for source, done in sources]
        was = pa.array(range(first, first + len(table)), pa.int64())
        extra = [table["version"]] if has_versions else []
        columns = [*(table[name] for name in names), pa.array(uris, pa.binary()), missing, *extra, was, ok]
        first += len(table)
        whole = pa.Table.from_arrays([*columns, pa.nulls(len(table), pa.string())], schema=schema)
        yield from whole.combine_chunks().to_batches(ROWS)


_IN_TAR = re.compile(rb"(.+\.tar)!(.+)", re.IGNORECASE | re.DOTALL)
_ESCAPED = re.compile(rb"\\x([0-9a-f]{2})")


def uri_of(source: str) -> bytes:
    """Return what a `source` column's cell names: the inverse of `samples.display`, as far as the disk can tell."""
    plain = source.encode()
    if is_remote(plain) or os.path.lexists(plain):
        return plain
    unescaped = _ESCAPED.sub(lambda match: bytes([int(match[1], 16)]), plain)
    if os.path.lexists(unescaped):
        return unescaped
    in_tar = _IN_TAR.fullmatch(unescaped)
    return tar_members(in_tar[1]).get(in_tar[2], plain) if in_tar else plain


def _stoppable(batches: Iterator[pa.RecordBatch], stop: Stop) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        stop.check()
        yield batch
