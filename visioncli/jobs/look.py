"""--dry-run: what a job would do, and what it would be refused for, found without loading or writing anything.

Follows `steps` and `stream` as far as these go before they fetch a model.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pyarrow.compute as pc

from visioncli.io.hub import Found, refuse_without_room
from visioncli.io.listing import Listing
from visioncli.jobs.beginning import Beginning
from visioncli.jobs.checks import is_published, refuse_finished, refuse_unusable, resolve
from visioncli.jobs.job import Job, Stop
from visioncli.jobs.listings import Listed, Texts, announce_remarks, refuse_repeats, survey_job
from visioncli.jobs.previous import rows_of, said_by
from visioncli.jobs.side_files import side_folder
from visioncli.jobs.snapshot import ROWS, Snapshot
from visioncli.jobs.stream import surveyed
from visioncli.jobs.targets import Target
from visioncli.wording import counted


def look_at(job: Job) -> Iterator[str]:
    """Yield sentences: the model, the rows, where they go. Raises what the run would raise before it fetches."""
    target = Target.of(job.output).recovered()
    yield from _streamed(job) if target.kind == "stdout" else _kept(job, target)


def _streamed(job: Job) -> Iterator[str]:
    listing, _, options = surveyed(job, Stop())
    model = _model(resolve(job))
    endless = f"rows to {job.task}: those that standard input names, as they arrive"
    rows = endless if "-" in job.inputs else f"{counted(_rows(job, listing), 'row')} to {job.task}"
    yield from (model, rows, *_beside(job, options))
    yield "nothing was done; without --dry-run the rows go to standard output"


def _kept(job: Job, target: Target) -> Iterator[str]:
    refuse_unusable(job)
    stored = target.leftover()
    if stored is None:
        refuse_finished(job, target)
    found = resolve(job)
    if stored is not None and is_published(job, stored, found.checkpoint):
        yield f"{target.path} was written already; without --dry-run what its run left behind is cleaned up"
        return
    refuse_finished(job, target)
    files = target.run_files()
    files.refuse_unwritable()
    files.refuse_locked()
    yield from [_model(found), *_settled(Beginning.of(job, target, files, found.checkpoint))]


def _settled(beginning: Beginning) -> Iterator[str]:
    job, made_with = beginning.job, _made_with(beginning)
    resumed = beginning.is_resumed()
    has_images, rows = (_unfinished if resumed else _again if job.policy.retry_failed else _listed)(beginning)
    options = beginning.task.for_rows(job.options, has_images)
    beginning.refuse_others(beginning.key(options), resumed, made_with)
    yield rows
    if not resumed and beginning.directory.parts():
        yield f"the unfinished run in {beginning.directory.path} is forgotten"
    yield from _beside(job, options)
    yield f"nothing was done; without --dry-run the rows go to {job.output}{_instead(beginning)}"


def _made_with(beginning: Beginning) -> dict[str, Any] | None:
    """Return what the output that is continued says of itself."""
    continues = beginning.target.is_finished and beginning.job.policy.mode != "run"
    return said_by(beginning.target.place, beginning.directory.path) if continues else None


def _unfinished(beginning: Beginning) -> tuple[bool, str]:
    """Return whether there are images, and a sentence on the rows; as the next two do."""
    files = beginning.directory
    done = sum(end - first for first, end, _ in files.parts())
    rows = counted(Snapshot(files.snapshot).rows, "row")
    said = f"{rows} to {beginning.job.task}, {done:,} of them done: the unfinished run in {files.path} goes on"
    return Listed.of(files.snapshot).has_images, said


def _again(beginning: Beginning) -> tuple[bool, str]:
    rows, failed, has_images = 0, 0, False
    for table in rows_of(beginning.target.place, beginning.directory.path, ["source", "status"]):
        rows += len(table)
        failed += pc.sum(pc.equal(table["status"], "error")).as_py() or 0
        has_images = has_images or table["source"].null_count < len(table)
    return has_images, f"{counted(rows, 'row')}, {failed:,} of them failed: those to {beginning.job.task} again"


def _listed(beginning: Beginning) -> tuple[bool, str]:
    job = beginning.job
    listing = survey_job(job, beginning.task, Stop())
    beginning.task.for_rows(job.options, listing.has_images)  # before the walk, which may be long
    return listing.has_images, f"{counted(_rows(job, listing), 'row')} to {job.task}"


def _rows(job: Job, listing: Listing | Texts) -> int:
    """Count the rows that the run would take, and say what is left out. Raises UsageError."""
    with closing(listing.batches(ROWS, job.limit)) as batches:
        rows = sum(map(len, batches))
    announce_remarks(listing)
    refuse_repeats(job, listing)
    return rows


def _model(found: Found) -> str:
    refuse_without_room(found)
    model = f"model {found.checkpoint.id} at {found.checkpoint.commit}"
    if not found.missing:
        return f"{model} in {found.checkpoint.directory}"
    missing = f"{counted(len(found.missing), 'file')}, {found.size / 1e6:.1f} MB"
    return f"{model}: {missing} to be fetched into {found.checkpoint.directory}"


def _beside(job: Job, options: Any) -> Iterator[str]:
    folder = side_folder(job, options)
    if folder is not None:
        yield f"the files that rows name go to {folder}"
    if job.overlay is not None:
        yield f"drawings go to {job.overlay}"


def _instead(beginning: Beginning) -> str:
    """Say what becomes of a finished output."""
    if not beginning.target.is_finished:
        return ""
    replaced = {"run": "in place of what is there", "update": "where answers that still stand are kept"}
    return f", {replaced.get(beginning.job.policy.mode, 'where the other answers stand')}"
