"""The flags that commands share, in groups; each also reads VISIONCLI_<FLAG>.

A group is a frozen dataclass of typer annotations; `with_flags` puts its fields into a command's signature and hands
the command one value of it. Knows nothing of what the flags do.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields
from enum import StrEnum
from typing import Annotated, Any, get_type_hints

import typer

from visioncli.errors import UsageError


class Show(StrEnum):
    auto = "auto"
    bar = "bar"
    plain = "plain"
    json = "json"
    none = "none"


class FailOn(StrEnum):
    any = "any"
    new = "new"
    none = "none"


class Dtype(StrEnum):
    auto = "auto"
    float32 = "float32"
    bfloat16 = "bfloat16"
    float16 = "float16"


def flag(*names: str, panel: str, help: str, **more: Any) -> Any:
    """A typer option that also reads VISIONCLI_<its first long name>; its value is text."""
    long = next(name for name in names if name.startswith("--")).split("/")[0]
    envvar = "VISIONCLI_" + long.removeprefix("--").replace("-", "_").upper()
    more = {"callback": _refuse_other_bytes} | more
    return typer.Option(*names, help=help, rich_help_panel=panel, envvar=envvar, show_envvar=False, **more)


def _refuse_other_bytes(param: typer.CallbackParam, value: Any) -> Any:
    """Return a flag's value. Raises UsageError where it is no text: labels are read by models, outputs by others."""
    for text in value if isinstance(value, (list, tuple)) else [value]:
        if isinstance(text, str) and not text.isascii():
            from visioncli.samples import legible

            if legible(text) != text:
                raise UsageError(f"{param.opts[0]}: {legible(text)} is not UTF-8; only INPUTs may be of other bytes")
    return value


TASK_PANEL = "Task"
_OUT, _MODEL, _INPUT, _FETCH, _RUN, _SAY = "Output", "Model", "Input", "Fetch and decode", "Run", "What is said"


@dataclass(frozen=True)
class ReadFlags:
    """Flags of every command that reads pictures from INPUTs."""

    # fmt: off  # one flag, one line: they are read as a table
    image_col: Annotated[
        str | None,
        flag(
            "--image-col",
            panel=_INPUT,
            metavar="COLUMN",
            help="The manifest's column of paths or URLs. (default: a usual name, announced)",
        ),
    ] = None
    id_col: Annotated[
        str | None,
        flag(
            "--id-col", panel=_INPUT, metavar="COLUMN", help="The manifest's column of ids. (default: id, else derived)"
        ),
    ] = None
    null: Annotated[bool, flag("--null", "-0", panel=_INPUT, help="Names on standard input end with NUL.")] = False
    limit: Annotated[int | None, flag("--limit", panel=_INPUT, min=1, help="Take the first N rows.")] = None

    workers: Annotated[str, flag("--workers", panel=_FETCH, metavar="auto|N", help="Threads that read and decode.")] = (
        "auto"
    )
    per_host: Annotated[int, flag("--per-host", panel=_FETCH, min=1, help="Requests to one host at a time.")] = 8
    timeout: Annotated[
        float, flag("--timeout", panel=_FETCH, min=0.001, metavar="S", help="Seconds for one whole answer.")
    ] = 30.0
    retries: Annotated[
        int, flag("--retries", panel=_FETCH, min=0, help="Further attempts on 429, 5xx and lost connections.")
    ] = 3
    header: Annotated[
        list[str] | None, flag("--header", panel=_FETCH, metavar="'K: V'", help="Sent with every request; repeatable.")
    ] = None
    ca_cert: Annotated[
        str | None, flag("--ca-cert", panel=_FETCH, metavar="FILE", help="Certificates to trust, PEM.")
    ] = None
    guard: Annotated[bool, flag("--guard", panel=_FETCH, help="Refuse URLs that lead to private addresses.")] = False
    max_bytes: Annotated[
        str, flag("--max-bytes", panel=_FETCH, metavar="N[k|M|G]", help="Larger files fail their row.")
    ] = "128M"
    max_pixels: Annotated[
        str,
        flag(
            "--max-pixels",
            panel=_FETCH,
            metavar="N[k|M|G]",
            help="Larger pictures fail their row, before memory is spent.",
        ),
    ] = "100M"
    alpha: Annotated[
        str,
        flag("--alpha", panel=_FETCH, metavar="white|black|drop|#RRGGBB", help="What is behind transparent pixels."),
    ] = "white"
    exact: Annotated[bool, flag("--exact", panel=_FETCH, help="Never decode a JPEG at a reduced size.")] = False
    # fmt: on


