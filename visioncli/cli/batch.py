"""classify and embed: flags to a Job, a Job to an exit code."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Annotated, Any

import typer

from visioncli.cli.options import FailOn, SharedFlags, flag, with_flags
from visioncli.cli.values import amount, auto_or_count, duration_s, header, items
from visioncli.errors import UsageError

if TYPE_CHECKING:
    from visioncli.jobs import Job

log = logging.getLogger("visioncli")

Inputs = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="INPUT...", help="Images, folders, globs, URLs, .tar, manifests (.csv .tsv .jsonl .parquet .txt), or -."
    ),
]
_TASK = "Task"
_DECIDES_NO_ANSWER = frozenset(  # where, how fast and how loudly: taken from the environment unannounced
    "output offline device workers per_host timeout retries header ca_cert max_error_rate fail_on max_runtime dry_run "  # noqa: SIM905
    "quiet verbose progress summary null unique_ids inputs".split()
)


@with_flags(SharedFlags)
def classify(
    ctx: typer.Context,
    inputs: Inputs = None,
    labels: Annotated[
        str,
        flag(
            "--labels",
            "-l",
            panel=_TASK,
            metavar="A,B,C|@FILE",
            help="What the pictures may show; @FILE has one a line.",
        ),
    ] = "",
    template: Annotated[
        list[str] | None,
        flag(
            "--template",
            panel=_TASK,
            metavar="'a photo of a {}'",
            help="How a label becomes a sentence; several are averaged. (default: {})",
        ),
    ] = None,
    scoring: Annotated[
        str,
        flag(
            "--scoring",
            panel=_TASK,
            metavar="softmax|sigmoid|cosine",
            help="softmax: one of the labels; sigmoid: each by itself; cosine: raw similarity.",
        ),
    ] = "softmax",
    top_k: Annotated[
        int | None, flag("--top-k", "-k", panel=_TASK, min=1, help="Keep the best K labels. (default: all)")
    ] = None,
    *,
    flags: SharedFlags,
) -> None:
    """Zero-shot classification: every picture against a list of labels."""
    from visioncli.tasks.classify import ClassifyOptions

    if not labels:
        raise UsageError("--labels is needed: --labels 'cat,dog' or --labels @labels.txt")
    options = ClassifyOptions(items(labels, "--labels"), tuple(template or ("{}",)), scoring, top_k)
    _finish(ctx, _job("classify", options, inputs, flags), flags)


@with_flags(SharedFlags)
def embed(
    ctx: typer.Context,
    inputs: Inputs = None,
    text: Annotated[
        list[str] | None, flag("--text", "-t", panel=_TASK, help="Embed this text in place of INPUT; repeatable.")
    ] = None,
    text_col: Annotated[
        str | None, flag("--text-col", panel=_TASK, help="The manifest's column of texts: beside its images, or alone.")
    ] = None,
    no_normalize: Annotated[
        bool, flag("--no-normalize", panel=_TASK, help="Keep the vectors' lengths, which are made 1 otherwise.")
    ] = False,
    store: Annotated[
        str, flag("--store", panel=_TASK, metavar="float32|float16", help="Numbers that vectors are stored in.")
    ] = "float32",
    *,
    flags: SharedFlags,
) -> None:
    """Embeddings of pictures, of texts, or of both."""
    from visioncli.tasks.embed import EmbedOptions

    if text and text_col:
        raise UsageError("--text and --text-col exclude each other")
    column = "text" if text else text_col
    options = EmbedOptions(not no_normalize, image=not text, text_column=column, store=store)
    _finish(ctx, _job("embed", options, inputs, flags, tuple(text or ()), text_col), flags)


def _job(
    task: str,
    options: Any,
    inputs: list[str] | None,
    flags: SharedFlags,
    texts: tuple[str, ...] = (),
    text_column: str | None = None,
) -> Job:
    from visioncli.io.decode import DecodeOptions
    from visioncli.io.fetch import FetchOptions
    from visioncli.jobs import Device, Job, ListingOptions, Policy, Settings

    if flags.output is None:
        raise UsageError(
            "-o is needed: -o out.parquet, -o out.jsonl, -o DIR/, or -o - for JSON lines on standard output"
        )
    fetch = FetchOptions(
        timeout_s=flags.timeout,
        retries=flags.retries,
        per_host=flags.per_host,
        max_bytes=amount(flags.max_bytes, "--max-bytes"),
        headers=tuple(header(line) for line in flags.header or ()),
        ca_cert=flags.ca_cert,
        guard=flags.guard,
    )
    decode = DecodeOptions(max_pixels=amount(flags.max_pixels, "--max-pixels"), alpha=flags.alpha, exact=flags.exact)
    return Job(
        task=task,
        options=options,
        output=flags.output,
        inputs=tuple(inputs or ()),
        texts=texts,
        model=flags.model,
        revision=flags.revision,
        offline=flags.offline,
        device=Device(flags.device, flags.dtype.value, auto_or_count(flags.batch_size, "--batch-size")),
        listing=ListingOptions(
            image_column=flags.image_col,
            id_column=flags.id_col,
            text_column=text_column,
            version_column=flags.version_col,
            null_separated=flags.null,
        ),
        settings=Settings(fetch=fetch, decode=decode, workers=auto_or_count(flags.workers, "--workers")),
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
    )


def _finish(ctx: typer.Context, job: Job, flags: SharedFlags) -> None:
    """Run the job with progress and a summary on standard error, and exit as the contract says."""
    from visioncli.cli import console

    console.set_up(quiet=flags.quiet, verbose=flags.verbose)
    _announce_environment(ctx)
    if flags.dry_run:
        console.dry_run(job)
        return
    summary = console.run(job, flags.progress, flags.quiet)
    if summary is None:  # nobody reads our standard output any more
        return
    console.show(summary, flags.quiet)
    if flags.summary:
        console.write_summary(summary, flags.summary)
    failed = {FailOn.any: sum(summary.failed.values()), FailOn.new: summary.new_failures, FailOn.none: 0}
    raise typer.Exit(3 if failed[flags.fail_on] else 0)


def _announce_environment(ctx: typer.Context) -> None:
    """Say which values came from the environment and change answers."""
    for parameter in ctx.command.params:
        name = parameter.name or ""
        source = ctx.get_parameter_source(name)
        if name not in _DECIDES_NO_ANSWER and source is not None and source.name == "ENVIRONMENT":
            log.warning("%s=%s comes from %s", parameter.opts[0], ctx.params[name], parameter.envvar)
