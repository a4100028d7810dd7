"""The order of a run's steps. Each is whole or absent, so that the same command goes on wherever it was stopped.

resolve the model's name -> lock -> list (or find the snapshot) -> compare run keys -> fetch the model -> load -> parts
-> publish -> summary

Whatever is wrong with a command is found before its model is fetched, and what an earlier run had finished is
forgotten only then.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from visioncli import models
from visioncli.errors import UsageError
from visioncli.io.hub import Found
from visioncli.jobs.beginning import Beginning
from visioncli.jobs.checks import fetch, published_before, refuse_finished, refuse_unusable, resolve
from visioncli.jobs.job import Job, Progress, Stop, deadline
from visioncli.jobs.listings import Listed, list_inputs, list_previous
from visioncli.jobs.previous import Previous
from visioncli.jobs.rundir import RunDirectory
from visioncli.jobs.snapshot import Snapshot, plan_snapshot
from visioncli.jobs.standing import Planner, snapshot_identities
from visioncli.jobs.summary import Summary
from visioncli.jobs.targets import Target
from visioncli.jobs.work import Work
from visioncli.models.runtime import RuntimeRequest
from visioncli.tasks import Task


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
    `stop.reason` after the open part was closed; where rows were asked by then, `stop.so_far` has what was done.
    """
    stop = stop or Stop()
    with deadline(job.policy.max_runtime_s, stop):
        return (yield from _steps(job, stop))


def _steps(job: Job, stop: Stop) -> Generator[Progress, None, Summary]:
    target = Target.of(job.output)
    if target.kind == "stdout":
        from visioncli.jobs.stream import stream

        return (yield from stream(job, stop))
    refuse_unusable(job)
    target.recover()
    if target.leftover() is None:
        refuse_finished(job, target)
    found = resolve(job)
    with closing(target.run_directory()) as directory:
        done = published_before(job, target, directory, found.checkpoint)
        if done is not None:
            return done
        refuse_finished(job, target)  # again: another run may have finished it before this one had the lock
        # Before the listing: a manifest that changes meanwhile is another one.
        beginning = Beginning.of(job, target, directory, found.checkpoint)
        return (yield from Run(job, stop, target, directory, found, beginning).steps())


@dataclass(frozen=True)
class Run:
    """One job in its locked run directory, on the way to what is asked of which rows."""

    job: Job
    stop: Stop
    target: Target
    directory: RunDirectory
    found: Found  # the model, perhaps still to be fetched
    beginning: Beginning

    def steps(self) -> Generator[Progress, None, Summary]:
        task = self.beginning.task
        resumed = self.beginning.is_resumed()
        if not resumed:
            self.directory.clear_scratch()
        previous = self._previous(task)
        listed = self._listed(task, previous, resumed)
        options = task.for_rows(self.job.options, listed.has_images)
        key = self.beginning.key(options)
        self._compare(key, resumed, previous)
        self.stop.check()
        checkpoint = fetch(self.found)  # before the key is kept: where nothing was fetched, nothing was begun
        if not resumed:
            self.directory.begin()
        self._settle(key, resumed, previous)
        snapshot = self._snapshot(previous)
        self.stop.check()
        predictor = models.load(checkpoint, self.job.task, self._request(snapshot.rows, resumed))
        key["resolved"] = predictor.info.resolved
        self._settle(key, resumed, previous)
        predictor.check(options)
        work = Work(self.job, task, options, predictor, key, listed, snapshot, previous)
        return (yield from work.steps(self.directory, self.target, self.stop))

    def _previous(self, task: Task[Any, Any]) -> Previous | None:
        """Open the finished output that this run continues or replaces."""
        if not self.target.is_finished:
            return None
        text_column = next(iter(task.reads(self.job.options)), None)
        try:
            return Previous.open(self.target.path, self.directory.path, text_column)
        except UsageError:
            if self.job.policy.mode != "run":
                raise
            return None  # --overwrite replaces anything

    def _listed(self, task: Task[Any, Any], previous: Previous | None, resumed: bool) -> Listed:
        if resumed:
            return Listed.of(self.directory.snapshot)
        if self.job.policy.retry_failed and previous is not None:
            has_versions = self.job.listing.version_column is not None
            return list_previous(previous, self.directory.draft, task, self.job.options, has_versions)
        return list_inputs(self.job, task, self.directory.draft, self.stop)

    def _compare(self, key: dict[str, Any], resumed: bool, previous: Previous | None) -> None:
        """Compare with the key of the unfinished run and of the output that is continued. Raises UsageError."""
        self.beginning.refuse_others(key, resumed, None if previous is None else previous.provenance)

    def _settle(self, key: dict[str, Any], resumed: bool, previous: Previous | None) -> None:
        """Compare, and keep the settled key."""
        self._compare(key, resumed, previous)
        stored = self.directory.key if self.directory.parts() else None
        if stored is None or (key["resolved"] and not stored["resolved"]):
            self.directory.write_key(key)

    def _snapshot(self, previous: Previous | None) -> Snapshot:
        path = self.directory.snapshot
        if self.job.policy.update and previous is not None:
            plan_snapshot(path, Planner(previous, snapshot_identities(Snapshot(path)), previous.text_column))
        return Snapshot(path)

    def _request(self, rows: int, resumed: bool) -> RuntimeRequest:
        """Return what to load. An automatic batch size follows the memory that is free; a resumed run keeps its own."""
        asked, stored = self.job.device, self.directory.key
        before = (stored["resolved"] or {}).get("batch_size") if resumed and stored is not None else None
        batch_size, resumes = (before, True) if asked.batch_size is None and before else (asked.batch_size, False)
        return RuntimeRequest(asked.device, asked.dtype, batch_size, rows, asked.hailo, resumes)
