"""Commands and groups of commands as typer has them, with a help of our own and lists that the environment may hold."""

from __future__ import annotations

import os
import re
import sys
from difflib import get_close_matches
from typing import Any, NoReturn, TextIO

import typer
from typer.core import TyperCommand, TyperGroup, TyperOption

from visioncli.cli.complaints import no_such, traced
from visioncli.errors import UsageError


class _Helping:
    """Shows a help that fits the terminal, through `print`: typer's own echo swallows what goes wrong with a stream."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        from visioncli.cli.helps import page

        formatter.write(page(self, ctx))

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        try:
            found: list[str] = super().parse_args(ctx, args)  # type: ignore[misc]
        except typer.TyperException as error:
            wrong: Any = error
            wrong.ctx = getattr(error, "ctx", None) or ctx  # a flag that lacks its value does not know whose it is
            raise
        return found

    def get_help_option(self, ctx: Any) -> TyperOption | None:
        option: TyperOption | None = super().get_help_option(ctx)  # type: ignore[misc]
        if option is not None:
            option.callback = _shown
        return option


def _shown(ctx: Any, parameter: Any, asked: bool) -> None:
    if asked and not ctx.resilient_parsing:
        show_help(ctx, sys.stdout)
        raise typer.Exit


def show_help(ctx: Any, where: TextIO) -> None:
    """Print a command's help, in colours on a terminal that has them."""
    plain = os.environ.get("NO_COLOR") or not where.isatty()
    print(re.sub("\x1b\\[[0-9;]*m", "", ctx.get_help()) if plain else ctx.get_help(), file=where)


class Helped(_Helping, TyperCommand):
    """A command, which says of a wrong value from the environment where it came from."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except UsageError as error:
            raise UsageError(traced(str(error), ctx)) from error


class Command(Helped):
    """A command whose repeatable flags take a value from the environment as it stands, and several a line each."""

    def __init__(self, *given: Any, **more: Any) -> None:
        super().__init__(*given, **more)
        for parameter in self.params:
            parameter.envvar_list_splitter = "\n"  # type: ignore[misc]  # typer's own is any space, as in "red shoe"


class Group(_Helping, TyperGroup):
    """Commands under one name; without one of them, it shows its help."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args[0] not in self.commands and not args[0].startswith("-"):
            near = get_close_matches(args[0], self.commands)
            raise UsageError(no_such("command", args[0], near, ctx.command_path))
        return super().resolve_command(ctx, args)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not args:
            self._refuse_nothing(ctx)
        return super().parse_args(ctx, args)

    def _refuse_nothing(self, ctx: Any) -> NoReturn:
        show_help(ctx, sys.stderr)
        raise typer.Exit(2)
