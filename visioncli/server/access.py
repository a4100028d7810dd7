"""Who asked what and how it went: each request seen once, a line of log for it, and an id to find it by.

The line holds no query string, no header and no body, so no key can get into it. Knows nothing of dialects.
"""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import orjson
from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = logging.getLogger("visioncli.access")

API = "visioncli.api"  # key of an ASGI scope: which API answers
NO_ROUTE = "(none)"
LEFT = 499  # nginx's status of a request whose client left before an answer began; logged and counted, never sent
FORMATS = ("text", "json")
LEVELS = ("debug", "info", "warning", "error")
_SANE_ID = re.compile(
    rb"[A-Za-z0-9._:+/=-]{1,128}"
)  # UUIDs, trace ids, RunPod's job ids; nothing that could end a line
_LONGEST_PATH = 300  # characters of a path that are logged


@dataclass(slots=True)
class Exchange:
    """One request and what became of it."""

    id: str
    api: str
    method: str
    path: str  # as sent, still quoted, without its query
    client: str
    route: str = NO_ROUTE  # the template: /jobs/{job_id}
    status: int = 0
    size: int = 0  # bytes of the answer's body
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Template:
    """Put under `route` into an ASGI scope by whoever answers without a framework's route."""

    path: str


Observer = Callable[[Exchange], None]


def observed(app: ASGIApp, api: str, observers: Sequence[Observer]) -> ASGIApp:
    """Wrap an app: its answers carry `x-request-id`, and each is shown to the observers at its end, once."""

    async def watched(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        watch, status = _Watch(_begun(scope, api), scope, send, observers), 500
        try:
            await app(scope, receive, watch.send)
            status = LEFT
        finally:
            watch.tell(status)

    return watched


class _Watch:
    """One exchange while it goes on."""

    __slots__ = ("_begun", "_exchange", "_is_told", "_observers", "_scope", "_send")

    def __init__(self, exchange: Exchange, scope: Scope, send: Send, observers: Sequence[Observer]) -> None:
        self._exchange, self._scope, self._send, self._observers = exchange, scope, send, observers
        self._begun, self._is_told = time.perf_counter(), False

    async def send(self, message: Message) -> None:
        exchange = self._exchange
        if message["type"] == "http.response.start":
            exchange.status = message["status"]
            message = {**message, "headers": [*message.get("headers", ()), (b"x-request-id", exchange.id.encode())]}
        else:
            exchange.size += len(message.get("body", b""))
            if not message.get("more_body", False):
                self.tell(exchange.status)  # before the last bytes go: who has the answer finds it counted
        await self._send(message)

    def tell(self, status: int) -> None:
        """Show the exchange; `status` is what it is where no answer began."""
        if self._is_told:
            return
        self._is_told, exchange = True, self._exchange
        exchange.seconds = time.perf_counter() - self._begun
        exchange.status = exchange.status or status
        exchange.api = self._scope.get(API, exchange.api)
        exchange.route = getattr(self._scope.get("route"), "path", None) or NO_ROUTE
        for observer in self._observers:
            observer(exchange)


def _begun(scope: Scope, api: str) -> Exchange:
    raw = scope.get("raw_path") or scope["path"].encode("utf-8", "surrogateescape")
    path = raw[:_LONGEST_PATH].decode("ascii", "backslashreplace")
    client = scope.get("client")
    return Exchange(_id(scope), api, scope["method"], path, client[0] if client else "")


def _id(scope: Scope) -> str:
    """The client's own where it is sane, else 16 random digits."""
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _SANE_ID.fullmatch(value):
            return str(value, "ascii")
    return secrets.token_hex(8)


def write_line(exchange: Exchange) -> None:
    """Log one exchange; as a warning where the server is to blame."""
    level = logging.WARNING if exchange.status >= 500 else logging.INFO
    if log.isEnabledFor(level):
        # Not log.log(): looking for the caller's line costs half of what a whole line does.
        log.handle(logging.LogRecord(log.name, level, __file__, 0, "%s", (exchange,), None))


def set_up(form: str, level: str) -> None:
    """Send what visioncli says and what its server crashes with to standard error, a line each, as text or JSON."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_FORMATTERS[form]())
    handler.addFilter(_is_no_cancelling)
    for name, least in {"visioncli": level.upper(), "uvicorn.error": "ERROR", "asyncio": "ERROR"}.items():
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(least)


def _is_no_cancelling(record: logging.LogRecord) -> bool:
    """A request that --grace cut off is no crash."""
    return not (record.exc_info and isinstance(record.exc_info[1], asyncio.CancelledError))


class _Text(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        exchange = _exchange_of(record)
        if exchange is None:
            return f"visioncli: {super().format(record)}"
        return (
            f"visioncli: {exchange.client} {exchange.api} {exchange.method} {exchange.path} {exchange.status} "
            f"{exchange.size} bytes {exchange.seconds * 1000:.1f} ms {exchange.id}"
        )


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        entry = {"time": _time(record.created), "level": record.levelname.lower()}
        exchange = _exchange_of(record)
        said = {"message": super().format(record)} if exchange is None else _fields(exchange)
        return orjson.dumps(entry | said).decode()


_FORMATTERS: dict[str, type[logging.Formatter]] = {"text": _Text, "json": _Json}


def _exchange_of(record: logging.LogRecord) -> Exchange | None:
    first = record.args[0] if isinstance(record.args, tuple) and record.args else None
    return first if isinstance(first, Exchange) else None


def _fields(exchange: Exchange) -> dict[str, object]:
    return {
        "request_id": exchange.id,
        "api": exchange.api,
        "method": exchange.method,
        "path": exchange.path,
        "route": exchange.route,
        "status": exchange.status,
        "bytes": exchange.size,
        "ms": round(exchange.seconds * 1000, 2),
        "client": exchange.client,
    }


def _time(seconds: float) -> str:
    """RFC 3339 in UTC, milliseconds."""
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{int(seconds % 1 * 1000):03d}Z"
