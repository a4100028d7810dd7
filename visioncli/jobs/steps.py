"""The order of a run's steps. Each is whole or absent, so that the same command goes on wherever it was stopped.

locate the model -> lock -> list (or find the snapshot) -> compare run keys -> load -> parts -> publish -> summary
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from visioncli import engines, models
from visioncli.errors import OutOfTimeError, UsageError
from visioncli.io import hub
from visioncli.jobs import standing as standing_answers
from visioncli.jobs.job import Job, Progress, Stop, answer_key, row_key
from visioncli.jobs.listings import Listed, list_inputs, list_previous
from visioncli.jobs.parts import Shard, Table, Tally, output_schema, write_parts
from visioncli.jobs.previous import Previous
from visioncli.jobs.provenance import provenance
from visioncli.jobs.rows import answer_schema
from visioncli.jobs.rundir import RunDirectory, refuse_other_key
from visioncli.jobs.snapshot import Snapshot, plan_snapshot, write_snapshot
from visioncli.jobs.summary import LIGHT, Summary, count, summarise
from visioncli.jobs.targets import Target, part_tables
from visioncli.meter import Meter
from visioncli.models.runtime import RuntimeRequest
from visioncli.pipeline import answer
from visioncli.provenance import Checkpoint
from visioncli.tables import look_up
from visioncli.tasks import TASKS, Task

log = logging.getLogger("visioncli")
_REPORT_EVERY_S = 0.1


def run(job: Job, stop: Stop | None = None) -> Summary:
    """Do the whole job and return its summary. Raises what `steps` raises."""
    work = steps(job, stop)
    while True:
        try:
            next(work)
        except StopIteration as end:
            summary: Summary = end.value
            return summary


def steps(job: Job, stop: Stop | None = None) -> Generator[Progress, None, Summary]:
    """Do the job, yielding progress about ten times a second; the summary is the generator's return value.

    Raises UsageError (before any image is read), ModelError, DeviceError, OutputError, NotNowError, and
    `stop.reason` after the open part was closed.
    """
    stop = stop or Stop()
    target = Target.of(job.output)
    if target.kind == "stdout":
        from visioncli.jobs.stream import stream

        return (yield from stream(job, stop))
    target.recover()
    refuse_finished(job, target)
    checkpoint = locate(job)
    directory = target.run_directory()
    try:
        return (yield from Run(job, stop, target, directory, checkpoint).steps())
    finally:
        directory.release()


def locate(job: Job) -> Checkpoint:
    """Return the job's checkpoint, saying aloud what a person should know of it before any image is read."""
    checkpoint = hub.locate(job.model or hub.DEFAULTS[job.task], job.task, job.revision, job.offline, log.info)
    if checkpoint.notice:
        log.warning(checkpoint.notice)
    return checkpoint


def refuse_finished(job: Job, target: Target) -> None:
    policy = job.policy
    if policy.retry_failed and not target.is_finished:
        raise UsageError(f"--retry-failed needs a finished output, and {target.path} is none")
    if target.is_finished and policy.mode == "run" and not policy.overwrite:
        raise UsageError(
            f"{target.path} is there already; say --overwrite (ask all again), --update (ask what changed) "
            "or --retry-failed (ask failed rows again)"
        )


