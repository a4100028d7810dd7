"""The HTTP client: time-outs, caps, retries, and politeness towards each host.

aiohttp, because it costs less per answer: 2,000 bodies of 20 KB from a server that waits 50 ms, 64 at a time, on two
cores with other work: 354 to 895 images/s at 0.5 to 0.75 ms of CPU each, httpx 61 to 88 at 7 to 9 ms
(tests/benchmarks/fetch.py).

At most `per_host` requests at once go to a host. One that answers 429 or 5xx with Retry-After rests as a whole, for
all URLs; where it asks for more than MAX_REST_S, its URLs fail with that status and without a request until then.
Whoever does not try again (`retries` 0: a server, of whom many ask) leaves no host alone for what it answered another.
Other passing failures wait for an exponential time with full jitter (Brooker, "Exponential backoff and jitter", 2015).
Where the process may open no more files, a request waits until it may: that says nothing of the URL.

Knows nothing of threads (see fetch.Fetcher) or pictures.
"""

from __future__ import annotations

import asyncio
import functools
import importlib.metadata
import random
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import NoReturn
from urllib.parse import urljoin

import aiohttp
from aiohttp.abc import AbstractResolver as Resolver
from multidict import CIMultiDict
from yarl import URL

from visioncli.errors import FetchError, is_passing
from visioncli.io.address import Address, parse_url
from visioncli.io.fetch import NO_DESCRIPTORS, PATIENCE_S, PAUSE_S, Fetched, FetchOptions, Unchanged, trust
from visioncli.io.hosts import MAX_REST_S, Host, HostRestsError, Hosts
from visioncli.io.sockets import REFUSED, Sockets
from visioncli.samples import legible

__all__ = ["Client", "Resolver", "open_client", "translate"]

MAX_REDIRECTS = 5
_CONNECT_S = 10.0  # for name, TCP and TLS together
_BACKOFF_S, _MAX_BACKOFF_S = 0.5, 20.0
_WHOLE = (200, 203)  # 206 would be a part that nobody asked for
_REDIRECTS = (301, 302, 303, 307, 308)


class _NoDescriptorError(FetchError):
    """The process may open no more files just now."""


@dataclass(slots=True)
class _Attempt:
    """One walk along redirects. `seconds` is what is left of --timeout."""

    origin: Address
    seen: str | None
    seconds: float


@dataclass(slots=True)
class Client:
    options: FetchOptions
    hosts: Hosts
    sockets: Sockets
    sessions: Mapping[tuple[bool, bool], aiohttp.ClientSession]  # (is guarded, keeps its connections) -> session

    async def fetch(self, uri: bytes, seen: str | None) -> Fetched | Unchanged:
        """Fetch one URL, trying again after passing failures. Raises FetchError."""
        origin = parse_url(uri)
        for tried in range(self.options.retries):
            try:
                return await self._patiently(origin, seen)
            except FetchError as error:
                if isinstance(error, HostRestsError) or not _is_worth_another_try(error.code):
                    raise
            await asyncio.sleep(random.uniform(0, min(_MAX_BACKOFF_S, _BACKOFF_S * 2**tried)))
        return await self._patiently(origin, seen)

    async def close(self) -> None:
        for session in self.sessions.values():
            await session.close()

    async def _patiently(self, origin: Address, seen: str | None) -> Fetched | Unchanged:
        """An attempt for which there are descriptors."""
        until = time.monotonic() + PATIENCE_S
        while True:
            try:
                return await self._attempt(origin, seen)
            except _NoDescriptorError:
                if time.monotonic() > until:
                    raise
            await asyncio.sleep(PAUSE_S)

    async def _attempt(self, origin: Address, seen: str | None) -> Fetched | Unchanged:
        attempt = _Attempt(origin, seen, self.options.timeout_s)
        address = origin
        for _ in range(MAX_REDIRECTS + 1):
            answer = await self._politely(address, attempt)
            if not isinstance(answer, Address):
                return answer
            address = answer
        raise FetchError("fetch_redirects", f"more than {MAX_REDIRECTS} redirects")

    async def _politely(self, address: Address, attempt: _Attempt) -> Fetched | Unchanged | Address:
        """One request, when its turn has come."""
        async with self.hosts.turn(address) as host, self.sockets.room:
            begun = time.monotonic()
            try:
                async with asyncio.timeout(attempt.seconds):
                    return await self._request(address, attempt, host)
            except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
                translate(error, address, self.options)
            finally:
                attempt.seconds -= time.monotonic() - begun

    async def _request(self, address: Address, attempt: _Attempt, host: Host) -> Fetched | Unchanged | Address:
        session = self.session_for(address)
        url = URL(str(address), encoded=True)
        async with session.get(url, headers=self._headers(address, attempt), allow_redirects=False) as response:
            if response.status in _REDIRECTS:
                return _follow(address, response)
            if response.status == 304 and attempt.seen is not None:
                return Unchanged(attempt.seen)
            if response.status not in _WHOLE:
                _refuse(response, host, self.options)
            version = response.headers.get("ETag") or response.headers.get("Last-Modified")
            version = None if version is None else legible(version)
            if version is not None and version == attempt.seen:
                return Unchanged(version)  # the connection is closed under the rest of the body
            return Fetched(await _read_body(response, self.options.max_bytes), version)

    def session_for(self, address: Address) -> aiohttp.ClientSession:
        """Return a guarded session, unless --guard is off or --allow-host names the host, alone or with this port."""
        lets_pass = {address.host, f"{address.host}:{address.port}"} & {*self.options.allow_hosts}
        return self.sessions[self.options.guard and not lets_pass, not self.sockets.is_crowded]

    def _headers(self, address: Address, attempt: _Attempt) -> CIMultiDict[str]:
        headers = CIMultiDict(
            {"User-Agent": _user_agent(), "Accept": "image/*,*/*;q=0.8", "Accept-Encoding": "identity"}
        )
        if attempt.seen is not None:
            is_etag = attempt.seen.startswith(('"', "W/"))
            headers["If-None-Match" if is_etag else "If-Modified-Since"] = attempt.seen
        if attempt.origin.may_share_secrets_with(address):
            if attempt.origin.authorization:
                headers["Authorization"] = attempt.origin.authorization
            headers.update(self.options.headers)
        return headers


