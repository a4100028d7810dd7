"""--dry-run: what a job would do, found without locking, loading or writing anything."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from visioncli.jobs.checks import locate, refuse_finished, refuse_no_folder
from visioncli.jobs.job import Job
from visioncli.jobs.listings import survey_job
from visioncli.jobs.targets import Target
from visioncli.tables import look_up
from visioncli.tasks import TASKS, Task


def look_at(job: Job) -> Iterator[str]:
    """Yield sentences: the model, the rows, what is there already. Raises what the run would raise so far."""
    task: Task[Any, Any] = look_up(TASKS, job.task, "task")
    target = Target.of(job.output)
    refuse_no_folder(job)
    refuse_finished(job, target)
    checkpoint = locate(job)
    yield f"model {checkpoint.id} at {checkpoint.commit} in {checkpoint.directory}"
    listing = survey_job(job, task)
    task.for_rows(job.options, listing.has_images)
    rows = sum(len(batch) for batch in listing.batches())
    taken = rows if job.limit is None else min(rows, job.limit)
    yield f"{taken:,} rows to {job.task}" + (f", the first of {rows:,}" if taken < rows else "")
    if target.kind != "stdout" and target.beside.exists():
        yield f"an unfinished run is in {target.beside}"
    yield f"nothing was done; without --dry-run the rows go to {'standard output' if job.output == '-' else job.output}"
