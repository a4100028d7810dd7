"""--help as text that fits the terminal it is read on: one list of flags a panel, names whole at any width.

Wide terminals have what a flag does beside it, narrow ones below it. Knows typer's command tree; it does not know what
any flag does.
"""

from __future__ import annotations

import inspect
import re
import shutil
import textwrap
from collections.abc import Iterable, Iterator
from typing import Any

import typer

_WIDEST, _NARROW = 100, 60  # letters of a line; in fewer than the second, helps go below their flags
_BELOW, _BESIDE = 6, 32  # the column where helps begin: of a narrow page, and at most of a wide one
_METAVARS = {int: "N", float: "X", str: "TEXT"}
# The others follow as they come
_ORDER = ("Arguments", "Commands", "Task", "What is compared", "Output", "Model", "Input")

Entry = tuple[str, str]  # what is written, what it does


def page(command: Any, ctx: Any) -> str:
    """Return the whole help of a command or a group of commands, with marks for titles and flags."""
    width = max(20, min(shutil.get_terminal_size().columns, _WIDEST) - 1)
    lines = [*_usage(command, ctx, width), ""]
    for paragraph in inspect.cleandoc(command.help or "").split("\n\n"):
        lines += [*_wrapped(" ".join(paragraph.split()), width), ""]
    sections = _sections(command, ctx)
    longest = max(len(written) for entries in sections.values() for written, _ in entries)
    column = _BELOW if width < _NARROW else min(_BESIDE, 8 + longest)
    for title, entries in sections.items():
        lines += [typer.style(title, bold=True), *_listed(entries, width, column), ""]
    lines += _wrapped(_environment(command), width)
    return "\n".join(lines).rstrip() + "\n"


def _environment(command: Any) -> str:
    """What the environment may give, in a command that reads it."""
    variables = [parameter.envvar for parameter in command.params if getattr(parameter, "envvar", None)]
    if not variables:
        return ""
    text = f"Each flag also reads its variable, such as {variables[0]}"
    splitters = {one.envvar_list_splitter for one in command.params if getattr(one, "multiple", False)}
    several = "one value a line" if "\n" in splitters else "values with commas between"  # serve-compat has the second
    return f"{text}; of a repeatable flag it has {several}." if splitters else f"{text}."


def _usage(command: Any, ctx: Any, width: int) -> list[str]:
    arguments = [
        _argument(one) if one.required else f"[{_argument(one)}]" for one in command.params if _is_argument(one)
    ]
    rest = ["COMMAND ..."] if getattr(command, "commands", None) else arguments
    text = " ".join([f"Usage: {ctx.command_path} [FLAGS]", *rest])
    return _wrapped(text, width, subsequent_indent="  ")


def _sections(command: Any, ctx: Any) -> dict[str, list[Entry]]:
    """Return title -> entries, in the order in which they are shown."""
    found: dict[str, list[Entry]] = {}
    for parameter in command.get_params(ctx):
        if not parameter.hidden:
            found.setdefault(_title(parameter), []).append((_written(parameter), _does(parameter, ctx)))
    for name, one in getattr(command, "commands", {}).items():
        found.setdefault("Commands", []).append((name, " ".join((one.help or "").split("\n\n")[0].split())))
    ranks = {title: rank for rank, title in enumerate(_ORDER)}
    return dict(sorted(found.items(), key=lambda item: ranks.get(item[0], len(ranks))))


def _title(parameter: Any) -> str:
    return "Arguments" if _is_argument(parameter) else parameter.rich_help_panel or "Flags"


def _is_argument(parameter: Any) -> bool:
    return bool(parameter.param_type_name == "argument")


def _argument(parameter: Any) -> str:
    name = parameter.metavar or parameter.name.upper()
    return f"{name}..." if parameter.nargs != 1 else name


def _written(parameter: Any) -> str:
    if _is_argument(parameter):
        return _argument(parameter)
    names = sorted(parameter.opts, key=len) + list(parameter.secondary_opts)
    return ", ".join(names) + ("" if parameter.is_flag else f" {metavar(parameter)}")


def metavar(parameter: Any) -> str:
    """Return what stands for a flag's value, or for the argument."""
    kind = parameter.type_descriptor
    if parameter.metavar or kind.choices is None:
        return str(parameter.metavar or ("FILE" if kind.is_path else _METAVARS.get(kind.annotation, "TEXT")))
    return "|".join(map(str, kind.choices))


def _does(parameter: Any, ctx: Any) -> str:
    """What a flag does, with its default where its help does not tell it."""
    text, default = (parameter.help or "").strip(), parameter.get_default(ctx, call=False)
    if _is_argument(parameter) or parameter.is_flag or default is None or "(default:" in text:
        return text
    return f"{text} (default: {f'{default:g}' if isinstance(default, float) else default})"


def _listed(entries: Iterable[Entry], width: int, column: int) -> Iterator[str]:
    """Yield lines: what is written, and from `column` on what it does; below it where there is no room beside."""
    for written, does in entries:
        indent = 6 if column > _BELOW and written.startswith("--") else 2  # below each other, with and without -x
        first, *more = _broken(written, width - indent)
        shown = [" " * indent + _coloured(first), *(" " * (indent + 2) + _coloured(line) for line in more)]
        helps = _wrapped(does, width - column)
        if helps and not more and indent + len(first) + 2 <= column:
            shown[0] += " " * (column - indent - len(first)) + helps.pop(0)
        yield from shown
        yield from (" " * column + line for line in helps)


def _wrapped(text: str, width: int, **more: Any) -> list[str]:
    return textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False, **more)


def _broken(written: str, width: int) -> list[str]:
    """A flag in lines of at most `width` letters, broken behind a bar between two choices."""
    if len(written) <= width:
        return [written]
    lines = [""]
    for piece in re.findall(r"[^|,]+[|,]?", written):
        if lines[-1] and len(lines[-1]) + len(piece) > width - 2:
            lines.append("")
        lines[-1] += piece
    return [line.strip() for line in lines]


def _coloured(text: str) -> str:
    return re.sub(r"(?<![\w-])--?[\w-]+", lambda found: typer.style(found[0], fg="cyan", bold=True), text)
