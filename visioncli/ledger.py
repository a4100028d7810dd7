"""Who is where: the state that a flow's threads share, and all their waiting.

A row is in one place at a time. Whatever changes under the lock ends with `_wake`, which asks each waiting thread's own
question; only time and `stop` need polling. Knows nothing of files, pictures or models.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

from visioncli.meter import Meter
from visioncli.samples import Answer, Facts, Failure, ImageRef, Kept, Sample

if TYPE_CHECKING:
    from visioncli.io.fetch import Fetched, Unchanged
    from visioncli.pipeline import Settings

Outcome: TypeAlias = Answer[Any] | Failure | Kept
Place: TypeAlias = Literal["network", "here", "twin", "ready", "device", "done"]

_POLL_S = 0.1  # how soon a waiting thread notices `stop`, which is set by a signal handler that cannot notify
_FIRST_GUESS = 2**20  # bytes that a row will hold, before any row has shown it
_IN_FLIGHT = 256  # requests, beyond as many rows as may be here: most wait for their host's turn


@dataclass(slots=True, eq=False)
class Row:
    """One reference on its way. `network`: its bytes are; `here`: queued or with a worker; `twin`: an equal one is."""

    number: int  # order of admission, from 0
    ref: ImageRef
    is_remote: bool
    place: Place
    held: int  # bytes counted against `ahead_bytes`; a guess until they are here
    fetched: Fetched | Unchanged | None = None
    facts: Facts | None = None
    key: Hashable = None  # equal keys have equal answers
    sample: Sample | None = None
    inputs: Any = None
    since: float = 0.0  # when it became ready


def size_of(value: object) -> int:
    """The bytes that a value says it holds; 0 where it says nothing."""
    size: int = getattr(value, "nbytes", 0)
    return size


class Ledger:
    def __init__(self, settings: Settings, batch_size: int, workers: int, stop: threading.Event, meter: Meter) -> None:
        self._settings, self._stop, self._meter = settings, stop, meter
        self.batch_size = batch_size  # the device's; lowered when its memory runs out
        self._here_limit = 4 * batch_size + 4 * workers
        self._network_limit = self._here_limit + _IN_FLIGHT

        self._lock = threading.RLock()
        self._room, self._work, self._turn = (threading.Condition(self._lock) for _ in range(3))
        self._at_door: bool | None = None  # whether the row that waits for room is remote; None: no row waits
        self._device_waits, self._caller_waits = False, False
        self._idle_since = 0.0  # the device's idle time is booked at every change, on whom it waited for until then
        self._blame: str | None = None

        self._rows: dict[Place, int] = dict.fromkeys(get_args(Place), 0)
        self._ready: dict[Hashable, deque[Row]] = {}  # by batch key
        self._done: dict[int, tuple[Outcome, int]] = {}  # by number, not yet yielded, with its bytes
        self._admitted = self._yielded = self._held = 0
        self._guess = {False: _FIRST_GUESS, True: _FIRST_GUESS}  # bytes of a local row's inputs, of a remote one's body
        self.device_answers = False  # it has answered a row
        self._ended, self.closed = False, False
        self._source_error: BaseException | None = None
        self._error: BaseException | None = None

    # The feeder

    def admit(self, ref: ImageRef, is_remote: bool) -> Row | None:
        """Wait for room, then count the row in; None when the run is over."""
        with self._lock:
            self._at_door = is_remote
            while not self._has_room(is_remote) and not self._is_leaving():
                self._wake()  # rows that wait for more to come need not
                self._room.wait(_POLL_S)
            self._at_door = None
            if self._is_leaving():
                return None
            row = Row(self._admitted, ref, is_remote, "network" if is_remote else "here", self._guess[is_remote])
            self._admitted += 1
            self._rows[row.place] += 1
            self._held += row.held
            self._wake()
            return row

    def end(self, error: BaseException | None) -> None:
        """There are no more rows; `error` is raised after the outcomes of those before it."""
        with self._lock:
            self._ended, self._source_error = True, error
            self._wake()

    def _has_room(self, is_remote: bool) -> bool:
        rows = self._rows
        return (
            rows["here"] + rows["ready"] + rows["device"] < self._here_limit
            and (not is_remote or rows["network"] < self._network_limit)
            and self._admitted - self._yielded < self._settings.ahead_rows
            and self._held < self._settings.ahead_bytes
        )

    def _is_leaving(self) -> bool:
        return self.closed or self._stop.is_set()

    # On the way

    def landed(self, row: Row, size: int) -> None:
        """Its bytes came from the network."""
        with self._lock:
            self._learn(row.is_remote, size)
            self._move(row, "here", size)
            self._wake()

    def stand_aside(self, row: Row) -> None:
        """An equal picture is on its way; its outcome, which may be here already, will be this row's too."""
        with self._lock:
            if row.place != "done":
                self._move(row, "twin", 0)
                self._wake()

    def make_ready(self, row: Row, batch_key: Hashable, size: int) -> None:
        with self._lock:
            if not row.is_remote:
                self._learn(row.is_remote, size)
            self._move(row, "ready", size)
            row.since = time.monotonic()
            self._ready.setdefault(batch_key, deque()).append(row)
            self._wake()

    def release(self, rows: Sequence[Row], sizes: Sequence[int]) -> None:
        """Their inputs are needed no more; `sizes` is what each still holds."""
        with self._lock:
            for row, size in zip(rows, sizes, strict=True):
                row.inputs = None
                self._move(row, row.place, size)
            self._wake()

    def finish(self, outcomes: Iterable[tuple[Row, Outcome]]) -> None:
        with self._lock:
            for row, outcome in outcomes:
                size = size_of(outcome.result) if isinstance(outcome, Answer) else 0
                self._move(row, "done", size)
                self._done[row.number] = outcome, size
            self._wake()

    def abort(self, error: BaseException) -> None:
        """Let the caller raise `error`, after what is finished and next in order."""
        with self._lock:
            self._error = self._error or error
            self.close()

    def close(self) -> None:
        with self._lock:
            self.closed = True
            for waiting in (self._room, self._work, self._turn):
                waiting.notify_all()

    def _move(self, row: Row, place: Place, size: int) -> None:
        self._rows[row.place] -= 1
        self._rows[place] += 1
        self._held += size - row.held
        row.place, row.held = place, size

    def _learn(self, is_remote: bool, size: int) -> None:
        guess = self._guess[is_remote]
        self._guess[is_remote] = size if guess == _FIRST_GUESS else (7 * guess + size) // 8

    def _wake(self) -> None:
        """Wake whoever can go on now."""
        if self._device_waits:
            self._book_idle_time()
        if self._at_door is not None and self._has_room(self._at_door):
            self._room.notify()
        if self._device_waits and self._runnable() is not None:
            self._work.notify()
        if self._caller_waits and self._has_turn():
            self._caller_waits = False
            self._turn.notify()

    # The device

    def next_batch(self) -> list[Row]:
        """Wait for a batch worth running; no rows when the flow is closed."""
        with self._lock:
            while not self.closed:
                batch_key = self._runnable()
                if batch_key is not None:
                    return self._take(*batch_key)
                self._idle_since, self._blame = time.perf_counter(), self._whom_the_device_waits_for()
                self._device_waits = True
                self._work.wait(_POLL_S)
                self._device_waits = False
                self._book_idle_time()
        return []

    def _take(self, batch_key: Hashable) -> list[Row]:
        waiting = self._ready[batch_key]
        rows = [waiting.popleft() for _ in range(min(self.batch_size, len(waiting)))]
        if not waiting:
            del self._ready[batch_key]
        for row in rows:
            self._move(row, "device", row.held)
        return rows

    def _runnable(self) -> tuple[Hashable] | None:
        """Return the key (which may be None) of a full batch, else of the oldest rows when more is not worth a wait."""
        if not self._ready:
            return None
        full = [key for key, rows in self._ready.items() if len(rows) >= self.batch_size]
        oldest = min(full or self._ready, key=lambda key: self._ready[key][0].since)
        return (oldest,) if full or self._nothing_comes() or self._is_late(self._ready[oldest][0]) else None

    def _nothing_comes(self) -> bool:
        if self._rows["here"] or self._rows["network"]:
            return False
        return self._ended or (self._is_shut() and not self._rows["device"])  # rows that leave the device make room

    def _is_shut(self) -> bool:
        return self._at_door is not None and not self._has_room(self._at_door)

    def _is_late(self, row: Row) -> bool:
        return time.monotonic() - row.since > self._settings.flush_after_s

    def _book_idle_time(self) -> None:
        now = time.perf_counter()
        if self._blame is not None:
            self._meter.hold(self._blame, now - self._idle_since)
        self._idle_since, self._blame = now, self._whom_the_device_waits_for()

    def _whom_the_device_waits_for(self) -> str | None:
        rows, meter, busy = self._rows, self._meter, dict[str, float]()
        if rows["here"]:
            busy |= {"decode": meter.decode_s, "fetch": meter.read_s}
        if rows["device"]:  # it is through with them
            busy |= {"results": meter.results_s}
        if busy:  # they share the processor: what has taken the most of it
            return max(busy, key=lambda stage: busy[stage])
        if rows["network"]:
            return "fetch"
        if not self._admitted or (self._ended and self._caller_waits):
            return None  # nobody owes it anything
        return "fetch" if self._caller_waits else "write"

    # The caller

    def next_outcomes(self) -> list[Outcome]:
        """Return the outcomes that are next in order, at least one; none at the end or when stopped.

        Raises what a thread or the source raised, when nothing is left to return before it.
        """
        with self._lock:
            while not self._has_turn() and not self._stop.is_set():
                self._caller_waits = True
                self._wake()
                self._turn.wait(_POLL_S)
            self._caller_waits = False
            batch: list[Outcome] = []
            while self._is_next_due():
                outcome, size = self._done.pop(self._yielded)
                batch.append(outcome)
                self._yielded += 1
                self._held -= size
            error = self._error or (self._source_error if self._is_over() else None)
            if not batch and error is not None:
                raise error
            self._wake()
            return batch

    def _has_turn(self) -> bool:
        return self._is_next_due() or self._error is not None or self._is_over()

    def _is_next_due(self) -> bool:
        """Whether the next outcome is there, and is no failure that a broken device may be to blame for."""
        outcome, _ = self._done.get(self._yielded, (None, 0))
        if self.device_answers or not isinstance(outcome, Failure) or outcome.error.code != "device_failed":
            return outcome is not None
        under_way = self._admitted - self._yielded - len(self._done)
        return not under_way and self._error is None and (self._ended or self._is_shut())

    def _is_over(self) -> bool:
        return self._ended and self._yielded == self._admitted
