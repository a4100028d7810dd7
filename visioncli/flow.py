"""The threads under `pipeline.answer`, and the state they share.

One condition guards all counts. A row is *active* from admission until it has an outcome; of the active rows, the
*ready* ones wait for the device. Every thread ends when the caller leaves.
"""

from __future__ import annotations

import hashlib
import os
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from visioncli.batching import SafeForward
from visioncli.errors import PredictError, RowError
from visioncli.io.decode import decode
from visioncli.io.fetch import Fetched, Fetcher, Unchanged, is_remote, read
from visioncli.meter import Meter
from visioncli.models import Predictor
from visioncli.recent import Recent
from visioncli.samples import Answer, Facts, Failure, ImageRef, Kept, Sample

if TYPE_CHECKING:
    from visioncli.pipeline import Settings

Outcome = Answer[Any] | Failure | Kept
_POLL_S = 0.1  # how soon a waiting thread notices `stop`, which is set by a signal handler that cannot notify


@dataclass(slots=True)
class Row:
    """One reference on its way."""

    number: int  # order of admission, from 0
    ref: ImageRef
    fetched: Fetched | Unchanged | None = None
    facts: Facts | None = None
    key: Hashable = None  # equal keys have equal answers
    sample: Sample | None = None
    inputs: Any = None
    held: int = 0  # bytes counted against `ahead_bytes`
    since: float = 0.0  # when it became ready


