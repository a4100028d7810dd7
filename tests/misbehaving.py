"""A real HTTP server on 127.0.0.1 that misbehaves on request, and remembers who came when.

    with misbehaving.serve({"cat.jpg": data}) as server:
        server.url("/ok/cat.jpg")
        server.times("/flaky")          # arrival times of requests, time.monotonic()
        server.busiest                  # most requests that were under way at once

Routes are the functions of ROUTES. Written on bare sockets, because HTTP libraries refuse to lie about lengths.
"""

from __future__ import annotations

import asyncio
import gzip
import ssl
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email.utils import formatdate
from urllib.parse import parse_qs, unquote, urlsplit

ETAG = '"v1"'
LAST_MODIFIED = "Wed, 21 Oct 2015 07:28:00 GMT"
PAGE = b"<!DOCTYPE html><html><body>Not found, but politely.</body></html>"


@dataclass(frozen=True)
class Request:
    target: str  # as sent: path and query, still quoted
    headers: dict[str, str]  # names in lower case
    at: float

    @property
    def path(self) -> str:
        return unquote(urlsplit(self.target).path)

    def query(self, name: str, default: str = "") -> str:
        return parse_qs(urlsplit(self.target).query).get(name, [default])[0]


@dataclass
class Server:
    pictures: dict[str, bytes]
    busy_with: set[str] = field(default_factory=set)  # names below /ok/ that are 503 for now
    scheme: str = "http"
    port: int = 0
    requests: list[Request] = field(default_factory=list)
    connections: int = 0
    busy: int = 0
    busiest: int = 0

    def url(self, target: str, host: str = "127.0.0.1") -> bytes:
        return f"{self.scheme}://{host}:{self.port}{target}".encode()

    def times(self, path: str) -> list[float]:
        return [request.at for request in self.requests if request.path == path]

    def count(self, path: str) -> int:
        return len(self.times(path))


Writer = asyncio.StreamWriter
Route = Callable[[Server, Request, Writer], Awaitable[None]]


def answer(writer: Writer, status: int, body: bytes = b"", **headers: str | int) -> None:
    """One honest answer; header names with _ for -."""
    lines = {"Content_Length": len(body), **headers}
    head = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in lines.items())
    writer.write(f"HTTP/1.1 {status} Whatever\r\n{head}\r\n".encode("utf-8", "surrogateescape") + body)


async def ok(server: Server, request: Request, writer: Writer) -> None:
    name = request.path.removeprefix("/ok/")
    if name in server.busy_with:
        answer(writer, 503, PAGE)
    elif name in server.pictures:
        answer(writer, 200, server.pictures[name], Content_Type="image/jpeg")
    else:
        answer(writer, 404, PAGE)


async def status(server: Server, request: Request, writer: Writer) -> None:
    answer(writer, int(request.path[1:]), PAGE)


async def slow(server: Server, request: Request, writer: Writer) -> None:
    await asyncio.sleep(float(request.query("s", "0.05")))
    answer(writer, 200, b"slow")


async def dripping(server: Server, request: Request, writer: Writer) -> None:
    answer(writer, 200, b"", Content_Length=1000)
    while not writer.is_closing():
        writer.write(b".")
        await asyncio.sleep(0.02)


async def truncated(server: Server, request: Request, writer: Writer) -> None:
    answer(writer, 200, b"half", Content_Length=8)
    writer.close()


async def chunked_truncated(server: Server, request: Request, writer: Writer) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n")
    writer.close()


async def flaky(server: Server, request: Request, writer: Writer) -> None:
    """429 with Retry-After for the first request (`?after=`, or an HTTP date `?date=` seconds ahead), then 200."""
    ahead = request.query("date")
    after = formatdate(time.time() + float(ahead), usegmt=True) if ahead else request.query("after", "1")
    if server.count(request.path) > 1:
        answer(writer, 200, b"at last")
    else:
        answer(writer, 429, PAGE, Retry_After=after)


async def once_broken(server: Server, request: Request, writer: Writer) -> None:
    """Truncated for the first request, then 200."""
    await (truncated if server.count(request.path) == 1 else slow)(server, request, writer)


async def busy(server: Server, request: Request, writer: Writer) -> None:
    answer(writer, 503, PAGE)


async def reset(server: Server, request: Request, writer: Writer) -> None:
    writer.close()


async def endless(server: Server, request: Request, writer: Writer) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
    while not writer.is_closing():
        writer.write(b"\0" * 65536)
        await writer.drain()


async def huge(server: Server, request: Request, writer: Writer) -> None:
    answer(writer, 200, b"", Content_Length=10**12)


async def redirect_loop(server: Server, request: Request, writer: Writer) -> None:
    answer(writer, 302, b"", Location="/redirect-loop")


async def redirect_to(server: Server, request: Request, writer: Writer) -> None:
    answer(writer, 302, b"", Location=request.query("u"))


async def redirect_to_nowhere(server: Server, request: Request, writer: Writer) -> None:
    answer(writer, 302, b"")


