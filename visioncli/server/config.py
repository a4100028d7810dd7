"""What a server is told besides its flags: a file, the originals' environment variables, folders that hold weights.

A flag goes before VISIONCLI_<FLAG>, that before the file, the file before the originals' variables, those before the
default. Two kinds of file: ours, whose keys are the flags' names, and the one that the Hailo service documents, known
by its sections (`hailo_file`).

Knows nothing of typer, of models beyond their names, or of sockets.
"""

from __future__ import annotations

import difflib
import ipaddress
import re
from collections.abc import Collection, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from visioncli.errors import FetchError, UsageError
from visioncli.io.address import parse_url
from visioncli.server import DIALECTS, NATIVE_PORTS, hailo_file
from visioncli.server.settings import ROLES, HailoOptions

PORT_VARIABLES = {"vision-models": "PORT", "sagemaker-clip": "SAGEMAKER_BIND_TO_PORT"}
DEADLINE_VARIABLES = {"sagemaker-clip": "MODEL_SERVER_TIMEOUT"}  # seconds
WEIGHTS = {  # where the originals' platforms put a model
    "sagemaker-clip": Path("/opt/ml/model"),  # SageMaker's hosting contract
    "hf-endpoint": Path("/repository"),  # Hugging Face's inference toolkit
}
ALL = "all"
_HOST_AND_PORT = re.compile(r"(?:\[[^][]+\]|[^][:/?#@*\s]+)(:\d+)?")


@dataclass(frozen=True, slots=True)
class Told:
    """What a file says: values by the flags' names, with underscores; and what no flag says."""

    flags: Mapping[str, Any] = field(default_factory=dict)
    ports: Mapping[str, int] = field(default_factory=dict)  # of an API that is asked for without one
    hailo: HailoOptions = field(default_factory=HailoOptions)
    said: frozenset[tuple[str, str]] = field(default=frozenset(), compare=False)  # (section, key) of a Hailo file

    def idle(self, on_hailo: bool) -> list[str]:
        """Return the keys of a Hailo file that change nothing here."""
        return hailo_file.idle(self.said, self.flags, on_hailo)


@dataclass(frozen=True, slots=True)
class Binding:
    """One port and who answers there."""

    dialects: tuple[str, ...]
    port: int  # 0: any that is free
    host: str = "127.0.0.1"


# Files


def read_config(path: Path, known: Collection[str], lists: Collection[str]) -> Told:
    """Return what the file says. `known` are the flags' names, `lists` those that are given several times.

    Raises UsageError: cannot be read, is no YAML mapping, or has a key that is no flag.
    """
    content = _content(path)
    if hailo_file.is_hailo_file(content):
        return _hailo(path, content)
    flags: dict[str, Any] = {}
    for key, value in content.items():
        name = str(key).replace("-", "_")
        if name not in known:
            raise UsageError(f"--config {path}: unknown key {str(key)!r}{_did_you_mean(name, known)}")
        if isinstance(value, Mapping) or (isinstance(value, list) and name not in lists):
            raise UsageError(f"--config {path}: {key} takes one value")
        if name in lists and not isinstance(value, list):
            flags[name] = [] if value is None else [value]
        elif value is not None:
            flags[name] = value
    return Told(flags)


