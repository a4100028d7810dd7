"""What each way of giving a command has no use for, as tables: which flags, and why. See `given.without`."""

from __future__ import annotations

import os

import typer

from visioncli.cli.given import Idle, exclusive, is_given, on_command_line
from visioncli.cli.summary_file import is_standard_output

_COLUMNS = frozenset({"image_col", "id_col", "version_col", "focal_col"})
_PICTURES = frozenset(  # how they are found, fetched and decoded
    "image_col id_col version_col null unique_ids per_host timeout retries header ca_cert guard max_bytes max_pixels "  # noqa: SIM905
    "alpha exact".split()
)
_KEPT = frozenset("no_resume overwrite update retry_failed unique_ids".split())  # noqa: SIM905
_NEEDS_A_FILE = _KEPT, "needs an output file; -o - streams and keeps nothing"
_NEEDS_ANOTHER = frozenset({"summary"}), "needs a file here: the rows go to standard output"
_TEXT_TOWER = frozenset({"text_hef", "text_embeddings"})


def _inputs(ctx: typer.Context) -> list[bytes]:
    return [os.fsencode(name) for name in ctx.params.get("inputs") or () if name]


def _streams(ctx: typer.Context) -> bool:
    return bool(ctx.params["output"] == "-")


def _summary_is_shown(ctx: typer.Context) -> bool:
    return is_standard_output(ctx.params["summary"])


def _has_no_table(ctx: typer.Context) -> bool:
    """Whether columns are named of INPUTs that have none; they are looked at only then."""
    names = _inputs(ctx)
    if not names or not any(is_given(ctx, name) for name in _COLUMNS):
        return False
    from visioncli.io.sources import TABLES, classified

    return not any(kind in TABLES for kind, _ in classified(names, None))


def _is_hailo(ctx: typer.Context) -> bool:
    device = ctx.params["device"] or ()
    return any(name.partition(":")[0] == "hailo" for name in ([device] if isinstance(device, str) else device))


def _of_texts(ctx: typer.Context) -> bool:
    return bool(ctx.params["text"]) and not ctx.params["inputs"] and not on_command_line(ctx, "text_col")


def _has_no_vectors(ctx: typer.Context) -> bool:
    """Whether near-duplicates are asked of a result that has none; it is opened only then."""
    paths = ctx.params["results"]
    if ctx.params["diff"] or len(paths) != 1 or not is_given(ctx, "min_score"):
        return False
    from visioncli.report import Results
    from visioncli.report.vectors import column_of

    with Results(paths[0]) as results:
        return results.task != "embed" or column_of(results) is None


VOICE = tuple(exclusive("quiet", "verbose"))
READING = (
    Idle(lambda ctx: b"-" not in _inputs(ctx), frozenset({"null"}), "is for names on standard input: give - as INPUT"),
    Idle(_has_no_table, _COLUMNS, "names a column, but no INPUT is a .csv, .tsv, .jsonl or .parquet"),
)
JOB = (
    *VOICE,
    *exclusive("overwrite", "update", "retry_failed"),
    Idle(_streams, *_NEEDS_A_FILE),
    Idle(lambda ctx: _streams(ctx) and _summary_is_shown(ctx), *_NEEDS_ANOTHER),
)
HAILO = (
    Idle(lambda ctx: not _is_hailo(ctx), frozenset({"hef"}), "needs --device hailo"),
    Idle(
        lambda ctx: not _is_hailo(ctx) or ctx.params["hef"] is None,
        _TEXT_TOWER | {"device_timeout_ms"},
        "needs --device hailo with --hef FILE.hef",
    ),
)
EMBED = (
    *exclusive("text", "text_col"),
    Idle(
        lambda ctx: bool(ctx.params["inputs"]), frozenset({"text"}), "takes the place of INPUT; give one or the other"
    ),
    Idle(_of_texts, _PICTURES, "has no use with --text: no picture is read"),
    Idle(
        lambda ctx: not (ctx.params["text"] or ctx.params["text_col"]),
        _TEXT_TOWER,
        "is for texts, and there are none: give --text or --text-col",
    ),
)
DEPTH = tuple(exclusive("focal", "focal_col"))
PARITY = (
    Idle(lambda ctx: not ctx.params["labels"], _TEXT_TOWER, "is for texts, and there are none: give --labels"),
    Idle(_summary_is_shown, frozenset({"summary"}), "needs a file here: the comparison is printed on standard output"),
)
SIMILAR = (
    *VOICE,
    *exclusive("overwrite", "update", "retry_failed"),
    Idle(lambda ctx: ctx.params["index"] is None and _streams(ctx), *_NEEDS_A_FILE),
    Idle(lambda ctx: _streams(ctx) and _summary_is_shown(ctx), *_NEEDS_ANOTHER),
    *READING,
    *HAILO,
)
REPORT = (
    Idle(
        lambda ctx: bool(ctx.params["diff"]),
        frozenset({"seed", "min_score", "summary"}),
        "belongs to one result; leave it out with --diff",
    ),
    Idle(
        lambda ctx: not ctx.params["diff"],
        frozenset({"max_flips", "max_drift", "max_new_failures"}),
        "belongs to --diff OLD NEW",
    ),
    Idle(
        lambda ctx: ctx.params["diff"] and ctx.params["output"] is None,
        frozenset({"overwrite", "sample", "root", "fetch", "progress"}),
        "is about the page: say where it goes with -o FILE.html",
    ),
    Idle(_has_no_vectors, frozenset({"min_score"}), "is about near-duplicates, and this result holds no embeddings"),
)
