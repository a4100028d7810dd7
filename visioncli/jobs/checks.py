"""What is settled before anything is listed: the checkpoint, and whether the output may be written.

Knows nothing of rows.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from visioncli.errors import UsageError
from visioncli.io import hub
from visioncli.jobs.job import Job
from visioncli.jobs.keys import is_same_command, row_key, run_key
from visioncli.jobs.rundir import RunDirectory
from visioncli.jobs.summary import Summary
from visioncli.jobs.targets import Target
from visioncli.provenance import Checkpoint
from visioncli.tables import look_up
from visioncli.tasks import TASKS, Task

log = logging.getLogger("visioncli")


def locate(job: Job) -> Checkpoint:
    """Return the job's checkpoint, saying aloud what a person should know of it before any image is read."""
    task: Task[Any, Any] = look_up(TASKS, job.task, "task")
    kind = task.default_for(job.options)
    checkpoint = hub.locate(job.model or hub.DEFAULTS[kind], kind, job.revision, job.offline, log.info)
    if checkpoint.notice:
        log.warning(checkpoint.notice)
    return checkpoint


def refuse_no_folder(job: Job) -> None:
    """Raise UsageError where drawings have no folder to go to, or one that goes when its output is replaced."""
    if job.overlay is None:
        return
    folder = Path(job.overlay).absolute()
    there = next(place for place in (folder, *folder.parents) if place.exists())
    if not job.overlay or not there.is_dir():
        raise UsageError(
            f"--overlay {job.overlay!r} is no folder" + ("" if there == folder else f": {there} is a file")
        )
    target = Target.of(job.output)
    if target.kind == "folder" and folder.is_relative_to(target.path.absolute()):
        raise UsageError(f"--overlay {job.overlay} lies in the output {target.path}, which is replaced as a whole")


def refuse_finished(job: Job, target: Target) -> None:
    """Raise UsageError when the job may not touch what is at its output, or misses what it needs there."""
    policy = job.policy
    if policy.retry_failed and not target.is_finished:
        raise UsageError(f"--retry-failed needs a finished output, and {target.path} is none")
    if target.is_finished and policy.mode == "run" and not policy.overwrite:
        raise UsageError(
            f"{target.path} is there already; say --overwrite (ask all again), --update (ask what changed) "
            "or --retry-failed (ask failed rows again)"
        )


def published_before(job: Job, target: Target, directory: RunDirectory, checkpoint: Checkpoint) -> Summary | None:
    """Clean up after a run that was killed between publishing its output and cleaning up; return its summary.

    None when there is nothing to clean up, or when that run did something else than this job is to do.
    """
    stored = target.leftover()
    if stored is None:
        return None
    target.clean_up(directory)
    task: Task[Any, Any] = look_up(TASKS, job.task, "task")
    options = task.for_rows(job.options, stored["finished"]["has_images"])
    if not is_same_command(stored, run_key(job, options, checkpoint, row_key(job), None, None)):
        return None
    log.info("%s had been written already; what its run left behind is cleaned up", target.path)
    return Summary.of_json(stored["finished"]["summary"])