async def open_client(options: FetchOptions, resolver: Resolver | None = None) -> Client:
    """Build the client, inside the running loop that will use it; `resolver` None: the system's.

    Raises UsageError for a bad --ca-cert.
    """
    tls, sockets = trust(options.ca_cert), Sockets()

    def session(is_guarded: bool, keeps: bool) -> aiohttp.ClientSession:
        """No limits, cookies or proxies of aiohttp's own: hosts are limited here, and a proxy would pass the guard."""
        make = sockets.guarded if is_guarded else sockets.free
        connector = aiohttp.TCPConnector(
            limit=0, ssl=tls, socket_factory=make, resolver=resolver, force_close=not keeps
        )
        timeout = aiohttp.ClientTimeout(total=None, connect=_CONNECT_S)
        return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar(), timeout=timeout)

    sessions = {
        (is_guarded, keeps): session(is_guarded, keeps) for is_guarded in (False, True) for keeps in (False, True)
    }
    return Client(options, Hosts(options.per_host), sockets, sessions)


def _follow(address: Address, response: aiohttp.ClientResponse) -> Address:
    location = response.headers.get("Location")
    try:
        target = urljoin(str(address), location or "nowhere:")
        return parse_url(target.encode("utf-8", "surrogateescape"))
    except (FetchError, ValueError) as error:
        raise FetchError("fetch_redirects", f"a redirect leads to {location!r}") from error


def _refuse(response: aiohttp.ClientResponse, host: Host, options: FetchOptions) -> NoReturn:
    code = f"http_{response.status}"
    rest = _seconds(response.headers.get("Retry-After"))
    if rest is not None and options.retries and _is_worth_another_try(code):
        host.rest(rest, code)
    kind = HostRestsError if (rest or 0) > MAX_REST_S else FetchError
    raise kind(code, f"the server answered {response.status} {legible(response.reason or '')}".rstrip())


def _seconds(retry_after: str | None) -> float | None:
    """Seconds or an HTTP date (RFC 9110, 10.2.3)."""
    if retry_after is None:
        return None
    if retry_after.isdecimal():
        return float(retry_after)
    try:
        return parsedate_to_datetime(retry_after).timestamp() - time.time()
    except ValueError:
        return None


async def _read_body(response: aiohttp.ClientResponse, max_bytes: int) -> bytes:
    """Leaves an endless or too long body as soon as it can be told."""
    too_many = FetchError("too_many_bytes", f"the body has more than the {max_bytes} bytes allowed")
    if (response.content_length or 0) > max_bytes:
        raise too_many
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > max_bytes:
            raise too_many
    if not body:
        raise FetchError("empty_file", "the body has no bytes")
    return bytes(body)


def _is_worth_another_try(code: str) -> bool:
    return is_passing(code) or code.startswith("http_5")


def translate(error: Exception, address: Address, options: FetchOptions) -> NoReturn:
    """Raise what went wrong with a request as FetchError."""
    words = f"{address.host}: {legible(str(error)) or type(error).__name__}"
    match error:
        case OSError() if error.errno in NO_DESCRIPTORS:
            raise _NoDescriptorError("fetch_connection", words) from error
        case TimeoutError():
            raise FetchError("fetch_timeout", f"no complete answer from {address.host} within {options.timeout_s:g} s")
        case _ if REFUSED in words:
            raise FetchError("url_refused", words) from error
        case aiohttp.ClientConnectorCertificateError() | aiohttp.ClientSSLError() | ssl.SSLError():
            raise FetchError("fetch_tls", words) from error
        case aiohttp.ClientPayloadError():
            raise FetchError("fetch_truncated", words) from error
        case aiohttp.InvalidURL() | ValueError():
            raise FetchError("url_invalid", words) from error
        case _:
            raise FetchError("fetch_connection", words) from error


@functools.cache
def _user_agent() -> str:
    try:
        version = importlib.metadata.version("visioncli")
    except importlib.metadata.PackageNotFoundError:
        version = "0"
    return f"visioncli/{version} (+batch image fetch)"