def _content(path: Path) -> Mapping[Any, Any]:
    try:
        content = yaml.safe_load(path.read_bytes())
    except OSError as error:
        raise UsageError(f"--config {path} cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(f"--config {path} is no YAML: {' '.join(str(error).split())}") from error
    if content is not None and not isinstance(content, Mapping):
        raise UsageError(f"--config {path}: expected `key: value` lines")
    return content or {}


def _did_you_mean(name: str, known: Collection[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {near[0].replace('_', '-')}?" if near else ""


def _hailo(path: Path, content: Mapping[Any, Any]) -> Told:
    """Translate the documented file. Raises UsageError for a value of another type."""
    said = hailo_file.said_in(content)
    try:
        found = hailo_file.translated(said)
    except ValueError as error:
        raise UsageError(f"--config {path}: {error}") from error
    return Told(found.flags, found.ports, found.options, frozenset(said))


# APIs and ports


def bindings(apis: Sequence[str], port: int | None, host: str, told: Told, environ: Mapping[str, str]) -> list[Binding]:
    """Return who listens where: `NAME`, `NAME:PORT` or `all`, several of one port together.

    A name without a port takes `port` if given, else the file's, the original's environment variable, its own.
    Raises UsageError.
    """
    if not apis:
        raise UsageError(f"--api is needed: --api NAME[:PORT], of {', '.join(DIALECTS)}, or all")
    groups: dict[object, tuple[list[str], int]] = {}
    for dialect, own in [each for text in apis for each in _asked(text)]:
        number = own if own is not None else port if port is not None else _usual_port(dialect, told, environ)
        is_alone = number == 0 and (own == 0 or port is None)  # a free port of its own; with --port 0, one for all
        names, _ = groups.setdefault(dialect if is_alone else number, ([], number))
        if dialect not in names:
            names.append(dialect)
    return [Binding(tuple(names), number, host) for names, number in groups.values()]


def _asked(text: str) -> list[tuple[str, int | None]]:
    name, colon, digits = text.strip().partition(":")
    if name not in DIALECTS and name != ALL:
        raise UsageError(f"--api: unknown API {name!r}; known: {', '.join(DIALECTS)}, {ALL}{_nearest_api(name)}")
    own = _port(digits, f"--api {text}") if colon else None
    return [(dialect, own) for dialect in (DIALECTS if name == ALL else (name,))]


def _nearest_api(name: str) -> str:
    near = difflib.get_close_matches(name, DIALECTS, n=1)
    return f"; did you mean {near[0]}?" if near else ""


def _usual_port(dialect: str, told: Told, environ: Mapping[str, str]) -> int:
    if dialect in told.ports:
        return told.ports[dialect]
    variable = PORT_VARIABLES.get(dialect, "")
    return _port(environ[variable], variable) if environ.get(variable) else NATIVE_PORTS[dialect]


def _port(digits: str, where: str) -> int:
    if not digits.isascii() or not digits.isdigit() or int(digits) > 65535:
        raise UsageError(f"{where}: {digits!r} is no port; write 0 to 65535")
    return int(digits)


def allowed_hosts(given: Sequence[str]) -> tuple[str, ...]:
    """Return `HOST` or `HOST:PORT` as a URL's own host and port are compared with. Raises UsageError."""
    return tuple(map(_allowed_host, given))


def _allowed_host(text: str) -> str:
    bracketed = f"[{text}]" if text.count(":") > 1 and not text.startswith("[") else text  # ::1
    match = _HOST_AND_PORT.fullmatch(bracketed)
    try:
        if match is None:
            raise FetchError("url_invalid", "")
        address = parse_url(f"http://{bracketed}/".encode())
        host = ipaddress.IPv6Address(address.host).compressed if ":" in address.host else address.host
    except (FetchError, ValueError) as error:
        words = "is no HOST or HOST:PORT, each by its own name or address, without a scheme, a path or a network"
        raise UsageError(f"--allow-host: {text!r} {words}") from error
    return f"{host}:{address.port}" if match[1] else host


def deadline_s(dialects: Collection[str], environ: Mapping[str, str]) -> float | None:
    """Return the seconds that an original's variable gives a request, None where it says nothing. Raises UsageError."""
    for dialect, variable in DEADLINE_VARIABLES.items():
        if dialect in dialects and (text := environ.get(variable)):
            if not text.isascii() or not text.isdigit() or int(text) == 0:
                raise UsageError(f"{variable}: {text!r} is no number of seconds")
            return float(text)
    return None


def move_hub_cache(dialects: Collection[str], environ: MutableMapping[str, str]) -> None:
    """Let HF_ROOT_FOLDER (vision-models.md) be the hub's root folder. To be called before huggingface_hub is imported.

    HF_HUB_CACHE goes before it, by the hub's own rules; HF_TOKEN needs nothing.
    """
    if "vision-models" in dialects and environ.get("HF_ROOT_FOLDER"):
        environ["HF_HOME"] = environ["HF_ROOT_FOLDER"]


# Models


def models(
    dialects: Collection[str],
    model: str | None,
    model_for: Sequence[str],
    folders: Mapping[str, Path] = WEIGHTS,
) -> dict[tuple[str, str], str]:
    """Return (dialect, role) -> model, for what was asked: `API.TASK=ID` before `TASK=ID` before `model`.

    Where nothing was asked of an API, its platform's folder counts if it holds a checkpoint. Raises UsageError.
    """
    wanted = [_wanted(text, dialects) for text in model_for]
    chosen: dict[tuple[str, str], str] = {}
    for dialect in dialects:
        found = _weights(folders.get(dialect))
        for role in ROLES[dialect]:
            asked = {api: name for api, task, name in wanted if task == role and api in ("", dialect)}
            name = asked.get(dialect) or asked.get("") or model or found
            if name:
                chosen[dialect, role] = name
    return chosen


def _wanted(text: str, dialects: Collection[str]) -> tuple[str, str, str]:
    """`TASK=ID` or `API.TASK=ID` as API (or ""), task, model."""
    left, equals, name = text.partition("=")
    api, dot, task = left.strip().rpartition(".")
    if not equals or not name.strip():
        raise UsageError(f"--model-for: {text!r} is not of the form TASK=ID or API.TASK=ID")
    if dot and api not in dialects:
        raise UsageError(f"--model-for {text}: {api!r} is not among the APIs asked for: {', '.join(dialects)}")
    tasks = list(dict.fromkeys(role for one in ([api] if dot else dialects) for role in ROLES[one]))
    if task not in tasks:
        raise UsageError(f"--model-for {text}: unknown task {task!r}; known: {', '.join(tasks)}")
    return api, task, name.strip()


def _weights(folder: Path | None) -> str | None:
    files = ("config.json", "open_clip_config.json")
    return str(folder) if folder is not None and any((folder / name).is_file() for name in files) else None
