"""The flags of serve-compat; each also reads VISIONCLI_<FLAG>, and `--config` stands behind both.

Knows nothing of what the flags do.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from visioncli.cli.hailo_options import DeviceTimeout, Hef, TextEmbeddings, TextHef
from visioncli.cli.options import Dtype, flag

if TYPE_CHECKING:
    from visioncli.server.config import Told

_PORTS, _MODELS, _LOAD, _PIXELS = "Ports", "Models", "Load", "Pictures"
_DOORS, _WORDS, _SAY = "Who may ask", "Behaviour", "What is said"
KEYS = "VISIONCLI_API_KEY"
_TOLD = "visioncli.told"  # where the file's words are kept while flags are read


class Fidelity(StrEnum):
    document = "document"
    original = "original"


class LogFormat(StrEnum):
    text = "text"
    json = "json"


class LogLevel(StrEnum):
    debug = "debug"
    info = "info"
    warning = "warning"
    error = "error"


def _read(ctx: typer.Context, path: Path | None) -> Path | None:
    """Let the file's values stand where neither a flag nor the environment says anything."""
    if path is not None:
        from visioncli.server.config import read_config

        known = {param.name: param for param in ctx.command.params if param.name not in (None, "config", "help")}
        several = {name for name, param in known.items() if getattr(param, "multiple", False)}
        told = read_config(path, [str(name) for name in known], [str(name) for name in several])
        ctx.default_map = {**(ctx.default_map or {}), **told.flags}
        ctx.meta[_TOLD] = told
    return path


def told(ctx: typer.Context) -> Told | None:
    """Return what `--config` said, None where there was none."""
    found: Told | None = ctx.meta.get(_TOLD)
    return found


