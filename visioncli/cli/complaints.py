"""What typer finds wrong with a command line, in one sentence of ours. Knows nothing of what the flags do."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import typer

from visioncli.cli.given import left_out
from visioncli.cli.helps import metavar

_WORDS = {  # pydantic's name of an error -> what the value is; typer reads values by it
    "int_parsing": "is no whole number",
    "float_parsing": "is no number",
    "bool_parsing": "is neither true nor false",
    "greater_than_equal": "must be at least {ge:g}",
    "less_than_equal": "must be at most {le:g}",
}


def sentence(error: typer.TyperException) -> str:
    """Return what is wrong, and what to write instead where that can be told."""
    unknown = getattr(error, "option_name", None)
    if hasattr(error, "possibilities"):
        return no_such("flag", str(unknown), error.possibilities or (), _path(error))
    if isinstance(error, typer.BadParameter) and error.__cause__ is not None:
        return f"{_where(error)}: {_wrong(error)}"
    if isinstance(error, typer.BadParameter):
        return f"{_named(error.param)} is needed; {_path(error)} --help tells more"
    if unknown is not None:
        return _half_written(str(unknown), error)
    text = error.format_message().rstrip(".")
    if beyond := re.search(r"unexpected extra argument\S* \((.*)\)$", text):
        return f"{beyond[1]} is more than {_path(error)} takes; {_path(error)} --help tells more"
    return text[:1].lower() + text[1:]


def _half_written(flag: str, error: Any) -> str:
    """What is wrong with a flag that lacks its value, or has one that it does not take."""
    parameter = next(one for one in error.ctx.command.params if flag in (*one.opts, *one.secondary_opts))
    return f"{flag} takes no value" if parameter.is_flag else f"{flag} needs a value: {flag} {metavar(parameter)}"


def no_such(what: str, name: str, near: Iterable[str], path: str) -> str:
    """Return that the command `path` has no such flag or command, and which of its own are near."""
    *others, last = list(near)[:3] or [""]
    meant = " or ".join(filter(None, (", ".join(others), last)))
    return f"there is no {what} {name}; " + (f"did you mean {meant}?" if meant else f"{path} --help names all")


def traced(sentence: str, ctx: Any) -> str:
    """Return what is wrong with a value, naming the variable that the value came from."""
    for parameter in ctx.command.params:
        source = ctx.get_parameter_source(parameter.name)
        if source is None or source.name != "ENVIRONMENT" or parameter.name in left_out(ctx):
            continue
        flag = parameter.opts[0]
        if sentence.startswith(f"{flag}:"):
            return sentence.replace(flag, parameter.envvar, 1)
        if re.search(rf"(?<![\w-]){flag}(?![\w-])", sentence) or _quotes(sentence, ctx.params[parameter.name]):
            return f"{sentence} ({flag} comes from {parameter.envvar})"
    return sentence


def _quotes(sentence: str, value: Any) -> bool:
    """Whether it has the value in quotation marks: a bare number stands there for many reasons."""
    return isinstance(value, str) and repr(str(value)) in sentence


def _path(error: Any) -> str:
    return error.ctx.command_path if error.ctx is not None else "visioncli"


def _where(error: Any) -> str:
    """The flag, or the variable that its value came from."""
    source = error.ctx.get_parameter_source(error.param.name)
    return str(error.param.envvar) if source is not None and source.name == "ENVIRONMENT" else _named(error.param)


def _named(parameter: Any) -> str:
    return str(parameter.opts[0] if parameter.param_type_name == "option" else parameter.display_name_raw)


def _wrong(error: Any) -> str:
    found = error.__cause__.errors()[0]
    choices = error.param.type_descriptor.choices
    if choices is not None:
        return f"{found['input']!r} is none of {', '.join(map(str, choices))}"
    known = _WORDS.get(found["type"])
    return f"{found['input']!r} {known.format(**found.get('ctx', {}))}" if known else str(found["msg"])
