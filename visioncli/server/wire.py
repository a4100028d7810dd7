"""What one connection may do before a request is known, and while an answer goes out.

uvicorn's protocol over httptools has no bounds here; the one over h11 bounds a head, and takes 157 us of processor time
a request of 28 KB where the former takes 51. So they are added: to the bytes of a head, and of what else is no body
(trailers, extensions of chunks); to the time in which a head must be there; to that in which a client must take what it
is sent.

A request that is not known yet has no API: it is refused in both shapes of error, as an unknown path of a shared port.
"""

from __future__ import annotations

import asyncio
import http
import logging
from typing import Any

import orjson
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

log = logging.getLogger("visioncli.server")

HEAD_BYTES = 64 * 2**10  # request line and headers: eight times what proxies let through
PATIENCE_S = 20.0  # for a head to be there, and for a client to take a piece of its answer (see `intake`)
LINGER_S = 0.5  # what comes after a refusal is dropped so long: closed at once, the refusal might not be read
WORDS = {
    400: "this is no HTTP request",
    408: f"the request's headers did not come in within {PATIENCE_S:g} s",
    431: f"the request line and its headers have more than the {HEAD_BYTES} bytes allowed",
}


class _TooLong(Exception):
    """Ends the parser's work on a head."""


class Wire(HttpToolsProtocol):
    """A client's connection."""

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self._bare = 0  # bytes since the message began or its body last grew
        self._is_open = self._has_head = self._is_refused = False  # open: begun, not complete
        self._fault = 400  # of what the parser does not go on with
        self._patience: asyncio.TimerHandle | None = None  # for a head
        self._taking: asyncio.TimerHandle | None = None  # for the client to take bytes

    # The transport's calls

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        _end(self._patience)
        _end(self._taking)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._is_refused:
            return
        self._bare += len(data)
        super().data_received(data)
        if self._is_refused or not self._is_open:
            return
        if self._bare > HEAD_BYTES:
            self._refuse(431)
        elif not self._has_head and self._patience is None and self._is_idle():
            self._await_head()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._taking = self.loop.call_later(PATIENCE_S, self.transport.abort)

    def resume_writing(self) -> None:
        _end(self._taking)
        super().resume_writing()

    # The parser's calls

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._bare, self._is_open, self._has_head = 0, True, False

    def on_headers_complete(self) -> None:
        if len(self.url) + sum(len(name) + len(value) for name, value in self.headers) > HEAD_BYTES:
            self._fault = 431
            raise _TooLong
        self._has_head = True
        self._end_patience()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._bare = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._is_open = False
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Called for all that the parser raises."""
        self._refuse(self._fault)

    # Refusals

    def _is_idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _await_head(self) -> None:
        self._patience = self.loop.call_later(PATIENCE_S, self._refuse, 408)

    def _end_patience(self) -> None:
        _end(self._patience)
        self._patience = None

    def _refuse(self, status: int) -> None:
        """Say why where no other answer is on its way, and close."""
        self._end_patience()
        self._is_refused = True
        log.info("a connection was refused with %d: %s", status, WORDS[status])
        if not self._is_idle():
            self.transport.close()
            return
        body = orjson.dumps({"error": WORDS[status], "detail": WORDS[status]})
        head = f"HTTP/1.1 {status} {http.HTTPStatus(status).phrase}\r\ncontent-type: application/json\r\n"
        self.transport.write(f"{head}content-length: {len(body)}\r\nconnection: close\r\n\r\n".encode() + body)
        self.loop.call_later(LINGER_S, self.transport.close)


def _end(timer: asyncio.TimerHandle | None) -> None:
    """Let a timer do nothing."""
    if timer is not None:
        timer.cancel()
