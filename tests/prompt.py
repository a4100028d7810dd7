"""The command line in this process: what a command prints, and its exit code."""

from __future__ import annotations

import logging
from pathlib import Path

from typer.testing import CliRunner

from tests.children import Ended


def visioncli(*arguments: str | Path, typed: bytes | str | None = None) -> Ended:
    """Do `visioncli ARGUMENTS`; `typed` is its standard input. Raises what the command does not mean to raise."""
    from visioncli.cli import app

    log = logging.getLogger("visioncli")
    before = log.level, log.handlers, log.propagate
    try:
        result = CliRunner().invoke(app, [str(argument) for argument in arguments], input=typed, prog_name="visioncli")
    finally:
        log.level, log.handlers, log.propagate = before
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Ended(result.exit_code, result.stdout, result.stderr)
