"""What of their bodies all requests together may hold, and how slowly a body may come.

Room: a client's bodies are at most as many bytes as are left free (Choudhury and Hahne, "Dynamic queue length
thresholds", 1998): one client alone gets half of the room, n of them one share each of n + 1, and the last one stays
free for who comes next. Where a client has no more, that of its bodies gives way which has not been coming for longest:
behind a proxy all are one client. A client is an address, of IPv6 a network of 64 bits. A body counts from its first
byte until its request is answered, for what was made of it (text, pictures) lives as long.

Time: ENOUGH_BYTES in each PATIENCE_S, or the body's end; all of it within the request's own time. When the server
stops, what has not come in whole is not waited for.

A long answer goes out in pieces, so that it can be told that a client takes nothing of it (see `wire`).

Knows nothing of dialects: what it raises while a dialect reads, the dialect words.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections import Counter

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from visioncli.server.refusals import Busy, Refusal, Stopping, TooSlow

INTAKE_BYTES = 512 * 2**20  # eight of the largest bodies; JSON and base64 make about three times as much of it
ENOUGH_BYTES = 256 * 2**10  # 13 KB/s in PATIENCE_S: a poor telephone line gets a picture through
PATIENCE_S = 20.0  # without so much of a body that is still to come
GIVES_WAY_S = 1.0  # the same, where its client needs the room
PIECE_BYTES = 256 * 2**10  # of an answer, handed to the connection at once
RETRY_AFTER_S = 2
NO_ROOM = "the bodies of all requests together are more than there is room for"


class Intake:
    """Of one event loop. `deadline_s` is a whole request's."""

    def __init__(self, limit: int = INTAKE_BYTES, deadline_s: float = 600.0, patience_s: float = PATIENCE_S) -> None:
        self.limit, self.deadline_s, self.patience_s = limit, deadline_s, patience_s
        self.held = 0  # bytes of all clients
        self.waiting: set[_Exchange] = set()  # for more of a body
        self.is_stopping = False
        self._held_by: Counter[str] = Counter()

    def bounded(self, app: ASGIApp) -> ASGIApp:
        """Wrap an app: reading a body raises Busy where it has no room, TooSlow, Stopping."""

        async def answered(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http":
                await app(scope, receive, send)
                return
            exchange = _Exchange(self, scope, receive, send)
            try:
                await app(scope, exchange.receive, exchange.send)
            finally:
                exchange.let_go()

        return answered

    def stop(self) -> None:
        """Wait for no more bodies."""
        self.is_stopping = True
        for each in self.waiting:
            each.end(Stopping("the server is shutting down"))

    def take(self, client: str, size: int) -> None:
        """Give a client room. Raises Busy."""
        while self._held_by[client] + size > self.limit - self.held - size:
            before = asyncio.get_running_loop().time() - GIVES_WAY_S
            still = [each for each in self.waiting if each.client == client and each.since < before and each.own]
            if not still:
                raise Busy(NO_ROOM, RETRY_AFTER_S)
            oldest = min(still, key=lambda each: each.since)
            oldest.let_go()
            oldest.end(Busy(NO_ROOM, RETRY_AFTER_S))
        self._held_by[client] += size
        self.held += size

    def give_back(self, client: str, size: int) -> None:
        self.held -= size
        self._held_by[client] -= size
        if not self._held_by[client]:
            del self._held_by[client]


class _Exchange:
    """One request's body and answer on their way."""

    __slots__ = ("_fault", "_intake", "_is_whole", "_news", "_patience", "_receive", "_send", "_until", "client", "own",
                 "since")  # fmt: skip

    def __init__(self, intake: Intake, scope: Scope, receive: Receive, send: Send) -> None:
        self._intake, self._receive, self._send = intake, receive, send
        self._is_whole, self._patience = False, asyncio.timeout(None)
        self._fault: Refusal | None = None  # why no more of the body is read
        self.client, self.own = client_of(scope), 0  # bytes held
        self.since, self._news = asyncio.get_running_loop().time(), 0  # bytes since then
        self._until = self.since + intake.deadline_s

    async def receive(self) -> Message:
        if self._is_whole:
            return await self._receive()
        message = await self._in_time()
        if message["type"] == "http.request":
            self._take(len(message.get("body", b"")))
            self._is_whole = not message.get("more_body", False)
        return message

    async def send(self, message: Message) -> None:
        if self._fault is not None and message["type"] == "http.response.start":  # RFC 9110, 15.5.9
            message = {**message, "headers": [*message.get("headers", ()), (b"connection", b"close")]}
        body, sent = message.get("body", b""), 0
        while len(body) - sent > PIECE_BYTES:
            await self._send({**message, "body": body[sent : sent + PIECE_BYTES], "more_body": True})
            sent += PIECE_BYTES
        await self._send({**message, "body": body[sent:]} if sent else message)

    def let_go(self) -> None:
        if self.own:
            self._intake.give_back(self.client, self.own)
            self.own = 0

    def end(self, fault: Refusal) -> None:
        """Read no more of a body that is being waited for."""
        self._fault = fault
        if not self._patience.expired():
            self._patience.reschedule(asyncio.get_running_loop().time())

    async def _in_time(self) -> Message:
        """Raises TooSlow, and what the body was ended with."""
        intake = self._intake
        if intake.is_stopping:
            self._fault = Stopping("the server is shutting down")
        try:
            async with asyncio.timeout_at(self._ends()) as self._patience:
                intake.waiting.add(self)
                return await self._receive()
        except TimeoutError:
            self._fault = self._fault or TooSlow("the body did not come in in time")
            raise self._fault from None
        finally:
            intake.waiting.discard(self)

    def _ends(self) -> float:
        return min(self.since + self._intake.patience_s, self._until) if self._fault is None else 0.0

    def _take(self, size: int) -> None:
        """Raises Busy, and what the body was ended with."""
        if self._fault is not None:
            raise self._fault
        if not size:
            return
        self._intake.take(self.client, size)
        self.own, self._news = self.own + size, self._news + size
        if self._news >= ENOUGH_BYTES:
            self.since, self._news = asyncio.get_running_loop().time(), 0


def client_of(scope: Scope) -> str:
    """Return who asks: an address, of IPv6 the network that one subscriber has (RFC 6177)."""
    host = (scope.get("client") or ("",))[0]
    if ":" not in host:
        return str(host)
    address = ipaddress.IPv6Address(host.partition("%")[0])
    return str(address.ipv4_mapped or int(address) >> 64)
