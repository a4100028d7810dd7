"""What is said when a server starts: where each API listens, a line to try it, what answers, and who could get in.

Knows nothing of sockets or requests.
"""

from __future__ import annotations

import ipaddress
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from visioncli.server.config import Binding
    from visioncli.server.roles import Standing
    from visioncli.server.service import Service
    from visioncli.server.settings import ServeSettings

log = logging.getLogger("visioncli.server")

_PICTURE = "$(base64 < cat.jpg | tr -d '\\n')"
TRIES = {  # dialect -> path and JSON, as a shell takes it between double quotes; without one: its address alone
    "runpod": (
        "/v2/siglip/runsync",
        f'{{"input": {{"task": "classify", "image_base64": "{_PICTURE}", "labels": "cat,dog"}}}}',
    ),
    "hf-endpoint": ("/", '{"inputs": "a cat", "parameters": {"mode": "text_embedding"}}'),
    "vision-models": ("/inference/grounding-dino", f'{{"images": ["{_PICTURE}"], "prompts": ["cat"]}}'),
    "hailo-clip": ("/v1/embed/text", '{"text": "a cat"}'),
    "sagemaker-clip": ("/invocations", f'{{"images": ["{_PICTURE}"], "classes": [["cat", 1], ["dog", 0]]}}'),
}


def opened(ports: Sequence[tuple[Binding, int]], settings: ServeSettings, is_tls: bool) -> None:
    """Say where each API listens and how to try it; and, loudly, that anyone could."""
    for binding, port in ports:
        address = f"{'https' if is_tls else 'http'}://{_reachable(binding.host)}:{port}"
        for dialect in binding.dialects:
            log.info("%s listens on %s; try:", dialect, address)
            log.info("  %s", _curl(dialect, address, with_key=bool(settings.api_keys)))
    open_hosts = sorted({binding.host for binding, _ in ports if not _is_loopback(binding.host)})
    if open_hosts and not settings.api_keys:
        log.warning("WARNING: whoever reaches %s can use this server, and can make it fetch URLs", open_hosts[0])
        log.warning("WARNING: set VISIONCLI_API_KEY (or --api-key), or leave --host at 127.0.0.1")


def loaded(service: Service, dialects: Sequence[str]) -> None:
    """Say which model answers for each API and role, on which device."""
    for dialect in dialects:
        roles: dict[str, list[str]] = {}
        for role, standing in service.status(dialect).items():
            roles.setdefault(_described(standing), []).append(role)
        for described, names in roles.items():
            log.info("%s %s: %s", dialect, ", ".join(names), described)
    log.info("ready")


def _described(standing: Standing) -> str:
    info = standing.info
    if info is None:
        return f"{standing.model}, loaded at the first request"
    dimensions = [f"{info.dimension} dimensions"] if info.dimension else []
    return ", ".join([info.id, *dimensions, info.device, info.dtype])


def _curl(dialect: str, address: str, with_key: bool) -> str:
    key = ' -H "Authorization: Bearer $VISIONCLI_API_KEY"' if with_key else ""
    if dialect not in TRIES:
        return f"curl {address}/{key}"
    path, body = TRIES[dialect]
    quoted = '"' + body.replace('"', '\\"') + '"' if "$(" in body else f"'{body}'"
    return f"curl {address}{path}{key} -H 'Content-Type: application/json' -d {quoted}"


def _reachable(host: str) -> str:
    """How a client on this machine writes a host."""
    everywhere = {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "[::1]"}
    return everywhere.get(host) or (f"[{host}]" if ":" in host else host)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"
