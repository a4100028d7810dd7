"""Two outputs of one task, row beside row: what flipped, drifted, failed anew or was mended. Knows nothing of pages.

Rows are the same when their ids are; the n-th row of an id is compared with the n-th of the same id.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from visioncli.errors import UsageError
from visioncli.report.changes import CHANGES, Changed, Flips
from visioncli.report.results import Results, Rows, as_text
from visioncli.report.survey import Numbers, measure_of
from visioncli.wording import counted

_PRODUCED = ("tool", "model", "commit", "family", "embedding_space", "recipe", "device", "dtype", "batch_size")


@dataclass(frozen=True, slots=True)
class Limit:
    """A count, or a share of the rows that both outputs have."""

    value: float
    is_share: bool = False

    def allows(self, count: float, rows: int) -> bool:
        return count <= (self.value * rows if self.is_share else self.value)

    def __str__(self) -> str:
        return f"{self.value * 100:g}%" if self.is_share else f"{self.value:g}"


@dataclass(frozen=True, slots=True)
class DiffOptions:
    """What is allowed; None is anything."""

    max_flips: Limit | None = None
    max_drift: Limit | None = None  # a share is of 1: 1% is 0.01
    max_new_failures: Limit | None = None


@dataclass
class Comparison:
    """Arrays are of the rows that both have, in the new output's order. NaN: not answered by both."""

    old: Results
    new: Results
    differences: tuple[tuple[str, str, str], ...]  # of provenance: name, old, new
    old_rows: Rows
    new_rows: Rows
    removed: Rows  # of the old output
    added: Rows  # of the new one
    was_ok: NDArray[np.bool_]
    is_ok: NDArray[np.bool_]
    drift: Numbers
    flipped: NDArray[np.bool_] | None  # None: the task has no labels
    flips: Flips = field(default_factory=Counter)

    @property
    def rows(self) -> int:
        return len(self.new_rows)

    @property
    def new_failures(self) -> NDArray[np.bool_]:
        return self.was_ok & ~self.is_ok

    @property
    def mended(self) -> NDArray[np.bool_]:
        return ~self.was_ok & self.is_ok

    @property
    def largest_drift(self) -> float:
        known = self.drift[~np.isnan(self.drift)]
        return float(known.max()) if known.size else 0.0

    @property
    def _is_blind(self) -> bool:
        """Whether nothing was compared although rows were answered by both."""
        both = self.was_ok & self.is_ok
        return bool(both.any() and np.isnan(self.drift[both]).all())

    @property
    def left_out(self) -> str | None:
        """A sentence on the old output's rows that are not in the new one; None where there are none."""
        if self.old.rows and not self.rows:
            return f"nothing was compared: {self._no_id}"
        count = len(self.removed)
        verb = "is" if count == 1 else "are"
        return (
            f"{count:,} of {counted(self.old.rows, 'row')} of {self.old.path} {verb} not in {self.new.path}"
            if count
            else None
        )

    @property
    def _no_id(self) -> str:
        return (
            f"no id of {self.old.path} is in {self.new.path} (an id is the path below its INPUT, with that before it "
            "where several are given): give both runs the same INPUT arguments, or --id-col"
        )

    def passed(self, limits: DiffOptions) -> list[str]:
        """Return a sentence for each limit that is passed.

        Raises UsageError for one that means nothing here, or for which nothing could be compared.
        """
        found = []
        self._refuse_unseen(limits)
        if limits.max_flips is not None:
            assert self.flipped is not None
            if not limits.max_flips.allows(count := int(self.flipped.sum()), self.rows):
                found.append(
                    f"{count:,} of {counted(self.rows, 'row')} flipped, more than --max-flips {limits.max_flips}"
                )
        if limits.max_drift is not None and not limits.max_drift.allows(self.largest_drift, 1):
            found.append(f"the largest drift is {self.largest_drift:.4g}, more than --max-drift {limits.max_drift}")
        if limits.max_new_failures is not None:
            count = int(self.new_failures.sum())
            if not limits.max_new_failures.allows(count, self.rows):
                fail = counted(count, "row fails", "rows fail")
                found.append(f"{fail} anew, more than --max-new-failures {limits.max_new_failures}")
        return found

    def _refuse_unseen(self, limits: DiffOptions) -> None:
        """A gate that has seen nothing does not stand open."""
        of_answers = {"--max-flips": limits.max_flips, "--max-drift": limits.max_drift}
        asked = [name for name, limit in of_answers.items() if limit is not None]
        if "--max-flips" in asked and self.flipped is None:
            raise UsageError(f"--max-flips: {self.new.task} has no labels that could flip")
        if not self.rows and limits != DiffOptions():
            raise UsageError(f"there is nothing to compare: {self._no_id}")
        if asked and not (self.was_ok & self.is_ok).any():
            new = int(self.new_failures.sum())
            fail = counted(new, "fails", "fail")
            raise UsageError(f"{asked[0]}: none of {counted(self.rows, 'row')} was answered by both runs ({fail} anew)")
        if "--max-drift" in asked and self._is_blind:
            raise UsageError("--max-drift: these outputs keep their vectors in side files, which are not compared")


