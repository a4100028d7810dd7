"""The command line: flags, progress, exit codes. typer lives only here.

Nothing heavy is imported before a command runs, so that --help and completion answer at once.
"""

from __future__ import annotations

import resource
import signal
import sys
from contextlib import suppress
from typing import Annotated, Any, NoReturn

import typer

from visioncli.cli import streams
from visioncli.cli.batch import classify, embed
from visioncli.cli.commands import Command, Group, Helped
from visioncli.cli.complaints import sentence
from visioncli.cli.depth import depth
from visioncli.cli.doctor import doctor
from visioncli.cli.find import detect, segment
from visioncli.cli.models import models_app
from visioncli.cli.parity import parity
from visioncli.cli.report import report
from visioncli.cli.serve import serve_compat
from visioncli.cli.similar import similar
from visioncli.errors import (
    InterruptedRunError,
    NotNowError,
    ReaderLeftError,
    RunError,
    UsageError,
    VisioncliError,
)

EXIT = {UsageError: 2, RunError: 1, NotNowError: 75, ReaderLeftError: 0}


def exit_code(error: VisioncliError) -> int:
    """Return the contract's exit code for an error that ended a command."""
    if isinstance(error, InterruptedRunError):
        return 128 + error.signal_number
    return next((code for kind, code in EXIT.items() if isinstance(error, kind)), 1)


class _Root(Group):
    """Turns whatever ends a command into one sentence on standard error and an exit code."""

    def main(self, *given: Any, **more: Any) -> NoReturn:
        code = 0
        try:
            code = super().main(*given, **{**more, "standalone_mode": False}) or 0
            sys.stdout.flush()  # now, while it can still be told that it cannot be written
        except ReaderLeftError:
            pass
        except VisioncliError as error:
            code = exit_code(error)
            print(f"visioncli: {error}", file=sys.stderr)
        except typer.TyperException as error:
            code = error.exit_code
            print(f"visioncli: {sentence(error)}", file=sys.stderr)
        sys.exit(code)

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise InterruptedRunError("interrupted", signal.SIGINT) from None


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        print(f"visioncli {version('visioncli')}")
        raise typer.Exit


app = typer.Typer(
    name="visioncli",
    cls=_Root,
    add_completion=False,  # completions/ holds static scripts, which answer at once
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    help="Turn pictures into tables: a row in, a row out, in order, whatever happens to the picture.",
)


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


app.command(cls=Command)(classify)
app.command(cls=Command)(embed)
app.command(cls=Command)(similar)
app.command(cls=Command)(segment)
app.command(cls=Command)(detect)
app.command(cls=Command)(depth)
app.command("serve-compat", cls=Helped)(serve_compat)
app.command(cls=Command)(report)
app.add_typer(models_app, name="models")
app.command(cls=Helped)(doctor)
app.command(cls=Command)(parity)


def _open_more_files() -> None:
    """Raise the usual limit of 1,024 open files as far as the system lets us: a run holds a connection a host.

    Only here, for the process is somebody else's where we are a library. Beyond 65,536 nothing is gained, and programs
    that close every possible file before they start another take their time.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65_536 if hard == resource.RLIM_INFINITY else min(hard, 65_536)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(ValueError, OSError):  # macOS has a lower limit that it does not tell
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def main() -> None:
    """The console script."""
    streams.take()
    _open_more_files()
    app(prog_name="visioncli")
