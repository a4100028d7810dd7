"""What is settled before anything is listed: the model, and whether the output may be written.

Knows nothing of rows.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from visioncli.errors import UsageError
from visioncli.io import hub
from visioncli.io.fetch import trust
from visioncli.jobs.job import Job
from visioncli.jobs.keys import is_same_command, row_key, run_key
from visioncli.jobs.rundir import RunDirectory
from visioncli.jobs.side_files import sweep_leftover
from visioncli.jobs.summary import Summary
from visioncli.jobs.targets import Target
from visioncli.provenance import Checkpoint
from visioncli.tables import look_up
from visioncli.tasks import TASKS, Task

log = logging.getLogger("visioncli")


def resolve(job: Job) -> hub.Found:
    """Return what the job's model is, saying aloud what a person should know of it; fetches nothing.

    Raises ModelError (not found, gated, not cached), HubUnreachableError, UsageError.
    """
    task: Task[Any, Any] = look_up(TASKS, job.task, "task")
    kind = task.default_for(job.options)
    found = hub.resolve(job.model or hub.DEFAULTS[kind], kind, job.revision, job.offline)
    if found.checkpoint.notice:
        log.warning(found.checkpoint.notice)
    return found


def fetch(found: hub.Found) -> Checkpoint:
    """Return the checkpoint once its files are here. Raises ModelError, HubUnreachableError, OutputError."""
    return hub.fetched(found, log.info)


def refuse_unusable(job: Job) -> None:
    """Raise UsageError for what is named beside the rows and cannot be used: a certificate, a folder for drawings."""
    trust(job.settings.fetch.ca_cert)  # now: the first URL may come after hours of files
    _refuse_no_folder(job)


def _refuse_no_folder(job: Job) -> None:
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


def is_published(job: Job, stored: Mapping[str, Any], checkpoint: Checkpoint) -> bool:
    """Return whether the run of `stored`, which was killed before it cleaned up, did what this job is to do."""
    task: Task[Any, Any] = look_up(TASKS, job.task, "task")
    options = task.for_rows(job.options, stored["finished"]["has_images"])
    return is_same_command(stored, run_key(job, options, checkpoint, row_key(job), None, None))


def published_before(job: Job, target: Target, directory: RunDirectory, checkpoint: Checkpoint) -> Summary | None:
    """Clean up after a run that was killed between publishing its output and cleaning up; return its summary.

    None when there is nothing to clean up, or when that run did something else than this job is to do.
    """
    stored = target.leftover()
    if stored is None:
        return None
    sweep_leftover(target, stored)
    target.clean_up(directory)
    if not is_published(job, stored, checkpoint):
        return None
    log.info("%s had been written already; what its run left behind is cleaned up", target.path)
    return Summary.of_json(stored["finished"]["summary"])
