"""Where a flag's value came from: the command line, where one that has no use is refused, or the environment.

What is exported is meant for many commands: one that it does not fit goes on without it, and says so.
"""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import typer

from visioncli.errors import UsageError

log = logging.getLogger("visioncli")

_DECIDES_NO_ANSWER = frozenset(  # where, how fast and how loudly: taken from the environment unannounced
    "output offline device workers per_host timeout retries header ca_cert max_error_rate fail_on max_runtime dry_run "  # noqa: SIM905
    "quiet verbose progress summary null unique_ids inputs overlay device_timeout_ms no_sidecar".split()
)
_RELIED_ON = frozenset(  # of them, what is missed by whoever believes that it is there
    "max_error_rate fail_on max_runtime dry_run summary unique_ids overlay".split()  # noqa: SIM905
)
_LEFT_OUT = "visioncli.left_out"  # where the names of what the environment gave in vain are kept


@dataclass(frozen=True, slots=True)
class Idle:
    """Flags that a command has no use for when it is given like this."""

    when: Callable[[typer.Context], bool]
    names: frozenset[str]  # parameters
    why: str  # what follows the flag's name in a sentence


def without(*rules: Idle) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Decorate a command, above `with_flags`: what the rules say has no use is refused where it was written.

    Where it comes from the environment, the command gets its default in its place, and so do the rules that follow.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        defaults = {name: one.default for name, one in inspect.signature(command).parameters.items()}

        @functools.wraps(command)
        def wrapper(ctx: typer.Context, **given: Any) -> None:
            for rule in rules:
                if rule.when(ctx):
                    refuse(ctx, rule.names.__contains__, rule.why)
                    default = {name: defaults[name] for name in rule.names & defaults.keys()}
                    ctx.params.update(default)
                    given |= default
                    _leave_out(ctx, rule.names)
            command(ctx=ctx, **given)

        return wrapper

    return decorate


def left_out(ctx: typer.Context) -> frozenset[str]:
    """Return the parameters whose value from the environment has no use."""
    return frozenset(ctx.meta.get(_LEFT_OUT, ()))


def _leave_out(ctx: typer.Context, names: Iterable[str]) -> None:
    ctx.meta[_LEFT_OUT] = left_out(ctx).union(names)


def exclusive(*names: str) -> Iterator[Idle]:
    """Yield rules for flags of which one has its way: two that were written are refused."""
    for name in reversed(names):
        others = frozenset(names) - {name}
        yield Idle(functools.partial(on_command_line, name=name), others, f"and {written(name)} exclude each other")


def written(name: str) -> str:
    """Return a parameter as people write it."""
    return "--" + name.replace("_", "-")


def on_command_line(ctx: typer.Context, name: str) -> bool:
    """Return whether the parameter was written there."""
    source = ctx.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def is_given(ctx: typer.Context, name: str) -> bool:
    """Return whether anybody gave the parameter: on the command line or in the environment."""
    source = ctx.get_parameter_source(name)
    return source is not None and source.name in ("COMMANDLINE", "ENVIRONMENT")


def refuse(ctx: typer.Context, stray: Callable[[str], bool], why: str) -> None:
    """Raise UsageError for a flag that was written and has no use: none is accepted and ignored."""
    for parameter in _all(ctx):
        if on_command_line(ctx, parameter.name) and stray(parameter.name):
            raise UsageError(f"{parameter.opts[0]} {why}")


def announce(ctx: typer.Context, stray: Callable[[str], bool] = lambda name: False) -> None:
    """Say which values came from the environment and change answers, and which that would be missed are not used."""
    _leave_out(ctx, (parameter.name for parameter in _all(ctx) if stray(parameter.name)))
    for parameter in _all(ctx):
        source = ctx.get_parameter_source(parameter.name)
        if source is None or source.name != "ENVIRONMENT":
            continue
        if parameter.name in left_out(ctx):
            if parameter.name not in _DECIDES_NO_ANSWER - _RELIED_ON:
                log.info("%s is not used here", parameter.envvar)
        elif parameter.name not in _DECIDES_NO_ANSWER:
            value = ctx.params[parameter.name]
            text = ",".join(value) if isinstance(value, list | tuple) else value
            log.warning("%s=%s comes from %s", parameter.opts[0], text, parameter.envvar)


def _all(ctx: typer.Context) -> Iterator[Any]:
    return (parameter for parameter in ctx.command.params if parameter.name)
