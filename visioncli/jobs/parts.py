"""A worker: one range of the snapshot to parts. Closes a part on rows or on time, whichever comes first.

Knows nothing of the other parts, of assembling or of flags.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from visioncli.errors import ErrorRateError
from visioncli.io.sinks import write_parquet
from visioncli.jobs.job import Policy
from visioncli.jobs.rundir import RunDirectory
from visioncli.jobs.snapshot import Snapshot, visible_schema
from visioncli.jobs.standing import Outcome, Standing, merged_table
from visioncli.jobs.summary import Count
from visioncli.row import size_of
from visioncli.samples import Answer, Failure, Kept
from visioncli.tasks import Task

RATE_FROM_ROWS = 100  # an error rate over fewer rows says nothing


@dataclass(frozen=True, slots=True)
class Shard:
    first: int
    end: int


@dataclass(slots=True)
class Tally:
    """Rows so far: as the table has them, and how those went that this run has asked itself."""

    done: int = 0  # those of earlier, interrupted runs included
    failed: int = 0  # of these
    asked: int = 0  # in this run: no earlier answer was known to stand
    missed: Counter[str] = field(default_factory=Counter)  # of these, by code; the last good answer may stand for one
    written: Count = field(default_factory=lambda: Count(None))  # what stays of `done` when the run ends now

    def add(self, outcome: Outcome, standing: Standing | None = None) -> None:
        missed = isinstance(outcome, Failure)
        stands = None if standing is None else standing.is_ok(outcome)
        self.done += 1
        self.failed += missed if stands is None else not stands
        if not isinstance(outcome, Kept):
            self.asked += 1
        if isinstance(outcome, Failure):
            self.missed[outcome.error.code] += 1

    def check(self, max_error_rate: float | None) -> None:
        """Raise ErrorRateError when too many of the rows that this run asked failed."""
        missed = self.missed.total()
        if max_error_rate is None or self.asked < RATE_FROM_ROWS or missed <= max_error_rate * self.asked:
            return
        code, count = self.missed.most_common(1)[0]
        raise ErrorRateError(
            f"{missed} of {self.asked} rows failed ({count} with {code}), more than --max-error-rate allows"
        )


@dataclass(frozen=True)
class Table:
    """What a part's columns are made from."""

    task: Task[Any, Any]
    options: Any
    answers: pa.Schema  # status … and the task's own
    output: pa.Schema  # all columns in order, with the provenance
    settle: Callable[[], None] = lambda: None  # makes the side files that its rows name durable


def write_parts(
    shard: Shard,
    outcomes: Iterable[Outcome],
    snapshot: Snapshot,
    directory: RunDirectory,
    table: Table,
    standing: Standing | None,
    tally: Tally,
    policy: Policy,
) -> Iterator[Tally]:
    """Write the shard's outcomes as parts, and yield the tally after each outcome.

    What is finished is written too when `outcomes` ends early or raises, whatever it raises.
    """
    part = Part(snapshot, directory, table, standing, shard.first, tally.written)
    try:
        for outcome in outcomes:
            part.add(outcome)
            tally.add(outcome, standing)
            tally.check(policy.max_error_rate)
            if part.is_due(policy):
                part.write()
            yield tally
    finally:
        part.write()  # nothing more, where a part that cannot be written is what was raised


def output_schema(inputs: pa.Schema, answers: pa.Schema) -> pa.Schema:
    """Return all columns in the contract's order: `id`, `source`, pass-through, `image_index`, then the answers."""
    return pa.schema([*visible_schema(inputs), *answers])


def beside(inputs: pa.Table, answers: pa.Table, schema: pa.Schema) -> pa.Table:
    """Return one table of `schema` from the same rows' inputs and answers."""
    columns = [*inputs.select(visible_schema(inputs.schema).names).columns, *answers.columns]
    return pa.Table.from_arrays(columns, schema=schema)


@dataclass
class Part:
    """The rows from `first` on that wait to be written together."""

    snapshot: Snapshot
    directory: RunDirectory
    table: Table
    standing: Standing | None
    first: int
    written: Count
    waiting: list[Outcome] = field(default_factory=list)
    size: int = 0  # bytes of the results that wait
    since: float = field(default_factory=time.monotonic)

    def add(self, outcome: Outcome) -> None:
        self.waiting.append(outcome)
        self.size += size_of(outcome.result) if isinstance(outcome, Answer) else 0

    def is_due(self, policy: Policy) -> bool:
        return (
            len(self.waiting) >= policy.part_rows
            or self.size > policy.part_bytes
            or time.monotonic() - self.since > policy.part_seconds
        )

    def write(self) -> None:
        """Write what waits, and begin the next part; nothing when nothing waits."""
        outcomes, self.waiting, self.size, self.since = self.waiting, [], 0, time.monotonic()
        if not outcomes:
            return
        first, end = self.first, self.first + len(outcomes)
        answers = merged_table(outcomes, self.table.task, self.table.options, self.table.answers, self.standing)
        self.table.settle()
        write_parquet(self.directory.part(first, end), self.table.output, self._pieces(first, end, answers))
        self.written.add(answers)
        self.first = end

    def _pieces(self, first: int, end: int, answers: pa.Table) -> Iterator[pa.Table]:
        """Yield the part's rows, with so many of their inputs at a time as one row group of the snapshot has."""
        reached = 0
        for inputs in self.snapshot.pieces(first, end):
            yield beside(inputs, answers.slice(reached, len(inputs)), self.table.output)
            reached += len(inputs)