class Flow:
    def __init__(
        self,
        refs: Iterable[ImageRef],
        predictor: Predictor[Any, Any],
        options: Any,
        settings: Settings,
        known: Callable[[ImageRef, str | None], bool] | None,
        stop: threading.Event,
        meter: Meter,
    ) -> None:
        self._refs, self._predictor, self._options, self._settings = refs, predictor, options, settings
        self._known = known or (lambda ref, sha256: False)
        self._stop, self._meter = stop, meter
        self._batch_size = predictor.info.batch_size
        self._workers = settings.workers or min(16, os.cpu_count() or 1)
        self._active_limit = 4 * self._batch_size + 4 * self._workers
        self._remote_limit = self._active_limit + 256  # waiting for a network costs no memory but the bodies'

        self._changed = threading.Condition()
        self._admitted = self._yielded = self._active = self._remote = self._busy = self._held = 0
        self._done: dict[int, Outcome] = {}
        self._ready: dict[Hashable, deque[Row]] = {}
        self._ready_count = 0
        self._feeding, self._starved, self._caller_waits, self._closed = True, False, False, False
        self._error: BaseException | None = None

        self._recent = Recent()
        self._todo: queue.SimpleQueue[Row | None] = queue.SimpleQueue()
        self._finished: queue.SimpleQueue[tuple[list[Row], list[Any]] | None] = queue.SimpleQueue()
        self._fetcher: Fetcher | None = None
        self._threads = [self._start(self._feed), self._start(self._run_device), self._start(self._postprocess)]
        self._threads += [self._start(self._work) for _ in range(self._workers)]

    # The caller's side

    def outcomes(self) -> Iterator[list[Outcome]]:
        while batch := self._next_outcomes():
            yield batch
            if self._stop.is_set():
                return

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for _ in range(self._workers):
            self._todo.put(None)
        self._finished.put(None)
        if self._fetcher is not None:
            self._fetcher.__exit__(None, None, None)
        for thread in self._threads[1:]:  # the feeder may hang in a pipe that never ends; it is a daemon
            thread.join(timeout=30)

    def _next_outcomes(self) -> list[Outcome]:
        """Return the outcomes that are next in order, at least one; none at the end or when stopped."""
        with self._changed:
            self._caller_waits = True
            while self._yielded not in self._done and self._error is None and not self._over():
                self._changed.wait(_POLL_S)
            self._caller_waits = False
            if self._error is not None:
                raise self._error
            batch: list[Outcome] = []
            while self._yielded in self._done:
                batch.append(self._done.pop(self._yielded))
                self._yielded += 1
            self._changed.notify_all()
            return batch

    def _over(self) -> bool:
        return self._stop.is_set() or (not self._feeding and self._active == 0)

    # Threads

    def _start(self, target: Callable[[], None]) -> threading.Thread:
        def run() -> None:
            try:
                target()
            except BaseException as error:  # a thread's boundary: the caller must hear of it, not wait for ever
                self._abort(error)

        thread = threading.Thread(target=run, name=f"visioncli-{target.__name__.strip('_')}", daemon=True)
        thread.start()
        return thread

    def _abort(self, error: BaseException) -> None:
        with self._changed:
            self._error = self._error or error
            self._closed = True
            self._changed.notify_all()

    def _feed(self) -> None:
        try:
            for ref in self._refs:
                row = self._admit(ref)
                if row is None:
                    return
                self._dispatch(row)
        finally:
            with self._changed:
                self._feeding = False
                self._changed.notify_all()

    def _admit(self, ref: ImageRef) -> Row | None:
        """Wait for room, then count the row in; None when the run is over."""
        remote = ref.uri is not None and is_remote(ref.uri)
        with self._changed:
            while not self._has_room(remote):
                if self._closed or self._stop.is_set():
                    return None
                self._starved = True
                self._changed.notify_all()
                self._changed.wait(_POLL_S)
            self._starved = False
            if self._closed or self._stop.is_set():
                return None
            row = Row(self._admitted, ref)
            self._admitted += 1
            self._active += 1
            return row

    def _has_room(self, remote: bool) -> bool:
        settings = self._settings
        return (
            self._active < (self._remote_limit if remote else self._active_limit)
            and self._admitted - self._yielded < settings.ahead_rows
            and self._held < settings.ahead_bytes
        )

    def _dispatch(self, row: Row) -> None:
        ref = row.ref
        if ref.error is not None:
            self._finish(row, Failure(ref, None, ref.error))
        elif self._known(ref, None):
            self._finish(row, Kept(ref, None))
        elif ref.uri is not None and is_remote(ref.uri):
            self._fetch(row, ref.uri)
        else:
            self._todo.put(row)

    def _fetch(self, row: Row, uri: bytes) -> None:
        if self._fetcher is None:
            self._fetcher = Fetcher(self._settings.fetch).__enter__()
        with self._changed:
            self._remote += 1
        self._fetcher.submit(uri, row.ref.seen).add_done_callback(lambda future: self._fetched(row, future))

    def _fetched(self, row: Row, future: Future[Fetched | Unchanged]) -> None:
        with self._changed:
            self._remote -= 1
        if future.cancelled():
            return
        error = future.exception()
        if isinstance(error, RowError):
            self._finish(row, Failure(row.ref, None, error))
        elif error is not None:
            self._abort(error)
        else:
            row.fetched = future.result()
            self._hold(row, len(row.fetched.data) if isinstance(row.fetched, Fetched) else 0)
            self._todo.put(row)

    def _hold(self, row: Row, size: int) -> None:
        with self._changed:
            self._held += size - row.held
            row.held = size

    def _work(self) -> None:
        while (row := self._todo.get()) is not None and not self._closed:
            with self._changed:
                self._busy += 1
            try:
                self._prepare(row)
            except RowError as error:
                self._finish(row, Failure(row.ref, row.facts, error))
            finally:
                with self._changed:
                    self._busy -= 1

    def _prepare(self, row: Row) -> None:
        outcome = self._identify(row)
        if outcome is None and self._recent.wait_for(row):
            return  # an equal picture is on its way; its outcome will be this row's too
        if outcome is None:
            outcome = self._recent.find(row)
            self._meter.add(reused=outcome is not None)
        if outcome is not None:
            return self._finish(row, outcome)
        started = time.perf_counter()
        self._decode(row)
        self._meter.add(decode_s=time.perf_counter() - started)
        self._make_ready(row)

    def _identify(self, row: Row) -> Outcome | None:
        """Read and hash the file; return an outcome when an earlier answer stands."""
        ref = row.ref
        if ref.uri is None:
            row.facts, row.key = Facts(), (None, _extra_key(ref))
            return None
        started = time.perf_counter()
        fetched = row.fetched or read(ref.uri, self._settings.fetch, ref.seen)
        if isinstance(fetched, Unchanged):
            return Kept(ref, None)
        row.fetched = fetched
        sha256 = hashlib.sha256(fetched.data).hexdigest()
        self._meter.add(read_s=time.perf_counter() - started)
        row.facts = Facts(sha256, len(fetched.data), ref.version or fetched.version)
        row.key = (sha256, _extra_key(ref))
        return Kept(ref, row.facts) if self._known(ref, sha256) else None

    def _decode(self, row: Row) -> None:
        assert row.facts is not None
        image = None
        if isinstance(row.fetched, Fetched):
            decoded = decode(row.fetched.data, self._settings.decode, self._predictor.decode_size)
            row.facts = replace(row.facts, size=decoded.size, exif=decoded.exif)
            image = decoded.image
        row.fetched = None
        sample = Sample(row.ref, row.facts, image)
        try:
            row.inputs = self._predictor.preprocess(sample, self._options)
        except (ValueError, TypeError, OverflowError, RuntimeError) as error:
            raise PredictError("preprocess_failed", f"preprocessing failed: {error}") from error
        row.sample = replace(sample, image=None)  # the pixels are in `inputs` now

    def _make_ready(self, row: Row) -> None:
        key = self._predictor.batch_key(self._options, row.inputs)
        self._hold(row, getattr(row.inputs, "nbytes", 0))
        with self._changed:
            row.since = time.monotonic()
            waiting = self._ready.setdefault(key, deque())
            waiting.append(row)
            self._ready_count += 1
            if len(waiting) >= self._batch_size or self._ready_count == self._active:
                self._changed.notify_all()  # else the device thread need not wake: it polls for rows that wait too long

    # The device

    def _run_device(self) -> None:
        forward = SafeForward(self._predictor, self._options, self._batch_size)
        while rows := self._next_batch():
            started = time.perf_counter()
            outputs = forward([row.inputs for row in rows])
            for row in rows:
                row.inputs = None
                self._hold(row, 0)
            self._meter.add(inferred=len(rows))
            self._meter.hold("device", time.perf_counter() - started)
            self._finished.put((rows, outputs))
            self._batch_size = forward.limit

    def _next_batch(self) -> list[Row]:
        """Wait for a batch worth running; return no rows when the flow is closed."""
        with self._changed:
            while not self._closed:
                key = self._runnable()
                if key is not None:
                    waiting = self._ready[key]
                    rows = [waiting.popleft() for _ in range(min(self._batch_size, len(waiting)))]
                    if not waiting:
                        del self._ready[key]
                    self._ready_count -= len(rows)
                    return rows
                started, blame = time.perf_counter(), self._whom_the_device_waits_for()
                self._changed.wait(_POLL_S)
                if blame is not None:
                    self._meter.hold(blame, time.perf_counter() - started)
        return []

    def _runnable(self) -> Hashable | None:
        """Return the key of a full batch, or of the oldest rows when nothing that may come is worth waiting for."""
        if not self._ready:
            return None
        fullest = max(self._ready, key=lambda key: len(self._ready[key]))
        if len(self._ready[fullest]) >= self._batch_size:
            return fullest
        oldest = min(self._ready, key=lambda key: self._ready[key][0].since)
        upstream = self._active - self._ready_count
        nothing_comes = upstream == 0 and (not self._feeding or self._starved)
        late = time.monotonic() - self._ready[oldest][0].since > self._settings.flush_after_s
        return oldest if nothing_comes or late else None

    def _whom_the_device_waits_for(self) -> str | None:
        if not self._caller_waits and self._admitted - self._yielded >= self._settings.ahead_rows // 2:
            return "write"
        if self._busy:
            return "decode" if self._meter.decode_s >= self._meter.read_s else "fetch"
        if self._remote:
            return "fetch"
        return None if not self._caller_waits else "fetch"

    def _postprocess(self) -> None:
        while (item := self._finished.get()) is not None:
            rows, outputs = item
            answered = [(row, output) for row, output in zip(rows, outputs) if not isinstance(output, PredictError)]
            samples = [row.sample for row, _ in answered if row.sample is not None]
            results = self._predictor.postprocess([output for _, output in answered], samples, self._options)
            for (row, _), result in zip(answered, results):
                self._finish(row, Answer(row.ref, row.facts or Facts(), result))
            for row, output in zip(rows, outputs):
                if isinstance(output, PredictError):
                    self._finish(row, Failure(row.ref, row.facts, output))

    def _finish(self, row: Row, outcome: Outcome) -> None:
        """Record the row's outcome, and that of the rows with equal pictures that waited for it."""
        twins = self._recent.settle(row, outcome)
        self._meter.add(reused=len(twins))
        with self._changed:
            for finished, its_outcome in ((row, outcome), *twins):
                self._held -= finished.held
                self._done[finished.number] = its_outcome
            self._active -= 1 + len(twins)
            if self._caller_waits or self._starved or self._active == 0:
                self._changed.notify_all()


def _extra_key(ref: ImageRef) -> Hashable:
    return repr(sorted(ref.extra.items())) if ref.extra else None
