"""Flags to a Job, a Job to an exit code: what every command that turns pictures into rows shares."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from visioncli.cli.given import announce
from visioncli.cli.hailo_options import hailo_of
from visioncli.cli.options import FailOn, ReadFlags, SharedFlags
from visioncli.cli.values import amount, auto_or_count, duration_s, header
from visioncli.errors import UsageError

if TYPE_CHECKING:
    from visioncli.io.fetch import FetchOptions
    from visioncli.io.listing import ListingOptions
    from visioncli.jobs import Job
    from visioncli.settings import Settings

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
            max_runtime_s=duration_s(flags.max_runtime, "--max-runtime") if flags.max_runtime else None,
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

    console.set_up(quiet=flags.quiet, verbose=flags.verbose)
    announce(ctx, stray)
    if flags.dry_run:
        console.dry_run(job)
        return
    summary = console.run(job, flags.progress, flags.quiet)
    console.show(summary, flags.quiet)
    if flags.summary:
        console.write_summary(summary.to_json(), flags.summary)
    failed = {FailOn.any: sum(summary.failed.values()), FailOn.new: summary.new_failures, FailOn.none: 0}
    raise typer.Exit(3 if failed[flags.fail_on] else 0)
