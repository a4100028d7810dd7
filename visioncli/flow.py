"""The threads under `pipeline.answer`: what is done to a row, in which order, by whom.

Who waits for whom, and how far ahead, is the ledger's. Every thread ends when the caller leaves.
"""

from __future__ import annotations

import hashlib
import os
import queue
import threading
import time
from collections.abc import Callable, Hashable, Iterable, Iterator
from concurrent.futures import Future
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from visioncli.allowance import Allowance
from visioncli.batching import SafeForward
from visioncli.errors import PredictError, RowError
from visioncli.io.decode import decode
from visioncli.io.fetch import Fetched, Fetcher, Unchanged, is_remote, read
from visioncli.ledger import Ledger, Outcome, Row, size_of
from visioncli.meter import Meter
from visioncli.models import Predictor
from visioncli.recent import Recent
from visioncli.samples import Answer, Facts, Failure, ImageRef, Kept, Sample

if TYPE_CHECKING:
    from visioncli.pipeline import Save, Settings

_BYTES_PER_PIXEL = 26  # of the original, while a result is saved: depth at 12 megapixels with all exports but PLY
_LEAVE_S = 30.0  # for threads to end what they are in the middle of: one forward pass, say


class Flow:
    def __init__(
        self,
        refs: Iterable[ImageRef],
        predictor: Predictor[Any, Any],
        options: Any,
        settings: Settings,
        known: Callable[[ImageRef, str | None], bool] | None,
        save: Save | None,
        stop: threading.Event,
        meter: Meter,
    ) -> None:
        self._refs, self._predictor, self._options, self._settings = refs, predictor, options, settings
        self._known = known or (lambda ref, sha256: False)
        self._save, self._stop, self._meter = save, stop, meter
        self._workers = settings.workers or min(16, os.cpu_count() or 1)
        self._ledger = Ledger(settings, predictor.info.batch_size, self._workers, stop, meter)
        self._recent = Recent()
        self._saving = Allowance(settings.saving_bytes)
        self._todo: queue.SimpleQueue[Row | None] = queue.SimpleQueue()
        self._finished: queue.SimpleQueue[tuple[list[Row], list[Any]] | None] = queue.SimpleQueue()
        self._fetcher: Fetcher | None = None
        self._fetcher_lock = threading.Lock()  # the caller may leave while the feeder opens or uses it
        self._feeder = self._start(self._feed)
        self._threads = [self._start(self._run_device)]
        self._threads += [self._start(step) for step in (self._work, self._postprocess) for _ in range(self._workers)]

    # The caller's side

    def outcomes(self) -> Iterator[list[Outcome]]:
        is_last_look = False
        while not is_last_look:
            is_last_look = self._stop.is_set()
            batch = self._ledger.next_outcomes()
            if not batch:
                return
            yield batch

    def close(self) -> None:
        self._ledger.close()
        for _ in range(self._workers):
            self._todo.put(None)
            self._finished.put(None)
        with self._fetcher_lock:
            fetcher, self._fetcher = self._fetcher, None
        if fetcher is not None:
            fetcher.__exit__(None, None, None)
        deadline = time.monotonic() + _LEAVE_S
        for thread in self._threads:
            _join(thread, deadline - time.monotonic())
        _join(self._feeder, 0.1)  # it may hang in a pipe that never ends; it is a daemon

    # Threads

    def _start(self, target: Callable[[], None]) -> threading.Thread:
        name = f"visioncli-{target.__name__.strip('_')}"
        thread = threading.Thread(target=self._guarded(target), name=name, daemon=True)
        thread.start()
        return thread

    def _guarded(self, step: Callable[..., None]) -> Callable[..., None]:
        """Return `step` with what it raises going to the caller, who would else wait for ever."""

        def run(*arguments: Any) -> None:
            try:
                step(*arguments)
            except BaseException as error:  # noqa: BLE001  # a thread's boundary
                self._ledger.abort(error)

        return run

    def _feed(self) -> None:
        source = iter(self._refs)
        while True:
            try:
                ref = next(source)
            except StopIteration:
                return self._ledger.end(None)
            except BaseException as error:  # noqa: BLE001  # the source's, for the caller
                return self._ledger.end(error)
            row = self._ledger.admit(ref, ref.uri is not None and is_remote(ref.uri))
            if row is None:
                return None
            self._dispatch(row)

    def _dispatch(self, row: Row) -> None:
        ref = row.ref
        if ref.error is not None:
            self._finish([(row, Failure(ref, None, ref.error))])
        elif self._known(ref, None):
            self._finish([(row, Kept(ref, None))])
        elif row.is_remote:
            self._fetch(row)
        else:
            self._todo.put(row)

    def _fetch(self, row: Row) -> None:
        assert row.ref.uri is not None
        with self._fetcher_lock:
            if self._ledger.closed:
                return
            if self._fetcher is None:
                self._fetcher = Fetcher(self._settings.fetch).__enter__()
            future = self._fetcher.submit(row.ref.uri, row.ref.seen)
        future.add_done_callback(self._guarded(partial(self._fetched, row)))

    def _fetched(self, row: Row, future: Future[Fetched | Unchanged]) -> None:
        if future.cancelled():
            return  # the caller left
        try:
            row.fetched = future.result()
        except RowError as error:
            self._finish([(row, Failure(row.ref, None, error))])
        else:
            self._ledger.landed(row, len(row.fetched.data) if isinstance(row.fetched, Fetched) else 0)
            self._todo.put(row)

    def _work(self) -> None:
        while (row := self._todo.get()) is not None and not self._ledger.closed:
            try:
                self._prepare(row)
            except RowError as error:
                self._finish([(row, Failure(row.ref, row.facts, error))])

    def _prepare(self, row: Row) -> None:
        outcome = self._identify(row)
        if self._save is None and outcome is None:
            if self._recent.wait_for(row):
                return self._ledger.stand_aside(row)
            if (outcome := self._recent.find(row)) is not None:
                self._meter.add(reused=1)
        if outcome is not None:
            return self._finish([(row, outcome)])
        started = time.perf_counter()
        self._decode(row)
        self._meter.add(decode_s=time.perf_counter() - started)
        batch_key = self._predictor.batch_key(self._options, row.inputs)
        self._ledger.make_ready(row, batch_key, size_of(row.inputs) + _pixel_bytes(row))
        return None

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
        except MemoryError as error:
            raise PredictError("out_of_memory", "there was not enough memory to prepare the picture") from error
        except (ValueError, TypeError, OverflowError, RuntimeError) as error:
            raise PredictError("preprocess_failed", f"preprocessing failed: {error}") from error
        needs_pixels = self._save is not None and self._save.needs_pixels
        row.sample = sample if needs_pixels else replace(sample, image=None)  # the model's are in `inputs` now

    def _run_device(self) -> None:
        forward = SafeForward(self._predictor, self._ledger.batch_size)
        while rows := self._ledger.next_batch():
            started = time.perf_counter()
            self._predictor.prepare(self._options)
            outputs = forward([row.inputs for row in rows], self._options)
            self._meter.hold("device", time.perf_counter() - started)
            self._meter.add(inferred=len(rows))
            self._ledger.batch_size, self._ledger.device_answers = forward.limit, forward.has_answered
            sizes = [size_of(output) + _pixel_bytes(row) for row, output in zip(rows, outputs, strict=True)]
            self._ledger.release(rows, sizes)
            portion = len(rows) if self._save is None else 1  # what is saved may be large, and is let go when it was
            for at in range(0, len(rows), portion):
                self._finished.put((rows[at : at + portion], outputs[at : at + portion]))

    def _postprocess(self) -> None:
        while (item := self._finished.get()) is not None and not self._ledger.closed:
            rows, outputs = item
            answered = [(row, output) for row, output in zip(rows, outputs, strict=True) if not _failed(output)]
            with self._saving.of(0 if self._save is None else _BYTES_PER_PIXEL * sum(map(_original_pixels, rows))):
                started = time.perf_counter()
                found = self._results([row for row, _ in answered], [output for _, output in answered])
                self._meter.add(results_s=time.perf_counter() - started)
            found += [(row, Failure(row.ref, row.facts, o)) for row, o in zip(rows, outputs, strict=True) if _failed(o)]
            for row in rows:
                row.sample = None
            self._finish(found)

    def _results(self, rows: list[Row], outputs: list[Any]) -> list[tuple[Row, Outcome]]:
        """Return the rows' outcomes; where memory does not reach for all at once, one by one."""
        try:
            samples = [row.sample for row in rows if row.sample is not None]  # all have one by now
            results = self._predictor.postprocess(outputs, samples, self._options)
            if self._save is not None:
                results = [self._save.write(sample, result) for sample, result in zip(samples, results, strict=True)]
        except MemoryError:
            if len(rows) > 1:
                return [
                    found for row, output in zip(rows, outputs, strict=True) for found in self._results([row], [output])
                ]
            error = PredictError("out_of_memory", "there was not enough memory for the picture's result")
            return [(rows[0], Failure(rows[0].ref, rows[0].facts, error))]
        answers = (Answer(row.ref, row.facts or Facts(), result) for row, result in zip(rows, results, strict=True))
        return list(zip(rows, answers, strict=True))

    def _finish(self, outcomes: list[tuple[Row, Outcome]]) -> None:
        """Record the rows' outcomes, and those of the rows with equal pictures that waited for them."""
        twins: list[tuple[Row, Outcome]] = []
        for row, outcome in outcomes:
            twins += self._recent.settle(row, outcome)
        if twins:
            self._meter.add(reused=len(twins))
        self._ledger.finish(outcomes + twins)


def _pixel_bytes(row: Row) -> int:
    """What the row holds of its picture for whoever saves its result."""
    return 0 if row.sample is None or row.sample.image is None else row.sample.image.nbytes


def _original_pixels(row: Row) -> int:
    height, width = (row.facts and row.facts.size) or (0, 0)
    return height * width


def _failed(output: Any) -> bool:
    return isinstance(output, PredictError)


def _join(thread: threading.Thread, timeout_s: float) -> None:
    if thread is not threading.current_thread():  # a forgotten generator is closed by whichever thread collects it
        thread.join(max(0.0, timeout_s))


def _extra_key(ref: ImageRef) -> Hashable:
    return repr(sorted(ref.extra.items())) if ref.extra else None