@dataclass
class Run:
    """One job at work in its locked run directory."""

    job: Job
    stop: Stop
    target: Target
    directory: RunDirectory
    checkpoint: Checkpoint
    meter: Meter = field(default_factory=Meter)

    def steps(self) -> Generator[Progress, None, Summary]:
        task: Task[Any, Any] = look_up(TASKS, self.job.task, "task")
        resumed = self._resumable()
        previous = self._previous()
        listed = self._listed(task, previous, resumed)
        options = task.for_rows(self.job.options, listed.has_images)
        self._settle_key(options, previous)
        snapshot = self._snapshot(previous)
        self.stop.check()

        predictor = models.load(self.checkpoint, self.job.task, self._request(snapshot.rows))
        key = self._settle_key(options, previous, predictor.info.resolved)
        predictor.check(options)
        log.debug("model: %s", predictor.info)
        for name, choice in predictor.info.choices.items():
            log.debug("%s: %s (%s)", name, choice.value, choice.reason)
        answers = answer_schema(task, options, predictor.info, self._has_stale(previous))
        known_as = provenance(key, predictor.info)
        output = output_schema(snapshot.schema, answers).with_metadata({"visioncli": json.dumps(known_as)})
        standing = self._standing(previous, snapshot, options, task)

        started, begun_with = time.monotonic(), sum(end - first for first, end, _ in self.directory.parts())
        make_worker = partial(self._worker, predictor, snapshot, Table(task, options, answers, output), standing)
        yield from self._work(make_worker, snapshot.rows, begun_with)
        seconds = time.monotonic() - started
        return self._publish(output, previous, begun_with, seconds, listed, predictor.info.choices)

    # Before the model

    def _resumable(self) -> bool:
        """Whether an unfinished run of this mode is here; forgets it with --no-resume, or when it never began."""
        stored = self.directory.key
        if stored is None or not self.directory.snapshot.exists() or not self.job.policy.resume:
            self.directory.clear()
            return False
        if stored.get("mode") != self.job.policy.mode:
            raise UsageError(
                f"an unfinished run with mode {stored.get('mode')!r} is in {self.directory.path}; "
                "finish it with the same command, or say --no-resume to begin anew"
            )
        return True

    def _previous(self) -> Previous | None:
        """Open the finished output that this run continues or replaces."""
        if not self.target.is_finished:
            return None
        text_column = next(iter(look_up(TASKS, self.job.task, "task").reads(self.job.options)), None)
        try:
            previous = Previous.open(self.target.path, self.directory.path, text_column)
        except UsageError:
            if self.job.policy.mode != "run":
                raise
            return None  # --overwrite replaces anything
        return previous if previous.rows else None

    def _listed(self, task: Task[Any, Any], previous: Previous | None, resumed: bool) -> Listed:
        if resumed:
            return Listed.of(self.directory.snapshot)
        if self.job.policy.retry_failed and previous is not None:
            version = self.job.listing.version_column
            return list_previous(previous, self.directory.snapshot, task, self.job.options, version)
        return list_inputs(self.job, task, self.directory.snapshot, self.stop)

    def _settle_key(
        self, options: Any, previous: Previous | None, resolved: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Compare with the key of the unfinished run and of the output that is continued; keep the settled one."""
        stored = self.directory.key
        answers = answer_key(self.job, options, self.checkpoint.commit, self.checkpoint.id)
        rows = row_key(self.job)
        key = {"mode": self.job.policy.mode, "answers": answers, "rows": rows, "resolved": resolved}
        key = dict(json.loads(json.dumps(key)))  # as it will be read back: tuples are lists
        if stored is not None:
            compared = {**key, "resolved": resolved if stored.get("resolved") else None}
            known = stored if resolved is not None else {**stored, "resolved": None}
            refuse_other_key(known, compared, "the unfinished run was begun", "say --no-resume to begin anew")
        if previous is not None and self.job.policy.mode != "run":
            self._refuse_other_output(previous, key)
        if stored is None or resolved is not None:
            self.directory.write_key(key)
        return key

    def _refuse_other_output(self, previous: Previous, key: Mapping[str, Any]) -> None:
        theirs: dict[str, Any] = previous.provenance["key"]
        parts = ["answers", *(["rows"] if self.job.policy.retry_failed else [])]
        old, new = ({part: _without_stamps(whole[part]) for part in parts} for whole in (theirs, key))
        advice = "say --overwrite to ask all again"
        refuse_other_key(old, new, f"{self.target.path} was made", advice)
        if key["resolved"]:
            same = [name for name in key["resolved"] if name != "batch_size"]
            old, new = ({name: whole["resolved"][name] for name in same} for whole in (theirs, key))
            refuse_other_key(old, new, f"{self.target.path} was made", advice)

    def _snapshot(self, previous: Previous | None) -> Snapshot:
        snapshot = Snapshot(self.directory.snapshot)
        if self.job.policy.update and previous is not None:
            text_column = previous.text_column
            planner = standing_answers.Planner(previous, standing_answers.snapshot_identities(snapshot), text_column)
            plan_snapshot(self.directory.snapshot, planner)
            snapshot = Snapshot(self.directory.snapshot)
        return snapshot

    def _request(self, rows: int) -> RuntimeRequest:
        asked = self.job.device
        return RuntimeRequest(device=asked.device, dtype=asked.dtype, batch_size=asked.batch_size, rows=rows)

    # With the model

    def _has_stale(self, previous: Previous | None) -> bool:
        kept = self.job.policy.retry_failed and previous is not None and "stale" in previous.schema.names
        return self.job.policy.update or kept

    def _standing(
        self, previous: Previous | None, snapshot: Snapshot, options: Any, task: Task[Any, Any]
    ) -> standing_answers.Standing | None:
        if previous is None or self.job.policy.mode == "run":
            return None
        text_column = next(iter(task.reads(options)), None)
        return standing_answers.Standing(previous, snapshot, text_column, renew=self.job.policy.update)

    def _worker(
        self, predictor: Any, snapshot: Snapshot, table: Table, standing: standing_answers.Standing | None, tally: Tally
    ) -> Callable[[Shard], Iterator[Tally]]:
        def work(shard: Shard) -> Iterator[Tally]:
            refs = snapshot.refs(shard.first, shard.end, table.task.reads(table.options))
            known = standing.known if standing else None
            settings = self.job.settings
            outcomes = answer(refs, predictor, table.options, settings, known=known, stop=self.stop, meter=self.meter)
            rate = self.job.policy.max_error_rate
            return write_parts(shard, outcomes, snapshot, self.directory, table, standing, tally, rate)

        return work

    def _work(self, make_worker: Callable[..., Any], rows: int, begun_with: int) -> Iterator[Progress]:
        tally = _tally_of(self.directory)
        shards = [Shard(first, end) for first, end in self.directory.gaps(rows)]
        reported = 0.0
        with deadline(self.job.policy.max_runtime_s, self.stop):
            yield Progress(tally.rows, rows, tally.failed.total(), begun_with)
            for _ in engines.local(partial(make_worker, tally), shards):
                if time.monotonic() - reported > _REPORT_EVERY_S:
                    reported = time.monotonic()
                    yield Progress(tally.rows, rows, tally.failed.total(), begun_with)
        if self.directory.gaps(rows):
            self.stop.check()
        yield Progress(tally.rows, rows, tally.failed.total(), begun_with)

    def _publish(
        self,
        output: pa.Schema,
        previous: Previous | None,
        begun_with: int,
        seconds: float,
        listed: Listed,
        choices: Any,
    ) -> Summary:
        total = count(_light_tables(self.directory), previous)
        updated = self.job.policy.update and previous is not None
        summary = summarise(
            self.job.output,
            total,
            self.meter,
            begun_with,
            seconds,
            repeated_ids=listed.repeated_ids,
            changes=total.changes() if updated else None,
            choices={name: {"value": str(c.value), "reason": c.reason} for name, c in choices.items()},
        )
        self.target.publish(self.directory, output, summary.to_json())
        return summary


class deadline:
    """Asks `stop` to end the run after some seconds; None: never."""

    def __init__(self, seconds: float | None, stop: Stop) -> None:
        reason = OutOfTimeError("--max-runtime is over; finished parts are kept, the same command goes on from here")
        self._timer = None if seconds is None else threading.Timer(seconds, stop.request, [reason])

    def __enter__(self) -> None:
        if self._timer is not None:
            self._timer.daemon = True
            self._timer.start()

    def __exit__(self, *_: object) -> None:
        if self._timer is not None:
            self._timer.cancel()


def _without_stamps(part: Mapping[str, Any]) -> dict[str, Any]:
    """A finished output's failed rows may be asked again whatever became of the manifest."""
    return {name: value for name, value in part.items() if name != "manifests"}


def _light_tables(directory: RunDirectory) -> Iterator[pa.Table]:
    for _, _, path in directory.parts():
        names = [name for name in LIGHT if name in pq.read_schema(path).names]
        yield pq.read_table(path, columns=names, use_threads=False)


def _tally_of(directory: RunDirectory) -> Tally:
    tally = Tally()
    total = count(_light_tables(directory), None)
    tally.ok, tally.failed = total.ok, total.failed
    return tally
