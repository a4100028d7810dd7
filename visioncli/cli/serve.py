"""serve-compat: the documented APIs over one engine. Flags to settings; what they do is in `server/`."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

import typer

from visioncli.cli.options import with_flags
from visioncli.cli.serve_options import KEYS, ServeFlags, told
from visioncli.cli.values import amount, duration_s
from visioncli.errors import UsageError

if TYPE_CHECKING:
    from visioncli.models.runtime import HailoRequest
    from visioncli.server.config import Binding, Told
    from visioncli.server.settings import ServeSettings

log = logging.getLogger("visioncli")

_FILES = ("hef", "text_hef", "text_embeddings")
_OF_HAILO = (*_FILES, "device_timeout_ms")
_CHANGE_ANSWERS = frozenset({"model", "model_for", "dtype", "fidelity", "upright", "alpha", *_FILES})


@with_flags(ServeFlags)
def serve_compat(ctx: typer.Context, *, flags: ServeFlags) -> None:
    """Answer five documented REST APIs, so that their clients notice no difference.

    What --fidelity original changes. vision-models: boxes are plain lists, run lengths have the original's form alone,
    a request that does not fit is 422. hf-endpoint: softmax over raw cosines, a flat list for one image in a list,
    an image without texts means similarity, a short text alone is a text. The other APIs: nothing.
    """
    from visioncli.server.access import set_up

    set_up(flags.log_format.value, flags.log_level.value)
    bound, settings = plan(ctx, flags)
    _announce_environment(ctx)
    _announce_idle(ctx, settings)
    from visioncli.server.listen import Tls, serve  # not before `plan`: the hub's library looks for its folder once

    serve(bound, settings, Tls(flags.certfile, flags.keyfile) if flags.certfile else None)


def plan(ctx: typer.Context, flags: ServeFlags) -> tuple[list[Binding], ServeSettings]:
    """Return who listens where, and the settings of all. Raises UsageError."""
    from visioncli.server import config

    said = told(ctx) or config.Told()
    bound = config.bindings(_several(ctx, "api", flags.api), flags.port, flags.host, said, os.environ)
    dialects = list(dict.fromkeys(name for binding in bound for name in binding.dialects))
    config.move_hub_cache(dialects, os.environ)
    if flags.keyfile and not flags.certfile:
        raise UsageError("--keyfile: a certificate is needed, too: --certfile FILE")
    return bound, _settings(ctx, flags, dialects, said)


def _settings(ctx: typer.Context, flags: ServeFlags, dialects: list[str], said: Told) -> ServeSettings:
    from visioncli.io.decode import DecodeOptions
    from visioncli.io.fetch import FetchOptions
    from visioncli.server import config
    from visioncli.server.settings import BODY, ServeSettings, refuse_other_tasks

    refuse_other_tasks(flags.device, dialects)
    max_bytes = amount(flags.max_bytes, "--max-bytes")
    deadline_s = config.deadline_s(dialects, os.environ) if _is_unsaid(ctx, "request_timeout") else None
    in_base64 = max_bytes * 4 // 3 + 2**20  # a body with one such picture and room for what is around it
    return ServeSettings(
        models=config.models(dialects, flags.model, _several(ctx, "model_for", flags.model_for)),
        device=_device(flags, said),
        hailo_files=_hailo_files(ctx, flags, said),
        dtype=flags.dtype.value,
        offline=flags.offline,
        fidelity=flags.fidelity.value,
        api_keys=_keys(ctx, flags),
        max_batch=flags.max_batch,
        max_wait_s=flags.max_wait_ms / 1000,
        max_queue=flags.max_queue,
        max_jobs=flags.max_jobs,
        deadline_s=deadline_s or duration_s(flags.request_timeout, "--request-timeout"),
        hang_after_s=duration_s(flags.hang_after, "--hang-after"),
        grace_s=duration_s(flags.grace, "--grace"),
        idle_unload_s=duration_s(flags.idle_unload, "--idle-unload") if flags.idle_unload else None,
        preload=flags.preload,
        auto_load=flags.auto_load,
        jobs_db=flags.jobs_db,
        max_body_bytes=in_base64 if in_base64 > BODY else None,
        fetch=FetchOptions(
            guard=True,
            retries=0,
            max_bytes=max_bytes,
            ca_cert=flags.ca_cert,
            allow_hosts=config.allowed_hosts(_several(ctx, "allow_host", flags.allow_host)),
        ),
        decode=DecodeOptions(
            max_pixels=amount(flags.max_pixels, "--max-pixels"), alpha=flags.alpha, exact=True, upright=flags.upright
        ),
        cors_origins=_several(ctx, "cors_origin", flags.cors_origin) or None,
        strict_device=flags.strict_device,
        hailo=said.hailo,
    )


def _keys(ctx: typer.Context, flags: ServeFlags) -> tuple[str, ...]:
    """Raises UsageError where keys were meant and none is there: the server would be open."""
    keys, said = _several(ctx, "api_key", flags.api_key), told(ctx)
    is_meant = flags.api_key or KEYS in os.environ or (said is not None and "api_key" in said.flags)
    if is_meant and not keys:
        raise UsageError(f"--api-key, {KEYS}: there is no key in it; without one, leave it away")
    return keys


def _device(flags: ServeFlags, said: Told) -> str:
    """The file's number stands where the flag names none."""
    number = said.hailo.number
    return flags.device if flags.device != "hailo" or number is None else f"hailo:{number}"


def _hailo_files(ctx: typer.Context, flags: ServeFlags, said: Told) -> HailoRequest | None:
    """Raises UsageError."""
    from visioncli.cli.hailo_options import requested
    from visioncli.models.runtime import is_hailo

    by_hand = [name for name in _OF_HAILO if _source(ctx, name) not in ("DEFAULT", "DEFAULT_MAP")]
    if not is_hailo(flags.device) and not by_hand:
        return None  # the file alone speaks of that device
    texts = flags.text_hef, flags.text_embeddings
    return requested(flags.hef, *texts, flags.device_timeout_ms, said.hailo.frames)


def _announce_idle(ctx: typer.Context, settings: ServeSettings) -> None:
    """Say which keys of a Hailo file mean nothing to this server."""
    said = told(ctx)
    if said is not None and (idle := said.idle(settings.hailo_files is not None)):
        log.warning("--config: without effect here: %s", ", ".join(idle))


def _source(ctx: typer.Context, name: str) -> str:
    source = ctx.get_parameter_source(name)
    return "DEFAULT" if source is None else source.name


def _is_unsaid(ctx: typer.Context, name: str) -> bool:
    return _source(ctx, name) == "DEFAULT"


def _several(ctx: typer.Context, name: str, values: list[str] | None) -> tuple[str, ...]:
    """What was given several times; in an environment variable, with commas between."""
    given = values or ()
    split = [part for value in given for part in value.split(",")] if _source(ctx, name) == "ENVIRONMENT" else given
    return tuple(part.strip() for part in split if part.strip())


def _announce_environment(ctx: typer.Context) -> None:
    """Say which values came from the environment and change answers."""
    for parameter in ctx.command.params:
        if parameter.name in _CHANGE_ANSWERS and _source(ctx, parameter.name) == "ENVIRONMENT":
            log.warning("%s=%s comes from %s", parameter.opts[0], ctx.params[parameter.name], parameter.envvar)
