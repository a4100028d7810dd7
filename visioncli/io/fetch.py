"""uri -> bytes: files and members of tars are read here, URLs by the client in `web.py` on a thread of its own.

Knows nothing of pictures: bytes, a version that tells whether they changed, and a code for each way to get none.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import errno
import os
import re
import ssl
import stat as modes
import threading
import time
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Self

from visioncli.errors import FetchError, UsageError
from visioncli.samples import display

if TYPE_CHECKING:
    from visioncli.io.web import Client

_REMOTE = re.compile(rb"[A-Za-z][A-Za-z0-9+.-]*://")
_MEMBER = re.compile(rb"tar:(\d+):(\d+):(.+)", re.DOTALL)
NO_DESCRIPTORS = (errno.EMFILE, errno.ENFILE)  # the process, or the machine, has as many files open as it may
PATIENCE_S, PAUSE_S = 60.0, 0.1  # how long a row waits until it may open one, and how often it looks
_ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP)


@dataclass(frozen=True, slots=True)
class FetchOptions:
    timeout_s: float = 30.0  # whole answer of one attempt, redirects included, waiting for a slot excluded
    retries: int = 3  # further attempts after the first
    per_host: int = 8  # concurrent requests to one host
    max_bytes: int = 128 * 10**6  # of one file; a 100-megapixel JPEG takes about 50 MB
    headers: tuple[tuple[str, str], ...] = ()  # sent to the URL's own host, never to another after a redirect
    ca_cert: str | None = None  # PEM file, trusted beside the system's authorities
    guard: bool = False  # refuse private, loopback, link-local and metadata addresses
    allow_hosts: tuple[str, ...] = ()  # names or addresses that --guard lets pass


@dataclass(frozen=True, slots=True)
class Fetched:
    data: bytes
    version: str | None  # modification time in ns, ETag, or Last-Modified


@dataclass(frozen=True, slots=True)
class Unchanged:
    """The version equals the one seen before; the bytes were not read."""

    version: str


def trust(ca_cert: str | None) -> ssl.SSLContext:
    """Return what TLS is to trust: the system's authorities, and those of a PEM file. Raises UsageError."""
    context = ssl.create_default_context()
    if ca_cert is not None:
        try:
            context.load_verify_locations(ca_cert)
        except OSError as error:
            raise UsageError(f"--ca-cert {ca_cert} cannot be read: {error}") from error
    return context


def is_remote(uri: bytes) -> bool:
    return _REMOTE.match(uri) is not None


def stat(uri: bytes) -> tuple[int, str] | None:
    """Return (bytes, version) of a local uri without opening it, None when it is not there or is remote.

    A member of a tar has its own size and the tar's version. A job calls a file unchanged when both are equal.
    """
    member = _MEMBER.fullmatch(uri)
    try:
        facts = os.stat(member[3] if member else uri)
    except (OSError, ValueError):
        return None
    return int(member[2]) if member else facts.st_size, str(facts.st_mtime_ns)


def read(uri: bytes, options: FetchOptions, seen: str | None = None) -> Fetched | Unchanged:
    """Read one uri, in the calling thread.

    An absolute path in any encoding; `tar:<offset>:<size>:<path>`, a member of an uncompressed tar; or one URL (for
    many, keep a Fetcher). `seen` matters to URLs alone: a file's version says too little without its size.
    Raises FetchError.
    """
    if is_remote(uri):
        with Fetcher(options) as fetcher:
            return fetcher.submit(uri, seen).result()
    member = _MEMBER.fullmatch(uri)
    path = member[3] if member else uri
    extent = (int(member[1]), int(member[2])) if member else None
    until = time.monotonic() + PATIENCE_S
    while True:
        try:
            return _read_file(path, extent, options)
        except ValueError as error:  # a NUL in the path
            raise FetchError("file_not_found", f"{display(path)!r} can be no path") from error
        except OSError as error:
            if error.errno not in NO_DESCRIPTORS or time.monotonic() > until:
                code = "file_not_found" if error.errno in _ABSENT else "file_unreadable"
                raise FetchError(code, f"{display(path)}: {os.strerror(error.errno or 0)}") from error
        time.sleep(PAUSE_S)


def _read_file(path: bytes, extent: tuple[int, int] | None, options: FetchOptions) -> Fetched:
    """`extent` is (offset, size), None for the whole file."""
    name = display(path)
    if not modes.S_ISREG(os.stat(path).st_mode):  # before open, which would wait for a pipe's writer
        raise FetchError("not_a_file", f"{name} is not a regular file")
    with open(path, "rb", buffering=0) as file:
        before = os.fstat(file.fileno())
        offset, size = extent or (0, before.st_size)
        if not size:
            raise FetchError("empty_file", f"{name} has no bytes")
        if size > options.max_bytes:
            raise FetchError("too_many_bytes", f"{name} has {size} bytes, more than the {options.max_bytes} allowed")
        file.seek(offset)
        data = _read_up_to(file.fileno(), size)
        after = os.fstat(file.fileno())
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise FetchError("file_changed", f"{name} changed while it was read")
    if len(data) < size:
        raise FetchError("fetch_truncated", f"{name} ended after {len(data)} of {size} bytes")
    return Fetched(data, str(before.st_mtime_ns))


def _read_up_to(descriptor: int, size: int) -> bytes:
    """One read is one system call, and returns less than asked for above 2 GiB or on a signal."""
    data = os.read(descriptor, size)
    while len(data) < size and (more := os.read(descriptor, size - len(data))):
        data += more
    return data


class Fetcher:
    """Fetches URLs, many at once, on one thread with one client that keeps its connections.

    A context manager; leaving it cancels what is under way. `submit` may be called from any thread and never blocks:
    whoever submits bounds how much is in flight.
    """

    def __init__(self, options: FetchOptions) -> None:
        self._options = options
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fetch", daemon=True)
        self._client: Client

    def __enter__(self) -> Self:
        from visioncli.io.web import open_client  # aiohttp, 0.2 s: only for who has a URL

        self._thread.start()
        try:
            self._client = asyncio.run_coroutine_threadsafe(open_client(self._options), self._loop).result()
        except BaseException:
            self._stop()
            raise
        return self

    def submit(self, uri: bytes, seen: str | None = None) -> concurrent.futures.Future[Fetched | Unchanged]:
        """Begin to fetch; `seen` is a version that an earlier answer carried. The future may raise FetchError."""
        return asyncio.run_coroutine_threadsafe(self._fetch(uri, seen), self._loop)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result()
        self._stop()

    async def _fetch(self, uri: bytes, seen: str | None) -> Fetched | Unchanged:
        if is_remote(uri):
            return await self._client.fetch(uri, seen)
        return await asyncio.to_thread(read, uri, self._options, seen)

    async def _close(self) -> None:
        unfinished = asyncio.all_tasks() - {asyncio.current_task()}
        for task in unfinished:
            task.cancel()
        await asyncio.gather(*unfinished, return_exceptions=True)
        await self._client.close()

    def _stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