async def html(server: Server, request: Request, writer: Writer) -> None:
    answer(writer, 200, PAGE, Content_Type="image/jpeg")


async def etag(server: Server, request: Request, writer: Writer) -> None:
    same = request.headers.get("if-none-match") == ETAG
    answer(writer, 304 if same else 200, b"" if same else b"tagged", ETag=ETAG)


async def tagged(server: Server, request: Request, writer: Writer) -> None:
    """A picture with an ETag, or 304 to whoever has it."""
    same = request.headers.get("if-none-match") == ETAG
    picture = server.pictures[request.path.removeprefix("/tagged/")]
    answer(writer, 304 if same else 200, b"" if same else picture, ETag=ETAG)


async def last_modified(server: Server, request: Request, writer: Writer) -> None:
    same = request.headers.get("if-modified-since") == LAST_MODIFIED
    answer(writer, 304 if same else 200, b"" if same else b"dated", Last_Modified=LAST_MODIFIED)


async def ignorant_etag(server: Server, request: Request, writer: Writer) -> None:
    """Sends an ETag, never a 304, and a body that never comes."""
    answer(writer, 200, b"", ETag=ETAG, Content_Length=10**6)


async def odd(server: Server, request: Request, writer: Writer) -> None:
    """Bytes that are not UTF-8 in the ETag, or in the words of a 404."""
    if request.path == "/odd/etag":
        answer(writer, 200, b"odd", ETag='"\udcff\udcfe"')
    else:
        writer.write(b"HTTP/1.1 404 N\xff\xfe\r\nContent-Length: 0\r\n\r\n")


async def empty(server: Server, request: Request, writer: Writer) -> None:
    answer(writer, 200)


async def gzipped(server: Server, request: Request, writer: Writer) -> None:
    answer(writer, 200, gzip.compress(b"unasked"), Content_Encoding="gzip")


async def garbage(server: Server, request: Request, writer: Writer) -> None:
    writer.write(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")
    writer.close()


ROUTES: dict[str, Route] = {
    "/ok/": ok,
    "/slow": slow,
    "/dripping": dripping,
    "/truncated": truncated,
    "/chunked-truncated": chunked_truncated,
    "/flaky": flaky,
    "/once-broken": once_broken,
    "/busy": busy,
    "/reset": reset,
    "/endless": endless,
    "/huge": huge,
    "/redirect-loop": redirect_loop,
    "/redirect-to-nowhere": redirect_to_nowhere,
    "/redirect-to": redirect_to,
    "/html.jpg": html,
    "/etag": etag,
    "/tagged/": tagged,
    "/last-modified": last_modified,
    "/ignorant-etag": ignorant_etag,
    "/odd/": odd,
    "/empty": empty,
    "/gzipped": gzipped,
    "/garbage": garbage,
}


@contextmanager
def serve(
    pictures: dict[str, bytes] | None = None, tls: ssl.SSLContext | None = None, address: str = "127.0.0.1"
) -> Iterator[Server]:
    """Serve on an ephemeral port of `address`, in a thread, until the block is left."""
    server = Server(pictures or {}, scheme="https" if tls else "http")
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    listener = asyncio.run_coroutine_threadsafe(_listen(server, tls, address), loop).result()
    try:
        yield server
    finally:
        asyncio.run_coroutine_threadsafe(_end(listener), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _listen(server: Server, tls: ssl.SSLContext | None, address: str) -> asyncio.Server:
    async def converse(reader: asyncio.StreamReader, writer: Writer) -> None:
        server.connections += 1
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while not writer.is_closing():
                await _answer_one(server, await _next_request(reader), writer)
        writer.close()
        with suppress(ConnectionError, ssl.SSLError, asyncio.CancelledError):
            await writer.wait_closed()

    listener = await asyncio.start_server(converse, address, 0, ssl=tls, backlog=1000)
    server.port = listener.sockets[0].getsockname()[1]
    return listener


async def _next_request(reader: asyncio.StreamReader) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    fields = (line.split(": ", 1) for line in head[1:] if line)
    return Request(head[0].split(" ")[1], {name.lower(): value for name, value in fields}, time.monotonic())


async def _answer_one(server: Server, request: Request, writer: Writer) -> None:
    server.requests.append(request)
    server.busy += 1
    server.busiest = max(server.busiest, server.busy)
    try:
        route = status if request.path[1:].isdecimal() else _route(request.path)
        await route(server, request, writer)
    finally:
        server.busy -= 1
    await writer.drain()


def _route(path: str) -> Route:
    exact = ROUTES.get(path)
    return exact or next(route for prefix, route in ROUTES.items() if path.startswith(prefix))


async def _end(listener: asyncio.Server) -> None:
    for each in listener.sockets:  # accept no more first: asyncio forgets a connection that has no task at the close
        asyncio.get_running_loop().remove_reader(each)
    for _ in range(5):  # turns of the loop from accepting to the task
        await asyncio.sleep(0)
    listener.close()
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.sleep(0)  # transports close one turn later
