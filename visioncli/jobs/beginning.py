"""Where a run begins: anew, or where an earlier one was stopped. Looks only: writes nothing, and fetches nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from visioncli.errors import UsageError
from visioncli.jobs.job import Job
from visioncli.jobs.keys import refuse_other_output, refuse_other_run, row_key, run_key
from visioncli.jobs.rundir import RunFiles
from visioncli.jobs.targets import Target
from visioncli.provenance import Checkpoint
from visioncli.tables import look_up
from visioncli.tasks import TASKS, Task
from visioncli.wording import counted

_BEGUN = {  # a policy's mode -> how its run was begun
    "run": "without --update or --retry-failed",
    "update": "with --update",
    "retry-failed": "with --retry-failed",
}


@dataclass(frozen=True)
class Beginning:
    """A job at its output, before its rows are known; `rows` says what decides which they are (`keys.row_key`)."""

    job: Job
    target: Target
    directory: RunFiles
    checkpoint: Checkpoint  # its files need not be here
    rows: dict[str, Any]

    @classmethod
    def of(cls, job: Job, target: Target, directory: RunFiles, checkpoint: Checkpoint) -> Beginning:
        return cls(job, target, directory, checkpoint, row_key(job))

    @property
    def task(self) -> Task[Any, Any]:
        task: Task[Any, Any] = look_up(TASKS, self.job.task, "task")
        return task

    def key(self, options: Any) -> dict[str, Any]:
        """Return the run's key before its model is loaded."""
        # What tells the output that is continued from any other: the snapshot holds its row numbers.
        continued = self.target.stamp() if self.job.policy.mode != "run" and self.target.is_finished else None
        return run_key(self.job, options, self.checkpoint, self.rows, continued, None)

    def is_resumed(self) -> bool:
        """Return whether an unfinished run of this mode goes on; else what it left may be forgotten.

        Raises UsageError where it cannot go on, and holds finished parts.
        """
        stored, parts = self.directory.key, self.directory.parts()
        if not self.job.policy.resume or not parts:
            return False  # a command that was refused, or was stopped before its first part, locks nothing
        if stored is None:
            raise UsageError(
                f"{self.directory.path} holds {counted(len(parts), 'finished part')}, but its run.json is damaged, so "
                "that nobody can tell what they answer; move them away, or say --no-resume to delete them and begin "
                "anew"
            )
        if not self.directory.snapshot.exists():
            return False
        if stored["mode"] != self.job.policy.mode:
            raise UsageError(
                f"an unfinished run {_BEGUN[stored['mode']]} is in {self.directory.path}; "
                "finish it with the same command, or say --no-resume to begin anew"
            )
        return True

    def refuse_others(self, key: dict[str, Any], resumed: bool, made_with: dict[str, Any] | None) -> None:
        """Raise UsageError unless a run of `key` may go on here.

        `made_with` is what the finished output says of itself, where there is one of ours.
        """
        stored = self.directory.key if resumed else None
        if stored is not None:
            refuse_other_run(stored, key)
        if made_with is not None and self.job.policy.mode != "run":
            refuse_other_output(str(self.target.path), made_with["key"], key)
