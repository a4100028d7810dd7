"""`-o -`: JSON lines on standard output, in order, as they come. No snapshot, no run directory, no resuming."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any

import pyarrow as pa

from visioncli import models
from visioncli.errors import UsageError
from visioncli.io.json_lines import json_lines
from visioncli.io.listing import Listing, refs
from visioncli.io.standard import put
from visioncli.jobs.checks import fetch, refuse_unusable, resolve
from visioncli.jobs.ending import ending
from visioncli.jobs.job import Job, Progress, Stop
from visioncli.jobs.keys import answer_key
from visioncli.jobs.listings import Texts, announce_remarks, survey_job
from visioncli.jobs.parts import Tally, beside, output_schema
from visioncli.jobs.rows import answer_schema
from visioncli.jobs.side_files import Folders, refuse_files_of_a_stream, saving
from visioncli.jobs.standing import Outcome, merged_table
from visioncli.jobs.summary import Count, Summary, summarise
from visioncli.meter import Meter
from visioncli.models.runtime import RuntimeRequest
from visioncli.pipeline import bursts
from visioncli.samples import ImageRef
from visioncli.tables import look_up
from visioncli.tasks import TASKS, Task
from visioncli.wording import counted

_BATCH_ROWS = 1024


def stream(job: Job, stop: Stop) -> Generator[Progress, None, Summary]:
    """Do a job whose output is standard output. Raises what `steps` raises; ReaderLeftError when nobody reads on."""
    listing, task, options = surveyed(job, stop)
    checkpoint = fetch(resolve(job))
    asked = job.device
    request = RuntimeRequest(asked.device, asked.dtype, asked.batch_size, hailo=asked.hailo)
    predictor = models.load(checkpoint, job.task, request)
    predictor.check(options)
    answers = answer_schema(task, options, predictor.info, stale=False, drawn=job.overlay is not None)
    schema = output_schema(listing.schema, answers)
    meter, tally, total, started = Meter(), Tally(), Count(None), time.monotonic()
    batches = listing.batches(_BATCH_ROWS, job.limit)
    rows = Rows(batches, task.reads(options))
    known_by = answer_key(job, options, checkpoint.commit, checkpoint.id)
    save = saving(job, options, Folders.of(job, known_by, predictor.info))
    together = bursts(rows, predictor, options, job.settings, save=save, stop=stop, meter=meter)

    def summary() -> Summary:
        repeated, seconds = listing.progress.explicit_repeats, time.monotonic() - started
        return summarise("-", total, meter, 0, seconds, repeated_ids=repeated)

    with ending(stop, lambda: replace(summary(), finished=False, rows_left=None), _after), closing(together):
        for outcomes in together:
            table = beside(rows.take(len(outcomes)), merged_table(outcomes, task, options, answers, None), schema)
            put(json_lines(table))
            total.add(table)
            _count(outcomes, tally, job.policy.max_error_rate)
            yield Progress(tally.done, None, tally.failed, 0)
        if rows.are_left():
            stop.check()
    batches.close()
    announce_remarks(listing)
    return summary()


def _after(done: Summary) -> str:
    were = "was" if done.rows == 1 else "were"
    return f"{counted(done.rows, 'row')} {were} written, and a stream is not gone on with: the same command begins anew"


def surveyed(job: Job, stop: Stop) -> tuple[Listing | Texts, Task[Any, Any], Any]:
    """Return the rows, their task and its options for them.

    Raises UsageError for what cannot be streamed, and `stop.reason`.
    """
    _refuse_resuming(job)
    refuse_unusable(job)
    task: Task[Any, Any] = look_up(TASKS, job.task, "task")
    listing = survey_job(job, task, stop)
    options = task.for_rows(job.options, listing.has_images)
    refuse_files_of_a_stream(job, options)
    return listing, task, options


def _count(outcomes: list[Outcome], tally: Tally, max_error_rate: float | None) -> None:
    for outcome in outcomes:
        tally.add(outcome)
        tally.check(max_error_rate)


def _refuse_resuming(job: Job) -> None:
    policy = job.policy
    flags = {
        "--no-resume": not policy.resume,
        "--overwrite": policy.overwrite,
        "--update": policy.update,
        "--retry-failed": policy.retry_failed,
        "--unique-ids": policy.unique_ids,
    }
    given = [flag for flag, on in flags.items() if on]
    if given:
        raise UsageError(f"{given[0]} needs an output file; -o - streams and keeps nothing")


class Rows:
    """A listing's rows as references, its record batches held until their rows are written."""

    def __init__(self, batches: Iterator[pa.RecordBatch], extras: tuple[str, ...]) -> None:
        self._batches, self._extras = batches, extras
        self._held: deque[pa.Table] = deque()  # appended by the feeder, taken by the caller: each at its own end
        self._ended = False

    def __iter__(self) -> Iterator[ImageRef]:
        first = 0
        for batch in self._batches:
            self._held.append(pa.Table.from_batches([batch]))
            yield from refs(batch, first, self._extras)
            first += len(batch)
        self._ended = True

    def are_left(self) -> bool:
        """Whether some were not taken, or may come yet."""
        return bool(self._held) or not self._ended

    def take(self, count: int) -> pa.Table:
        """Return the inputs of the next `count` rows."""
        pieces: list[pa.Table] = []
        while count:
            held = self._held[0]
            pieces.append(held.slice(0, count))
            count -= len(pieces[-1])
            if len(pieces[-1]) < len(held):
                self._held[0] = held.slice(len(pieces[-1]))
            else:
                self._held.popleft()
        return pa.concat_tables(pieces).combine_chunks()  # made into text a chunk at a time
