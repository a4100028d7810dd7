"""Where a flag's value came from: the command line, where one that has no use is refused, or the environment.

What is exported is meant for many commands: one that it does not fit goes on without it, and says so.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

import typer

from visioncli.errors import UsageError

log = logging.getLogger("visioncli")

_DECIDES_NO_ANSWER = frozenset(  # where, how fast and how loudly: taken from the environment unannounced
    "output offline device workers per_host timeout retries header ca_cert max_error_rate fail_on max_runtime dry_run "  # noqa: SIM905
    "quiet verbose progress summary null unique_ids inputs overlay device_timeout_ms no_sidecar".split()
)


def on_command_line(ctx: typer.Context, name: str) -> bool:
    """Return whether the parameter was written there."""
    source = ctx.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def refuse(ctx: typer.Context, stray: Callable[[str], bool], why: str) -> None:
    """Raise UsageError for a flag that was written and has no use: none is accepted and ignored."""
    for parameter in _all(ctx):
        if on_command_line(ctx, parameter.name) and stray(parameter.name):
            raise UsageError(f"{parameter.opts[0]} {why}")


def announce(ctx: typer.Context, stray: Callable[[str], bool] = lambda name: False) -> None:
    """Say which values came from the environment and change answers, and which of them are not used."""
    for parameter in _all(ctx):
        source = ctx.get_parameter_source(parameter.name)
        if source is None or source.name != "ENVIRONMENT" or parameter.name in _DECIDES_NO_ANSWER:
            continue
        if stray(parameter.name):
            log.info("%s is not used here", parameter.envvar)
        else:
            value = ctx.params[parameter.name]
            text = ",".join(value) if isinstance(value, list | tuple) else value
            log.warning("%s=%s comes from %s", parameter.opts[0], text, parameter.envvar)


def _all(ctx: typer.Context) -> Iterator[Any]:
    return (parameter for parameter in ctx.command.params if parameter.name)
