"""Flags to a Job, a Job to an exit code: what every command that turns pictures into rows shares."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from visioncli.cli.given import announce
from visioncli.cli.hailo_options import hailo_of
from visioncli.cli.options import FailOn, ReadFlags, SharedFlags
from visioncli.cli.summary_file import refuse_unusable_summary, write_summary
from visioncli.cli.values import amount, auto_or_count, duration_s, header
from visioncli.errors import OutputError, ReaderLeftError, UsageError, VisioncliError

if TYPE_CHECKING:
    from visioncli.io.fetch import FetchOptions
    from visioncli.io.listing import ListingOptions
    from visioncli.jobs import Job, Summary
    from visioncli.settings import Settings

log = logging.getLogger("visioncli")

Inputs = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="INPUT", help="Images, folders, globs, URLs, .tar, manifests (.csv .tsv .jsonl .parquet .txt), or -."
    ),
]


def make_job(
    task: str,
    options: Any,
    inputs: list[str] | None,
    flags: SharedFlags,
    texts: tuple[str, ...] = (),
    text_column: str | None = None,
    focal_column: str | None = None,
    overlay: str | None = None,
) -> Job:
    """Return what the flags ask for. Raises UsageError."""
    from visioncli.jobs import Device, Job, Policy

    if flags.output is None:
        raise UsageError(
            "-o is needed: -o out.parquet, -o out.jsonl, -o DIR/, or -o - for JSON lines on standard output"
        )
    return Job(
        task=task,
        options=options,
        output=flags.output,
        inputs=tuple(inputs or ()),
        texts=texts,
        model=flags.model,
        revision=flags.revision,
        offline=flags.offline,
        device=Device(
            flags.device,
            flags.dtype.value,
            auto_or_count(flags.batch_size, "--batch-size"),
            hailo_of(flags, task),
        ),
        listing=replace(
            listing_options(flags),
            text_column=text_column,
            focal_column=focal_column,
            version_column=flags.version_col,
        ),
        settings=settings(flags),
        policy=Policy(
            resume=not flags.no_resume,
            overwrite=flags.overwrite,
            update=flags.update,
            retry_failed=flags.retry_failed,
            max_error_rate=flags.max_error_rate,
            max_runtime_s=duration_s(flags.max_runtime, "--max-runtime") if flags.max_runtime is not None else None,
            unique_ids=flags.unique_ids,
        ),
        limit=flags.limit,
        overlay=overlay,
    )


def listing_options(flags: ReadFlags) -> ListingOptions:
    """Return how INPUTs become rows."""
    from visioncli.io.listing import ListingOptions

    return ListingOptions(image_column=flags.image_col, id_column=flags.id_col, null_separated=flags.null)


def settings(flags: ReadFlags) -> Settings:
    """Return how pictures are got and decoded. Raises UsageError."""
    from visioncli.io.decode import DecodeOptions
    from visioncli.settings import Settings

    return Settings(
        fetch=fetch_options(flags),
        decode=DecodeOptions(max_pixels=amount(flags.max_pixels, "--max-pixels"), alpha=flags.alpha, exact=flags.exact),
        workers=auto_or_count(flags.workers, "--workers"),
    )


def fetch_options(flags: ReadFlags) -> FetchOptions:
    """Return how files and URLs are got. Raises UsageError."""
    from visioncli.io.fetch import FetchOptions

    return FetchOptions(
        timeout_s=flags.timeout,
        retries=flags.retries,
        per_host=flags.per_host,
        max_bytes=amount(flags.max_bytes, "--max-bytes"),
        headers=tuple(header(line) for line in flags.header or ()),
        ca_cert=flags.ca_cert,
        guard=flags.guard,
    )


def finish(ctx: typer.Context, job: Job, flags: SharedFlags, stray: Callable[[str], bool] = lambda name: False) -> None:
    """Run the job with progress and a summary on standard error, and exit as the contract says.

    `stray` names parameters that the job was not made from.
    """
    from visioncli.cli import console
    from visioncli.jobs import Stop

    console.set_up(quiet=flags.quiet, verbose=flags.verbose)
    announce(ctx, stray)
    refuse_unusable_summary(flags.summary, job.output, job.inputs)
    if flags.dry_run:
        console.dry_run(job)
        return
    stop = Stop()
    try:
        summary = console.run(job, stop, flags.progress, flags.quiet)
    except VisioncliError as error:
        _tell_of_end(error, job, stop.so_far, flags)
        raise
    failed = {FailOn.any: sum(summary.failed.values()), FailOn.new: summary.new_failures, FailOn.none: 0}
    console.show(summary, flags.quiet, warns=bool(failed[flags.fail_on]))
    if flags.summary:
        write_summary(summary.to_json(), flags.summary)
    raise typer.Exit(3 if failed[flags.fail_on] else 0)


def _tell_of_end(error: VisioncliError, job: Job, so_far: Summary | None, flags: SharedFlags) -> None:
    """Say what a run had done that an error ended. What was refused was no run, and leaves the summary of one alone."""
    from visioncli.cli import console

    if so_far is not None and not isinstance(error, ReaderLeftError):
        console.show(so_far, flags.quiet, warns=True)
    if flags.summary is None or (so_far is None and isinstance(error, UsageError)):
        return
    begun = {"output": job.output, "finished": False, "error_code": error.code, "error": str(error)}
    try:
        write_summary(begun if so_far is None else so_far.to_json(), flags.summary)
    except (OutputError, ReaderLeftError) as second:  # the first is the one that ends the command
        log.warning(second)
