"""The command line: flags, progress, exit codes. typer lives only here.

Nothing heavy is imported before a command runs, so that --help and completion answer at once.
"""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from visioncli.cli.batch import classify, embed
from visioncli.cli.depth import depth
from visioncli.cli.doctor import doctor
from visioncli.cli.find import detect, segment
from visioncli.cli.models import models_app
from visioncli.cli.options import Command
from visioncli.cli.parity import parity
from visioncli.cli.report import report
from visioncli.cli.serve import serve_compat
from visioncli.cli.similar import similar
from visioncli.errors import InterruptedRunError, NotNowError, RunError, UsageError, VisioncliError

EXIT = {UsageError: 2, RunError: 1, NotNowError: 75}


def exit_code(error: VisioncliError) -> int:
    """Return the contract's exit code for an error that ended a command."""
    if isinstance(error, InterruptedRunError):
        return 128 + error.signal_number
    return next((code for kind, code in EXIT.items() if isinstance(error, kind)), 1)


class _Group(TyperGroup):
    """Turns what is raised on purpose into one sentence on standard error and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except VisioncliError as error:
            print(f"visioncli: {error}", file=sys.stderr)
            ctx.exit(exit_code(error))
        except KeyboardInterrupt:
            print("visioncli: interrupted", file=sys.stderr)
            ctx.exit(130)


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        print(f"visioncli {version('visioncli')}")
        raise typer.Exit


app = typer.Typer(
    name="visioncli",
    cls=_Group,
    no_args_is_help=True,
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
app.command("serve-compat")(serve_compat)
app.command()(report)
app.add_typer(models_app, name="models")
app.command()(doctor)
app.command(cls=Command)(parity)


def main() -> None:
    """The console script."""
    app()