def compare(old: Results, new: Results) -> Comparison:
    """Return what changed from `old` to `new`, a row group at a time. Raises UsageError."""
    measure_of(new.task)
    if new.task not in CHANGES:
        raise UsageError(
            f"{new.path} is of the task {new.task}, whose results are not compared: {', '.join(CHANGES)} are"
        )
    if old.task != new.task:
        raise UsageError(f"{old.path} is of the task {old.task} and {new.path} of {new.task}: they cannot be compared")
    was, then = _ids(old)
    is_, now = _ids(new)
    old_rows, new_rows = same_rows(was, is_)
    labelled = new.task in ("classify", "detect", "segment")
    found = Comparison(
        old,
        new,
        tuple(differences(old.provenance, new.provenance)),
        old_rows,
        new_rows,
        removed=np.setdiff1d(np.arange(old.rows), old_rows),
        added=np.setdiff1d(np.arange(new.rows), new_rows),
        was_ok=then[old_rows],
        is_ok=now[new_rows],
        drift=np.full(len(new_rows), np.nan, np.float32),
        flipped=np.zeros(len(new_rows), bool) if labelled else None,
    )
    for places, changed in _changed(found):
        found.drift[places] = changed.drift
        found.flips.update(changed.flips)
        if found.flipped is not None and changed.flipped is not None:
            found.flipped[places] = changed.flipped
    return found


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Yield what differs between two outputs' provenance: its name, the old value and the new."""
    parameters = [side.get("parameters") or {} for side in (old, new)]
    one, other = (
        {**{name: side.get(name) for name in _PRODUCED}, **more}
        for side, more in zip((old, new), parameters, strict=True)
    )
    for name in dict.fromkeys([*one, *other]):
        if one.get(name) != other.get(name):
            yield name, as_text(one.get(name)), as_text(other.get(name))


def _ids(results: Results) -> tuple[pa.Array, NDArray[np.bool_]]:
    """Every row's id, and whether it was answered."""
    pieces = [table for _, table in results.tables(["id", "error_code"])]
    table = pa.concat_tables([results.schema.empty_table().select(["id", "error_code"]), *pieces])
    return table["id"].cast(pa.large_string()), pc.is_null(table["error_code"]).to_numpy()


def same_rows(old: pa.ChunkedArray, new: pa.ChunkedArray) -> tuple[Rows, Rows]:
    """Return the row numbers of rows whose ids are in both, by occurrence, in the order of `new`."""
    both = pa.chunked_array([*old.chunks, *new.chunks], pa.large_string()).combine_chunks().dictionary_encode()
    codes = pc.fill_null(both.indices, -1).to_numpy().astype(np.int64)
    first, second = _with_ranks(codes[: len(old)]), _with_ranks(codes[len(old) :])
    _, in_old, in_new = np.intersect1d(first, second, assume_unique=True, return_indices=True)
    order = np.argsort(in_new)
    return in_old[order].astype(np.int64), in_new[order].astype(np.int64)


def _with_ranks(codes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Codes made distinct by how often each came before; a code and a rank are below 2³¹ and 2³²."""
    order = np.argsort(codes, kind="stable")
    ordered = codes[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]][: len(ordered)])
    ranks = np.arange(len(ordered)) - np.repeat(starts, np.diff(np.r_[starts, len(ordered)]))
    distinct = np.empty_like(codes)
    distinct[order] = ordered * 2**32 + ranks
    return distinct


def _changed(pair: Comparison) -> Iterator[tuple[NDArray[np.int64], Changed]]:
    """Yield the places, among the rows of both, of some that both answered, and what changed in them."""
    change = CHANGES[pair.new.task]
    names = [name for name in pair.new.having(change.columns) if name in pair.old.schema.names]
    if not names:
        return  # vectors in side files: they are not compared
    answered = np.flatnonzero(pair.was_ok & pair.is_ok)
    for first, table in pair.new.tables(names):
        low, high = np.searchsorted(pair.new_rows[answered], [first, first + len(table)])
        places = answered[low:high]
        if len(places):
            new = table.take(pa.array(pair.new_rows[places] - first))
            yield places, change.of(pair.old.take(pair.old_rows[places], names), new)