@dataclass(frozen=True)
class SharedFlags(ReadFlags):
    """Flags of every command that turns inputs into rows."""

    # fmt: off  # one flag, one line: they are read as a table
    output: Annotated[
        str | None,
        flag(
            "--output",
            "-o",
            panel=_OUT,
            metavar="FILE|DIR/|-",
            help="FILE.parquet, FILE.jsonl, DIR/ (parts), or - (JSON lines on standard output).",
        ),
    ] = None
    overwrite: Annotated[
        bool, flag("--overwrite", panel=_OUT, help="Replace a finished output, asking every row again.")
    ] = False
    update: Annotated[
        bool, flag("--update", panel=_OUT, help="Ask only what is new or changed since the finished output.")
    ] = False
    retry_failed: Annotated[
        bool, flag("--retry-failed", panel=_OUT, help="Ask only the rows that failed in the finished output.")
    ] = False
    no_resume: Annotated[bool, flag("--no-resume", panel=_OUT, help="Forget an unfinished run on this output.")] = False

    model: Annotated[
        str | None,
        flag(
            "--model",
            "-m",
            panel=_MODEL,
            metavar="ID|DIR|ALIAS|demo",
            help="Hub id, local directory, alias (see `visioncli models list`), or demo.",
        ),
    ] = None
    revision: Annotated[
        str | None, flag("--revision", panel=_MODEL, metavar="REVISION", help="Branch, tag or commit of the hub id.")
    ] = None
    device: Annotated[
        str, flag("--device", panel=_MODEL, metavar="auto|cpu|cuda[:n]|mps|hailo[:n]", help="Where the model runs.")
    ] = "auto"
    dtype: Annotated[Dtype, flag("--dtype", panel=_MODEL, help="Numbers the model computes in.")] = Dtype.auto
    batch_size: Annotated[
        str, flag("--batch-size", panel=_MODEL, metavar="auto|N", help="Pictures per forward pass.")
    ] = "auto"
    offline: Annotated[bool, flag("--offline", panel=_MODEL, help="Never reach for the model hub.")] = False

    version_col: Annotated[
        str | None,
        flag(
            "--version-col",
            panel=_INPUT,
            metavar="COLUMN",
            help="A column that changes when the picture does (for --update).",
        ),
    ] = None
    unique_ids: Annotated[bool, flag("--unique-ids", panel=_INPUT, help="Refuse ids that repeat.")] = False

    max_error_rate: Annotated[
        float | None,
        flag(
            "--max-error-rate",
            panel=_RUN,
            min=0,
            max=1,
            metavar="R",
            help="Stop when more than this share of at least 100 rows failed.",
        ),
    ] = None
    fail_on: Annotated[FailOn, flag("--fail-on", panel=_RUN, help="Which failed rows make the exit code 3.")] = (
        FailOn.any
    )
    max_runtime: Annotated[
        str | None,
        flag(
            "--max-runtime",
            panel=_RUN,
            metavar="4h",
            help="Stop this long after the start (90s, 30m, 1h30m), exit 75; resumable, but for -o -.",
        ),
    ] = None
    dry_run: Annotated[
        bool, flag("--dry-run", panel=_RUN, help="Check the whole command, say what it would do, and do nothing.")
    ] = False

    quiet: Annotated[bool, flag("--quiet", "-q", panel=_SAY, help="Only warnings and errors.")] = False
    verbose: Annotated[bool, flag("--verbose", "-v", panel=_SAY, help="Each automatic choice with its reason.")] = False
    progress: Annotated[Show, flag("--progress", panel=_SAY, help="How progress is shown on standard error.")] = (
        Show.auto
    )
    summary: Annotated[
        str | None, flag("--summary", panel=_SAY, metavar="FILE.json|-", help="Write the run's summary as JSON.")
    ] = None
    # fmt: on


def with_flags(group: type[Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Decorate a command `f(ctx, ..., flags)`: typer sees the group's fields, `f` gets one value of the group."""
    hints = get_type_hints(group, include_extras=True)
    names = [field.name for field in fields(group)]

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        own = [p for p in inspect.signature(command, eval_str=True).parameters.values() if p.name != "flags"]
        kind = inspect.Parameter.KEYWORD_ONLY
        shared = [
            inspect.Parameter(field.name, kind, default=field.default, annotation=hints[field.name])
            for field in fields(group)
            if field.default is not MISSING
        ]

        @functools.wraps(command)
        def wrapper(**given: Any) -> None:
            command(flags=group(**{name: given.pop(name) for name in names}), **given)

        parameters = [p.replace(kind=kind) for p in own] + shared
        wrapper.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        wrapper.__annotations__ = {p.name: p.annotation for p in parameters}
        return wrapper

    return decorate
