"""Writes `completions/`, one script a shell: `make completions`. A test compares what is there with what this would write.

The scripts are static: the command tree is walked here, and completing runs neither visioncli nor an interpreter.
Knows typer's command tree and four shells' quoting; it does not know what any flag does.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

import typer

from visioncli.cli import app
from visioncli.io.licences import ALIASES

ROOT = Path(__file__).parents[1]
SHORT_NAMES = ("ALIAS", "MODEL")  # parts of a metavar that stand for the short names of models
PATHS = ("FILE", "DIR", "MODEL")  # parts of a metavar that also stand for a path


@dataclass(frozen=True)
class Row:
    """One thing to offer: a command, an option by all its names, or the argument, which has none."""

    names: tuple[str, ...]
    kind: str  # "command", "flag", or how its value completes: "words", "files" (where no word fits), "at" (@FILE)
    help: str
    words: tuple[str, ...] = ()
    repeats: bool = False

    @property
    def wants_value(self) -> bool:
        return self.kind not in ("command", "flag")


@dataclass(frozen=True)
class Command:
    """A command by its path (" models list"; "" is visioncli itself) and what can follow it, commands first."""

    path: str
    rows: tuple[Row, ...]

    def of(self, *kinds: str) -> list[Row]:
        """Return the rows of these kinds; "option" and "argument" go by whether a row has names."""
        return [row for row in self.rows if _sort(row) in kinds]


def _sort(row: Row) -> str:
    return "command" if row.kind == "command" else "option" if row.names else "argument"


def commands(command: Any, path: str = "", parent: Any = None) -> Iterator[Command]:
    """Yield `command` and then every command below it, depth first."""
    context = command.context_class(command, info_name=command.name, parent=parent, **command.context_settings)
    below = {name: one for name, one in getattr(command, "commands", {}).items() if not one.hidden}
    named = [Row((name,), "command", _line(one.help)) for name, one in below.items()]
    yield Command(path, (*named, *(_row(one, context) for one in command.get_params(context) if not one.hidden)))
    for name, one in below.items():
        yield from commands(one, f"{path} {name}", context)


def _row(parameter: Any, context: Any) -> Row:
    kind, words = _value(parameter.metavar or parameter.display_type(context))
    if parameter.param_type_name == "argument":
        return Row((), kind, _line(parameter.help), words)
    names = tuple(sorted([*parameter.opts, *parameter.secondary_opts], key=len))
    if parameter.is_flag or parameter.count:
        return Row(names, "flag", _line(parameter.help), repeats=bool(parameter.count))
    return Row(names, kind, _line(parameter.help), words, parameter.multiple)


def _value(metavar: str) -> tuple[str, tuple[str, ...]]:
    """Return how a value completes, read from its metavar: `auto|cpu|cuda[:n]`, `ID|DIR|demo`, `A,B,C|@FILE`."""
    parts = re.sub(r"\[.*?\]", "", metavar).strip("<>").split("|")
    words = [part for part in parts if len(parts) > 1 and re.fullmatch(r"[a-z][a-z0-9]*", part)]
    words += [name for name in ALIASES if any(part in SHORT_NAMES for part in parts)]
    if "@FILE" in parts:
        return "at", ()
    return "words" if words and not any(part in PATHS for part in parts) else "files", tuple(words)


def _line(help: str | None) -> str:
    """The first sentence-long line: what follows is for --help."""
    return " ".join((help or "").strip().split("\n\n")[0].split())


def _single(text: str) -> str:
    """Quote for bash and zsh: within single quotes nothing else is special."""
    return "'" + text.replace("'", r"'\''") + "'"


def _fish(text: str) -> str:
    return "'" + text.replace("\\", r"\\").replace("'", r"\'") + "'"


def _powershell(text: str) -> str:
    return "'" + re.sub("(['‘’‚‛])", r"\1\1", text) + "'"  # PowerShell ends a string at any of the five


def _cells(row: Row) -> str:
    """A row for the shells that read tables: `* -t --text|files||help`; a leading * may be given again, <> is the argument."""
    names = " ".join([*["*"] * row.repeats, *(row.names or ["<>"])])
    return "|".join([names, row.kind, " ".join(row.words), row.help])


def bash(tree: list[Command]) -> str:
    cases = []
    for command in tree:
        rows = "\n".join(f"        {_single(_cells(row))}" for row in command.rows)
        cases.append(f"    {_single(command.path)}) rows=(\n{rows}\n    ) ;;")
    paths = " | ".join(_single(command.path) for command in tree if command.path)
    return _filled("bash", cases="\n".join(cases), paths=paths)


def powershell(tree: list[Command]) -> str:
    tables = []
    for command in tree:
        rows = "\n".join(f"            {_powershell(_cells(row))}" for row in command.rows)
        tables.append(f"        {_powershell(command.path)} = @(\n{rows}\n        )")
    return _filled("ps1", tables="\n".join(tables))


def fish(tree: list[Command]) -> str:
    lines = [line for command in tree for line in _fish_lines(command)]
    paths = " ".join(_fish(command.path) for command in tree if command.path)
    return _filled("fish", lines="\n".join(lines), paths=paths)


def _fish_lines(command: Command) -> Iterator[str]:
    at = f"__visioncli_at {_fish(command.path)}"
    arguments = command.of("argument")
    if not any(row.kind == "files" for row in arguments):
        yield f"complete -c visioncli -n {_fish(at)} -f"
    for row in arguments:
        if row.words:
            yield f"complete -c visioncli -n {_fish(at)} -a {_fish(' '.join(row.words))}"
    for row in command.of("command"):
        yield f"complete -c visioncli -n {_fish(at)} -a {row.names[0]} -d {_fish(row.help)}"
    for row in command.of("option"):
        ends = "value" if row.wants_value else "flag"
        new = at if row.repeats else f"__visioncli_new {ends} {_fish(command.path)} {' '.join(row.names)}"
        yield f"complete -c visioncli -n {_fish(new)} {_fish_option(row)} -d {_fish(row.help)}"


def _fish_option(row: Row) -> str:
    names = [f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}" for name in row.names]
    words = f" -a {_fish(' '.join(row.words))}" if row.words else ""
    values = {"flag": "", "words": " -x", "files": " -r -F", "at": " -x -a '(__visioncli_at_files)'"}
    return " ".join(names) + values[row.kind] + words


def zsh(tree: list[Command]) -> str:
    return _filled("zsh", functions="\n\n".join(_zsh_function(command) for command in reversed(tree)))


def _zsh_function(command: Command) -> str:
    name = "_visioncli" + command.path.replace(" ", "_")
    below = command.of("command")
    specs = [spec for row in command.rows for spec in _zsh_specs(row)]
    specs += ["1: :->command", "*:: :->rest"] if below else []
    body = " \\\n        ".join(["_arguments -s -S -C", *map(_single, specs)])
    if not below:
        return f"{name}() {{\n    {body}\n}}"
    described = "\n".join(f"        {_single(f'{row.names[0]}:{row.help}')}" for row in below)
    rest = "\n".join(f"        {row.names[0]}) {name}_{row.names[0]} ;;" for row in below)
    return _filled("group.zsh", name=name, body=body, described=described, rest=rest)


def _zsh_specs(row: Row) -> Iterator[str]:
    actions = {"words": f"({' '.join(row.words)})", "files": "_files", "at": "_visioncli_at_files"}
    action = f" _visioncli_or_files {' '.join(row.words)}" if row.words and row.kind == "files" else actions.get(row.kind)
    help = re.sub(r"([\\:\[\]])", r"\\\1", row.help)
    if row.wants_value and not row.names:
        yield f"*: :{action}"
    for name in row.names if row.kind != "command" else ():
        once = "*" if row.repeats else f"({' '.join(row.names)})"
        joint = ("=" if name.startswith("--") else "+") if row.wants_value else ""
        yield f"{once}{name}{joint}[{help}]" + (f": :{action}" if row.wants_value else "")


def _filled(template: str, **parts: str) -> str:
    return Template((Path(__file__).parent / "completions" / template).read_text()).substitute(parts)
