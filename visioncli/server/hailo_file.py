"""The configuration file that the Hailo service documents (`/etc/hailo/hailo-clip.yaml`, or as JSON), as our flags.

Knows nothing of other files, of typer or of sockets.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from visioncli.server.settings import HAILO_MODEL, ROLES, HailoOptions

Said = Mapping[tuple[str, str], Any]  # (section, key) -> value

# Of its keys, those that say something about this server; the others are named as being without effect, among them
# `image_size` (the checkpoint's, or the HEF's own). `hef`, `text_hef` and `file` are ours.
NAME = "hailo-clip"
SECTIONS = ("server", "clip", "text_embedding", "performance", "resource_limits", "logging")
FLAGS: dict[tuple[str, str], tuple[str, Callable[[Any], Any]]] = {  # (section, key) -> flag, its value
    ("server", "host"): ("host", str),
    ("performance", "max_queue_size"): ("max_queue", int),
    ("performance", "request_timeout"): ("request_timeout", str),
    ("clip", "device_timeout_ms"): ("device_timeout_ms", int),
    ("clip", "hef"): ("hef", str),
    ("clip", "text_hef"): ("text_hef", str),
    ("logging", "level"): ("log_level", lambda level: str(level).lower()),
    ("logging", "format"): ("log_format", str),
}
MODES = ("ondemand", "precomputed")  # of text_embedding
READ = {  # what else is read of the file
    *(("server", "port"), ("clip", "model"), ("clip", "apply_softmax"), ("clip", "logit_scale")),
    *(("text_embedding", "mode"), ("text_embedding", "file"), ("clip", "device"), ("clip", "batch_size")),
}
DEVICE_ALONE = {  # of all these, what means nothing to another device
    *(("clip", "device"), ("clip", "batch_size"), ("clip", "device_timeout_ms"), ("clip", "hef"), ("clip", "text_hef")),
    *(("text_embedding", "mode"), ("text_embedding", "file")),
}


@dataclass(frozen=True, slots=True)
class Translated:
    """Values by the flags' names, with underscores; and what no flag says."""

    flags: dict[str, Any]
    ports: dict[str, int]
    options: HailoOptions


def is_hailo_file(content: Mapping[Any, Any]) -> bool:
    """Whether the file has sections, as ours has not."""
    return any(isinstance(content.get(section), Mapping) for section in SECTIONS)


def said_in(content: Mapping[Any, Any]) -> dict[tuple[str, str], Any]:
    """Return every key of every section that is known, and has a value: without one it says nothing."""
    sections = {name: section for name in SECTIONS if isinstance(section := content.get(name), Mapping)}
    pairs = ((name, key, value) for name, section in sections.items() for key, value in section.items())
    return {(name, key): value for name, key, value in pairs if value is not None}


def translated(said: Said) -> Translated:
    """What the file does not say stays open. Raises ValueError for a value of another type."""
    flags = {flag: _taken(said, key, as_flag) for key, (flag, as_flag) in FLAGS.items() if key in said}
    ports = {NAME: _taken(said, ("server", "port"), _port)} if ("server", "port") in said else {}
    model = said.get(("clip", "model"), HAILO_MODEL)  # the default: whatever answers where nothing is asked for
    named = [] if model == HAILO_MODEL else [f"{NAME}.{role}={model}" for role in ROLES[NAME]]
    return Translated({"api": [NAME], "model_for": named, **flags, **_device(said)}, ports, _options(said))


def idle(said: frozenset[tuple[str, str]], flags: Mapping[str, Any], on_hailo: bool) -> list[str]:
    """Return the keys that change nothing."""
    acting = {*FLAGS, *READ} - (set() if on_hailo else DEVICE_ALONE)
    if "text_embeddings" not in flags:
        acting -= {("text_embedding", "file")}  # the mode is another
    return sorted(f"{section}.{key}" for section, key in said - acting)


def _port(value: Any) -> int:
    if not 0 <= int(value) <= 65535:
        raise ValueError(f"{value} is no port; write 0 to 65535")
    return int(value)


def _options(said: Said) -> HailoOptions:
    default = HailoOptions()
    return HailoOptions(
        _taken(said, ("clip", "apply_softmax"), bool, default.apply_softmax),
        _taken(said, ("clip", "logit_scale"), float, default.logit_scale),
        _taken(said, ("clip", "device"), int, default.number),
        _taken(said, ("clip", "batch_size"), int, default.frames),
    )


def _taken(said: Said, key: tuple[str, str], kind: Callable[[Any], Any], default: Any = None) -> Any:
    """Raises ValueError that names the key."""
    try:
        return kind(said[key]) if key in said else default
    except (TypeError, ValueError) as error:
        raise ValueError(f"{'.'.join(key)}: {error}") from error


def _device(said: Said) -> dict[str, Any]:
    """Flags that a file with a HEF of its own means. Raises ValueError."""
    mode = said.get(("text_embedding", "mode"), MODES[0])
    if mode not in MODES:
        raise ValueError(f"text_embedding.mode {mode!r} is unknown; known: {', '.join(MODES)}")
    flags = {"device": "hailo"} if said.get(("clip", "hef")) else {}
    if mode == "precomputed" and said.get(("text_embedding", "file")):
        return flags | {"text_embeddings": str(said["text_embedding", "file"])}
    if mode == "precomputed" and flags:
        raise ValueError("text_embedding.mode precomputed needs text_embedding.file, a JSON of texts and vectors")
    return flags