@dataclass(frozen=True)
class ServeFlags:
    """Every flag of serve-compat."""

    api: Annotated[
        list[str] | None,
        flag(
            "--api",
            panel=_PORTS,
            metavar="NAME[:PORT]|all",
            help="runpod, hf-endpoint, vision-models, hailo-clip, sagemaker-clip; repeatable.",
        ),
    ] = None
    port: Annotated[
        int | None,
        flag(
            "--port",
            panel=_PORTS,
            min=0,
            max=65535,
            help="One port for every API without its own. (default: each API's native port)",
        ),
    ] = None
    host: Annotated[str, flag("--host", panel=_PORTS, help="Address to listen on.")] = "127.0.0.1"
    certfile: Annotated[
        str | None, flag("--certfile", panel=_PORTS, metavar="FILE", help="Certificate for HTTPS, PEM.")
    ] = None
    keyfile: Annotated[
        str | None,
        flag("--keyfile", panel=_PORTS, metavar="FILE", help="The certificate's key, PEM. (default: in --certfile)"),
    ] = None
    config: Annotated[
        Path | None,
        flag(
            "--config",
            panel=_PORTS,
            metavar="FILE.yaml",
            is_eager=True,
            callback=_read,
            help="Flags by name, or the documented hailo-clip.yaml.",
        ),
    ] = None

    model: Annotated[
        str | None,
        flag(
            "--model",
            "-m",
            panel=_MODELS,
            metavar="ID|DIR|ALIAS|demo",
            help="For every API and task. (default: those of the documents)",
        ),
    ] = None
    model_for: Annotated[
        list[str] | None,
        flag(
            "--model-for",
            panel=_MODELS,
            metavar="[API.]TASK=ID",
            help="For one task: classify, embed, segment, detect, depth, features; repeatable.",
        ),
    ] = None
    device: Annotated[
        str, flag("--device", panel=_MODELS, metavar="auto|cpu|cuda[:n]|mps|hailo[:n]", help="Where models run.")
    ] = "auto"
    strict_device: Annotated[
        bool,
        flag(
            "--strict-device",
            panel=_MODELS,
            help="Refuse a request for a device that is not here. (default: fall back, and say so)",
        ),
    ] = False
    dtype: Annotated[Dtype, flag("--dtype", panel=_MODELS, help="Numbers the models compute in.")] = Dtype.auto
    offline: Annotated[bool, flag("--offline", panel=_MODELS, help="Never reach for the model hub.")] = False
    preload: Annotated[
        bool | None,
        flag(
            "--preload/--no-preload",
            panel=_MODELS,
            help="Load at the start, or at the first request. (default: as the originals)",
        ),
    ] = None
    auto_load: Annotated[
        bool, flag("--auto-load/--no-auto-load", panel=_MODELS, help="vision-models: load what a request needs.")
    ] = True
    idle_unload: Annotated[
        str | None,
        flag(
            "--idle-unload", panel=_MODELS, metavar="30m", help="Unload what nobody asked for so long. (default: never)"
        ),
    ] = None

    hef: Hef = None
    text_hef: TextHef = None
    text_embeddings: TextEmbeddings = None
    device_timeout_ms: DeviceTimeout = None

    max_batch: Annotated[
        int | None, flag("--max-batch", panel=_LOAD, min=1, help="Pictures in a forward pass. (default: by device)")
    ] = None
    max_wait_ms: Annotated[
        float, flag("--max-wait-ms", panel=_LOAD, min=0, help="How long the device waits for pictures being decoded.")
    ] = 5.0
    max_queue: Annotated[
        int | None,
        flag(
            "--max-queue",
            panel=_LOAD,
            min=1,
            help="Requests at once for each API, the rest is told to come back. (default: 256; hailo-clip 10)",
        ),
    ] = None
    max_jobs: Annotated[
        int,
        flag("--max-jobs", panel=_LOAD, min=1, help="Jobs that may wait for each API, the rest is told to come back."),
    ] = 4096
    request_timeout: Annotated[
        str, flag("--request-timeout", panel=_LOAD, metavar="10m", help="For one whole answer.")
    ] = "10m"
    hang_after: Annotated[
        str,
        flag(
            "--hang-after",
            panel=_LOAD,
            metavar="5m",
            help="For one step of a batch; a device that takes longer hangs, and is started again.",
        ),
    ] = "5m"
    grace: Annotated[
        str, flag("--grace", panel=_LOAD, metavar="30s", help="For what runs when the server is told to stop.")
    ] = "30s"
    jobs_db: Annotated[
        Path | None,
        flag(
            "--jobs-db",
            panel=_LOAD,
            metavar="FILE",
            help="Asynchronous jobs, SQLite. (default: in the user's state folder)",
        ),
    ] = None

    api_key: Annotated[
        list[str] | None,
        flag(
            "--api-key",
            panel=_DOORS,
            metavar="KEY",
            help=f"Ask clients for it; repeatable. {KEYS} may hold several, with commas.",
        ),
    ] = None
    cors_origin: Annotated[
        list[str] | None,
        flag(
            "--cors-origin",
            panel=_DOORS,
            metavar="ORIGIN",
            help="Browsers' pages that may ask; repeatable. (default: vision-models all, others none)",
        ),
    ] = None
    allow_host: Annotated[
        list[str] | None,
        flag(
            "--allow-host",
            panel=_DOORS,
            metavar="HOST[:PORT]",
            help="Private address that pictures may come from; repeatable.",
        ),
    ] = None
    ca_cert: Annotated[
        str | None,
        flag("--ca-cert", panel=_DOORS, metavar="FILE", help="Certificates to trust when fetching pictures, PEM."),
    ] = None

    max_bytes: Annotated[
        str, flag("--max-bytes", panel=_PIXELS, metavar="N[k|M|G]", help="Larger pictures are refused.")
    ] = "32M"
    max_pixels: Annotated[
        str,
        flag(
            "--max-pixels",
            panel=_PIXELS,
            metavar="N[k|M|G]",
            help="Larger pictures are refused, before memory is spent.",
        ),
    ] = "100M"
    upright: Annotated[
        bool,
        flag(
            "--upright",
            panel=_PIXELS,
            help="Turn pictures as their EXIF says, as jobs do. (default: as the originals, not)",
        ),
    ] = False
    alpha: Annotated[
        str,
        flag(
            "--alpha",
            panel=_PIXELS,
            metavar="white|black|drop|#RRGGBB",
            help="What is behind transparent pixels; drop: as the originals.",
        ),
    ] = "drop"

    fidelity: Annotated[
        Fidelity,
        flag(
            "--fidelity",
            panel=_WORDS,
            help="Where an API's document and its original code differ: the document, or the code.",
        ),
    ] = Fidelity.document

    log_format: Annotated[LogFormat, flag("--log-format", panel=_SAY, help="Of what is said on standard error.")] = (
        LogFormat.text
    )
    log_level: Annotated[
        LogLevel, flag("--log-level", panel=_SAY, help="Least important that is said; each request is info.")
    ] = LogLevel.info
