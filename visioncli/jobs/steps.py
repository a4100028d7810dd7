"""The order of a run's steps. Each is whole or absent, so that the same command goes on wherever it was stopped.

locate the model -> lock -> list (or find the snapshot) -> compare run keys -> load -> parts -> publish -> summary
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from visioncli import models
from visioncli.errors import UsageError
from visioncli.jobs.checks import locate, published_before, refuse_finished, refuse_unusable
from visioncli.jobs.job import Job, Progress, Stop, deadline
from visioncli.jobs.keys import refuse_other_output, refuse_other_run, row_key, run_key
from visioncli.jobs.listings import Listed, list_inputs, list_previous
from visioncli.jobs.previous import Previous
from visioncli.jobs.rundir import RunDirectory
from visioncli.jobs.snapshot import Snapshot, plan_snapshot
from visioncli.jobs.standing import Planner, snapshot_identities
from visioncli.jobs.summary import Summary
from visioncli.jobs.targets import Target
from visioncli.jobs.work import Work
from visioncli.models.runtime import RuntimeRequest
from visioncli.provenance import Checkpoint
from visioncli.tables import look_up
from visioncli.tasks import TASKS, Task

_BEGUN = {  # a policy's mode -> how its run was begun
    "run": "without --update or --retry-failed",
    "update": "with --update",
    "retry-failed": "with --retry-failed",
}


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
    refuse_unusable(job)
    target.recover()
    if target.leftover() is None:
        refuse_finished(job, target)
    checkpoint = locate(job)
    with closing(target.run_directory()) as directory, deadline(job.policy.max_runtime_s, stop):
        done = published_before(job, target, directory, checkpoint)
        if done is not None:
            return done
        refuse_finished(job, target)  # again: another run may have finished it before this one had the lock
        return (yield from Run(job, stop, target, directory, checkpoint).steps())


@dataclass(frozen=True)
class Run:
    """One job in its locked run directory, on the way to what is asked of which rows."""

    job: Job
    stop: Stop
    target: Target
    directory: RunDirectory
    checkpoint: Checkpoint

    def steps(self) -> Generator[Progress, None, Summary]:
        task: Task[Any, Any] = look_up(TASKS, self.job.task, "task")
        rows = row_key(self.job)  # before the listing: a manifest that changes meanwhile is another one
        resumed = self._resumable(task, rows)
        previous = self._previous(task)
        listed = self._listed(task, previous, resumed)
        options = task.for_rows(self.job.options, listed.has_images)
        key = self._key(options, rows)
        self._settle(key, previous)
        snapshot = self._snapshot(previous)
        self.stop.check()
        predictor = models.load(self.checkpoint, self.job.task, self._request(snapshot.rows, resumed))
        key["resolved"] = predictor.info.resolved
        self._settle(key, previous)
        predictor.check(options)
        work = Work(self.job, task, options, predictor, key, listed, snapshot, previous)
        return (yield from work.steps(self.directory, self.target, self.stop))

    def _key(self, options: Any, rows: dict[str, Any]) -> dict[str, Any]:
        """The run's key before its model is loaded."""
        # What tells the output that is continued from any other: the snapshot holds its row numbers.
        continued = self.target.stamp() if self.job.policy.mode != "run" and self.target.is_finished else None
        return run_key(self.job, options, self.checkpoint, rows, continued, None)

    def _resumable(self, task: Task[Any, Any], rows: dict[str, Any]) -> bool:
        """Whether an unfinished run of this mode is here; forgets it with --no-resume, or when it never began."""
        stored, parts = self.directory.key, self.directory.parts()
        if stored is None and parts and self.job.policy.resume:
            raise UsageError(
                f"{self.directory.path} holds {len(parts)} finished parts, but its run.json is damaged, so that nobody "
                "can tell what they answer; move them away, or say --no-resume to delete them and begin anew"
            )
        if stored is None or not self.directory.snapshot.exists() or not self.job.policy.resume:
            self.directory.clear()
            return False
        if not self.directory.parts() and not self._is_listed(stored, task, rows):
            self.directory.clear()  # a command that was refused, or was stopped before its first part, locks nothing
            return False
        if stored["mode"] != self.job.policy.mode:
            raise UsageError(
                f"an unfinished run {_BEGUN[stored['mode']]} is in {self.directory.path}; "
                "finish it with the same command, or say --no-resume to begin anew"
            )
        return True

    def _is_listed(self, stored: dict[str, Any], task: Task[Any, Any], rows: dict[str, Any]) -> bool:
        """Whether the listing of a run that has no part yet is the one that this run would make."""
        if stored["rows"] != self._key(self.job.options, rows)["rows"]:
            return False
        options = task.for_rows(self.job.options, Listed.of(self.directory.snapshot).has_images)
        return {**stored, "resolved": None} == self._key(options, rows)

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
            return list_previous(previous, self.directory.snapshot, task, self.job.options, has_versions)
        return list_inputs(self.job, task, self.directory.snapshot, self.stop)

    def _settle(self, key: dict[str, Any], previous: Previous | None) -> None:
        """Compare with the key of the unfinished run and of the output that is continued; keep the settled one."""
        stored = self.directory.key if self.directory.parts() else None
        if stored is not None:
            refuse_other_run(stored, key)
        if previous is not None and self.job.policy.mode != "run":
            refuse_other_output(str(self.target.path), previous.provenance["key"], key)
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
