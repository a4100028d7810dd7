"""Which earlier answers stand, and what becomes of them in a new part. Knows nothing of how pictures are read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from visioncli.errors import is_passing
from visioncli.io import fetch
from visioncli.jobs.hashes import identities, mask, text_hash, text_hashes, version_hashes, with_ranks
from visioncli.jobs.previous import Previous, of_rows
from visioncli.jobs.rows import OVERLAY, STALE, answer_table
from visioncli.jobs.snapshot import PLAN, Snapshot
from visioncli.samples import Answer, Failure, ImageRef, Kept
from visioncli.tasks import Task

Outcome = Answer[Any] | Failure | Kept


class Planner:
    """Adds the columns of PLAN to a snapshot's batches, in order: which rows of `previous` they were."""

    def __init__(self, previous: Previous, identity: NDArray[np.uint64], text_column: str | None) -> None:
        self._previous, self._text_column = previous, text_column
        self._was = previous.match(with_ranks(identity))
        self._reached = 0

    def __call__(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        previous, was = self._previous, self._was[self._reached : self._reached + len(batch)]
        self._reached += len(batch)
        same_text = text_hashes(batch, self._text_column) == of_rows(previous.text, was, 0)
        settled = (was >= 0) & same_text & of_rows(previous.settled, was, False)
        given = batch["version"] if "version" in batch.schema.names else pa.nulls(len(batch), pa.string())
        told = mask(pc.is_valid(given))  # a given version stands for the file's own
        same_version = version_hashes(given) == of_rows(previous.version, was, 0)
        kept = settled & np.where(told, same_version, self._unchanged(batch, was, settled & ~told))
        seen = self._versions(batch, np.where(settled & ~told, was, -1))
        columns = [pa.array(was, pa.int64()), pa.array(kept, pa.bool_()), seen]
        return pa.record_batch([*batch.columns, *columns], schema=pa.schema([*batch.schema, *PLAN]))

    def _unchanged(self, batch: pa.RecordBatch, was: NDArray[np.int64], wanted: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Tell which of the wanted files have the size and time of their earlier answer."""
        pairs = zip(_local(batch), wanted, strict=True)
        stats = [fetch.stat(uri) if asked and uri is not None else None for uri, asked in pairs]
        size = np.array([-2 if found is None else found[0] for found in stats], np.int64)
        version = version_hashes(pa.array([None if found is None else found[1] for found in stats], pa.string()))
        same_size = size == of_rows(self._previous.bytes, was, -1)
        same: NDArray[np.bool_] = same_size & (version == of_rows(self._previous.version, was, 0))
        return same

    def _versions(self, batch: pa.RecordBatch, was: NDArray[np.int64]) -> pa.Array:
        """Return the version that a remote row had, for a conditional request; null for all others."""
        remote = np.array([uri is not None and fetch.is_remote(uri) for uri in batch["uri"].to_pylist()], dtype=bool)
        rows = np.flatnonzero(remote & (was >= 0))
        versions = self._previous.take(was[rows], ["version"])["version"].to_pylist()
        seen: list[str | None] = [None] * len(batch)
        for index, version in zip(rows, versions, strict=True):
            seen[index] = version
        return pa.array(seen, pa.string())


def _local(batch: pa.RecordBatch) -> list[bytes | None]:
    return [None if uri is None or fetch.is_remote(uri) else uri for uri in batch["uri"].to_pylist()]


class Standing:
    """One resumed output's answers. `known` may be called from any thread."""

    def __init__(self, previous: Previous, snapshot: Snapshot, text_column: str | None, renew: bool) -> None:
        plan = snapshot.columns(["_was", "_kept"])
        self._was: NDArray[np.int64] = plan["_was"].to_numpy()
        self._kept: NDArray[np.bool_] = np.asarray(plan["_kept"].to_numpy(), dtype=bool)
        self._previous, self._text_column = previous, text_column
        self._renew = renew  # an answer that stands is not stale any more (--update), or is copied as it was

    def known(self, ref: ImageRef, sha256: str | None) -> bool:
        """The pipeline's question: does an earlier answer stand?"""
        if sha256 is None and ref.uri is not None:
            return bool(self._kept[ref.position])
        return bool(self._kept[ref.position]) or (self._renew and self._find(ref, sha256) >= 0)

    def row(self, outcome: Outcome) -> tuple[int, bool]:
        """Return (the row of the earlier answer that stands, whether it is stale); (-1, False) for none."""
        ref, facts = outcome.ref, outcome.facts
        was = int(self._was[ref.position])
        if isinstance(outcome, Kept):
            by_content = facts is not None or (ref.uri is None and not self._kept[ref.position])
            return (self._find(ref, facts.sha256 if facts else None) if by_content else was), False
        stale = (
            self._renew
            and isinstance(outcome, Failure)
            and is_passing(outcome.error.code)
            and was >= 0
            and bool(self._previous.ok[was])
            and int(self._previous.text[was]) == self._text(ref)
        )
        return (was, True) if stale else (-1, False)

    def table(self, rows: NDArray[np.int64], stale: NDArray[np.bool_], schema: pa.Schema) -> pa.Table:
        """Return earlier answers with the columns of `schema`, `stale` as given where the run renews it."""
        names = [name for name in schema.names if name in self._previous.schema.names]
        table = self._previous.take(rows, names)
        if STALE.name in schema.names and (self._renew or STALE.name not in names):
            table = table.drop_columns([STALE.name]) if STALE.name in names else table
            table = table.append_column(STALE, pa.array(stale))
        if OVERLAY.name in schema.names and OVERLAY.name not in names:  # nothing was drawn then
            table = table.append_column(OVERLAY, pa.nulls(len(table), OVERLAY.type))
        return table.select(schema.names).cast(schema)

    def _find(self, ref: ImageRef, sha256: str | None) -> int:
        return self._previous.find(sha256, self._text(ref))

    def _text(self, ref: ImageRef) -> int:
        return 0 if self._text_column is None else text_hash(ref.extra[self._text_column])


def merged_table(
    outcomes: Sequence[Outcome],
    task: Task[Any, Any],
    options: Any,
    schema: pa.Schema,
    standing: Standing | None,
) -> pa.Table:
    """Return the answer columns of `outcomes` in order, new answers and standing ones together."""
    if standing is None:
        return answer_table([o for o in outcomes if not isinstance(o, Kept)], task, options, schema)
    found = [standing.row(outcome) for outcome in outcomes]
    rows = np.array([row for row, _ in found], np.int64)
    new = [o for o, row in zip(outcomes, rows, strict=True) if row < 0 and not isinstance(o, Kept)]
    old = standing.table(rows[rows >= 0], np.array([stale for row, stale in found if row >= 0], dtype=bool), schema)
    old = _with_new_facts(old, [o for o, row in zip(outcomes, rows, strict=True) if row >= 0])
    order = np.argsort(np.r_[np.flatnonzero(rows < 0), np.flatnonzero(rows >= 0)])
    return pa.concat_tables([answer_table(new, task, options, schema), old]).take(pa.array(order))


def _with_new_facts(table: pa.Table, outcomes: Sequence[Outcome]) -> pa.Table:
    """Where the bytes were read and were the same: the file's present version."""
    index = table.schema.get_field_index("version")
    versions = table["version"].to_pylist()
    for at, outcome in enumerate(outcomes):
        if isinstance(outcome, Kept) and outcome.facts is not None:
            versions[at] = outcome.facts.version
    return table.set_column(index, table.schema.field(index), pa.array(versions, pa.string()))


def snapshot_identities(snapshot: Snapshot) -> NDArray[np.uint64]:
    """Return the identities of all rows of a snapshot."""
    parts = [identities(table) for table in snapshot.tables(["id", "source"])]
    return np.concatenate(parts) if parts else np.array([], np.uint64)
