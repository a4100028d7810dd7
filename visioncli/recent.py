"""Equal pictures are inferred once, as far as a bounded memory reaches."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import replace
from typing import Any

from visioncli.row import Row, size_of
from visioncli.samples import Answer, Facts, Failure, ImageRef, Kept

_KEEP = 4096  # outcomes; an embedding of 768 floats takes 3 KB, so 12 MB
_KEEP_BYTES = 64 * 2**20  # of results; a full depth map of 12 million pixels takes 48 MB


class Recent:
    """Outcomes by content key, and the rows that wait for an equal one on its way. Any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._outcomes: OrderedDict[Hashable, Answer[Any] | Failure] = OrderedDict()
        self._bytes = 0
        self._leaders: dict[Hashable, Row] = {}
        self._waiting: dict[Hashable, list[Row]] = {}

    def wait_for(self, row: Row) -> bool:
        """Return whether an equal row is on its way; if not (and none is known), `row` is the one others wait for."""
        with self._lock:
            if row.key in self._outcomes:
                return False
            if row.key in self._leaders:
                row.fetched = None
                self._waiting.setdefault(row.key, []).append(row)
                return True
            self._leaders[row.key] = row
            return False

    def find(self, row: Row) -> Answer[Any] | Failure | None:
        """Return the outcome of an equal picture, as this row's."""
        with self._lock:
            outcome = self._outcomes.get(row.key)
            if outcome is not None:
                self._outcomes.move_to_end(row.key)
        return None if outcome is None else _as_of(outcome, row.ref, row.facts)

    def settle(self, row: Row, outcome: Answer[Any] | Failure | Kept) -> list[tuple[Row, Answer[Any] | Failure]]:
        """Remember a leader's outcome; return the rows that waited for it, each with its own."""
        with self._lock:
            if row.key is None or self._leaders.get(row.key) is not row or isinstance(outcome, Kept):
                return []
            del self._leaders[row.key]
            self._outcomes[row.key] = outcome
            self._bytes += _size_of(outcome)
            while len(self._outcomes) > _KEEP or self._bytes > _KEEP_BYTES:
                self._bytes -= _size_of(self._outcomes.popitem(last=False)[1])
            waiting = self._waiting.pop(row.key, [])
        return [(twin, _as_of(outcome, twin.ref, twin.facts)) for twin in waiting]


def _as_of(outcome: Answer[Any] | Failure, ref: ImageRef, facts: Facts | None) -> Answer[Any] | Failure:
    """The same answer for another reference: its own version, the equal picture's size."""
    known = outcome.facts or Facts()
    return replace(outcome, ref=ref, facts=replace(facts or Facts(), size=known.size, exif=known.exif))


def _size_of(outcome: Answer[Any] | Failure) -> int:
    return size_of(outcome.result) if isinstance(outcome, Answer) else 0
