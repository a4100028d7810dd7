"""Writes `completions/`, one script a shell: `make completions`. A test compares what is there with what this writes.

The scripts are static: the command tree is walked here, and completing runs neither visioncli nor an interpreter.
Knows typer's command tree and four shells' quoting; it does not know what any flag does.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from visioncli.cli import app
from visioncli.cli.helps import metavar
from visioncli.io.licences import ALIASES
from visioncli.server import DIALECTS

ROOT = Path(__file__).parents[1]
SHORT_NAMES = ("ALIAS", "MODEL")  # parts of a metavar that stand for the short names of models
PATHS = re.compile(r"(FILE|DIR|MODEL|INPUT|RESULTS)\b")  # parts of a metavar that also stand for a path


@dataclass(frozen=True)
class Row:
    """One thing to offer: a command, an option by all its names, or the argument, which has none."""

    names: tuple[str, ...]
    kind: str  # "command", "flag", or how its value completes: "words", "files" (where no word fits), "at" (@FILE)
    help: str
    words: tuple[str, ...] = ()
    repeats: bool = False

    @property
    def is_argument(self) -> bool:
        return not self.names


@dataclass(frozen=True)
class Command:
    """A command by its path (" models list"; "" is visioncli itself) and what can follow it, commands first."""

    path: str
    rows: tuple[Row, ...]


def commands(command: Any, path: str = "", parent: Any = None) -> Iterator[Command]:
    """Yield `command` and then every command below it, depth first."""
    context = command.context_class(command, info_name=command.name, parent=parent, **command.context_settings)
    below = {name: one for name, one in getattr(command, "commands", {}).items() if not one.hidden}
    named = [Row((name,), "command", _line(one.help)) for name, one in below.items()]
    yield Command(path, (*named, *(_row(one) for one in command.get_params(context) if not one.hidden)))
    for name, one in below.items():
        yield from commands(one, f"{path} {name}", context)


def _row(parameter: Any) -> Row:
    kind, words = _value(metavar(parameter))
    if parameter.param_type_name == "argument":
        return Row((), kind, _line(parameter.help), words)
    names = tuple(sorted([*parameter.opts, *parameter.secondary_opts], key=len))
    if parameter.is_flag or parameter.count:
        return Row(names, "flag", _line(parameter.help), repeats=bool(parameter.count))
    return Row(names, kind, _line(parameter.help), words, parameter.multiple)


def _value(metavar: str) -> tuple[str, tuple[str, ...]]:
    """Return how a value completes, read from its metavar: `auto|cpu|cuda[:n]`, `ID|DIR|demo`, `A,B,C|@FILE`, `N`."""
    parts = re.split(r"[|,]", re.sub(r"\[.*?\]", "", metavar))
    words = [part for part in parts if len(parts) > 1 and re.fullmatch(r"[a-z][a-z0-9]*", part)]
    words += [name for name in ALIASES if any(part in SHORT_NAMES for part in parts)]
    words += [name for name in DIALECTS if "NAME" in parts]  # of an API
    if "@FILE" in parts:
        return "at", ()
    return "files" if any(map(PATHS.match, parts)) else "words", tuple(words)


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
    """A row for the shells that read tables: `+ -t --text|files||help`; + may be given again, <> is the argument."""
    names = " ".join([*["+"] * row.repeats, *(row.names or ["<>"])])
    return "|".join([names, row.kind, " ".join(row.words), row.help])


def bash(tree: list[Command]) -> str:
    rows = [_case(command) for command in tree]
    paths = " | ".join(_single(command.path) for command in tree if command.path)
    return _filled("visioncli.bash", rows="\n".join(rows), paths=paths)


def _case(command: Command) -> str:
    return "\n".join([f"    {_single(command.path)}) rows=(", *_indented(_single, command), "    ) ;;"])


def powershell(tree: list[Command]) -> str:
    tables = [
        "\n".join([f"        {_powershell(one.path)} = @(", *_indented(_powershell, one), "        )"]) for one in tree
    ]
    return _filled("visioncli.ps1", rows="\n".join(tables))


def _indented(quote: Callable[[str], str], command: Command) -> list[str]:
    return [f"            {quote(_cells(row))}" for row in command.rows]


def fish(tree: list[Command]) -> str:
    lines = [line for command in tree for line in _fish_lines(command)]
    paths = " ".join(_fish(command.path) for command in tree if command.path)
    return _filled("visioncli.fish", rows="\n".join(lines), paths=paths)


def _fish_lines(command: Command) -> Iterator[str]:
    at = f"__visioncli_at {_fish(command.path)}"
    arguments = [row for row in command.rows if row.is_argument]
    if not any(row.kind == "files" for row in arguments):
        yield f"complete -c visioncli -n {_fish(at)} -f"
    for row in command.rows:
        yield from (f"complete -c visioncli {line}" for line in _fish_row(row, command.path, at))


def _fish_row(row: Row, path: str, at: str) -> Iterator[str]:
    words, said = _fish(" ".join(row.words)), _fish(row.help)
    if row.is_argument:
        yield from [f"-n {_fish(at)} -a {words}"] if row.words else []
    elif row.kind == "command":
        yield f"-n {_fish(at)} -a {row.names[0]} -d {said}"
    else:
        ends = "flag" if row.kind == "flag" else "value"
        new = at if row.repeats else f"__visioncli_new {ends} {_fish(path)} {' '.join(row.names)}"
        names = " ".join(f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}" for name in row.names)
        values = {"flag": "", "words": " -x", "files": " -r -F", "at": " -x -a '(__visioncli_at_files)'"}[row.kind]
        yield f"-n {_fish(new)} {names}{values}{f' -a {words}' * bool(row.words)} -d {said}"


def zsh(tree: list[Command]) -> str:
    return _filled("_visioncli", rows="\n\n".join(_zsh_function(command) for command in reversed(tree)))


def _zsh_function(command: Command) -> str:
    name = "_visioncli" + command.path.replace(" ", "_")
    below = [row for row in command.rows if row.kind == "command"]
    specs = [spec for row in command.rows for spec in _zsh_specs(row)]
    specs += ["1: :->command", "*:: :->rest"] * bool(below)
    body = " \\\n".join(
        [f"{name}() {{\n    {ZSH_STATE * bool(below)}_arguments -C -s -S :", *(f"        {_single(s)}" for s in specs)]
    )
    return "\n".join([body, *(_zsh_below(name, below) if below else []), "}"])


ZSH_STATE = "local curcontext=$curcontext state state_descr line\n    typeset -A opt_args\n    "


def _zsh_below(name: str, below: list[Row]) -> Iterator[str]:
    yield "    case $state in\n    command)\n        local -a commands=("
    for row in below:
        yield f"            {_single(row.names[0] + ':' + _backslashed(row.help))}"
    yield "        )\n        _describe -t commands command commands ;;\n    rest)\n        case $words[1] in"
    for row in below:
        yield f"        {row.names[0]}) {name}_{row.names[0]} ;;"
    yield "        esac ;;\n    esac"


def _zsh_specs(row: Row) -> Iterator[str]:
    actions = {"words": f"({' '.join(row.words)})" if row.words else "", "files": "_files", "at": "_visioncli_at_files"}
    action = (
        f" _visioncli_or_files {' '.join(row.words)}" if row.words and row.kind == "files" else actions.get(row.kind)
    )
    if row.is_argument:
        yield f"*: :{action}"
    for name in row.names if row.kind != "command" else ():
        once = "*" if row.repeats else f"({' '.join(row.names)})"
        joint = "" if row.kind == "flag" else "=" if name.startswith("--") else "+"
        yield f"{once}{name}{joint}[{_backslashed(row.help)}]" + (f": :{action}" if joint else "")


def _backslashed(text: str) -> str:
    """For the descriptions of zsh's _arguments and _describe, which take one backslash off again."""
    return re.sub(r"([\\:\[\]])", r"\\\1", text)


def _filled(name: str, **parts: str) -> str:
    """Return the hand-written shell code of `tests/shells`, its `#:part:` marks replaced."""
    text = (ROOT / "tests" / "shells" / name).read_text()
    for part, lines in parts.items():
        text = text.replace(f"#:{part}:", lines)
    return text


SHELLS: dict[str, tuple[str, Callable[[list[Command]], str]]] = {
    "bash": ("visioncli.bash", bash),
    "zsh": ("_visioncli", zsh),
    "fish": ("visioncli.fish", fish),
    "powershell": ("visioncli.ps1", powershell),
}


def script(shell: str) -> str:
    """Return the static script that makes `shell` complete `visioncli`."""
    return SHELLS[shell][1](list(commands(typer.main.get_command(app))))


def main() -> None:
    (ROOT / "completions").mkdir(exist_ok=True)
    for shell, (name, _) in SHELLS.items():
        (ROOT / "completions" / name).write_text(script(shell))


if __name__ == "__main__":
    main()
