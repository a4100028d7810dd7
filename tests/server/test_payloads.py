"""What a request holds of pictures, over real sockets and with a resolver of the test's own."""

from __future__ import annotations

import asyncio
import base64
import socket
from dataclasses import replace
from typing import Any

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from tests import misbehaving
from tests.server.dialects.serving import LOOPBACK
from visioncli.errors import FetchError
from visioncli.io.fetch import FetchOptions
from visioncli.server.payloads import Payloads, Picture, unpack

DATA = bytes(range(256)) * 3
PACKED = base64.b64encode(DATA).decode()


@pytest.mark.parametrize(
    "given",
    [
        PACKED,
        f"data:image/png;base64,{PACKED}",
        f"DATA:;base64,{PACKED}",
        PACKED.rstrip("="),
        "\n".join(PACKED[i : i + 76] for i in range(0, len(PACKED), 76)) + "\n",
        base64.urlsafe_b64encode(DATA).decode(),
    ],
)
def test_base64_is_read_as_clients_write_it(given: str) -> None:
    assert unpack(given, 10_000) == Picture(DATA)


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ("not base64!", "base64_invalid"),
        ("é", "base64_invalid"),
        ("\ud800", "base64_invalid"),
        ("A", "base64_invalid"),
        ("", "empty_file"),
        ("  \n", "empty_file"),
        ("data:image/png;base64,", "empty_file"),
        (base64.b64encode(bytes(2000)).decode(), "too_many_bytes"),
        ("A" * 10**6, "too_many_bytes"),
    ],
)
def test_what_is_no_picture_is_refused(given: str, code: str) -> None:
    with pytest.raises(FetchError) as refused:
        unpack(given, 1000)
    assert refused.value.code == code


class Book(AbstractResolver):
    """Answers from a table, and remembers what it was asked."""

    def __init__(self, places: dict[str, str]) -> None:
        self.places, self.asked = places, list[str]()

    async def resolve(self, host: str, port: int = 0, family: Any = socket.AF_INET) -> list[ResolveResult]:
        self.asked.append(host)
        if host not in self.places:
            raise OSError(f"{host} is not known")
        place = self.places[host]
        return [ResolveResult(hostname=host, host=place, port=port, family=family, proto=0, flags=0)]

    async def close(self) -> None:
        pass


class Listener:
    """A socket that counts who connects."""

    def __init__(self) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.socket.settimeout(0.05)
        self.port = self.socket.getsockname()[1]

    def connections(self) -> int:
        count = 0
        while True:
            try:
                self.socket.accept()[0].close()
                count += 1
            except TimeoutError:
                return count


PLACES = {"inner.example": "127.0.0.1", "2130706433": "127.0.0.1", "0177.0.0.1": "127.0.0.1", "meta": "169.254.169.254"}


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("http://169.254.169.254/latest/meta-data", "url_refused"),
        ("http://127.0.0.1:PORT/a.png", "url_refused"),
        ("http://[::1]:PORT/a.png", "url_refused"),
        ("http://inner.example:PORT/a.png", "url_refused"),
        ("http://2130706433:PORT/a.png", "url_invalid"),
        ("http://0177.0.0.1:PORT/a.png", "url_invalid"),
        ("http://meta/", "url_refused"),
        ("file:///etc/passwd", "url_invalid"),
        ("FILE:/etc/passwd", "url_invalid"),
        ("ftp://inner.example/a.png", "url_invalid"),
        ("gopher://inner.example:PORT/a", "url_invalid"),
    ],
)
def test_a_url_that_leads_inside_is_refused_without_a_connection(url: str, code: str) -> None:
    listener = Listener()

    async def work() -> FetchError:
        payloads = Payloads(FetchOptions(guard=True, retries=0, timeout_s=5), Book(PLACES))
        try:
            with pytest.raises(FetchError) as refused:
                await payloads.picture(url.replace("PORT", str(listener.port)))
            return refused.value
        finally:
            await payloads.close()

    with listener.socket:
        error = asyncio.run(work())
        assert error.code == code
        assert listener.connections() == 0
    if code == "url_refused":  # and nothing is told of where the name leads
        host = url.partition("://")[2].partition("/")[0].removesuffix(":PORT").strip("[]")
        assert str(error) == f"{host} does not lead to a public address"


def test_a_host_that_is_allowed_with_its_port_is_reached_and_no_other_port() -> None:
    listener, other = Listener(), Listener()

    async def work() -> None:
        options = FetchOptions(guard=True, retries=0, timeout_s=0.3, allow_hosts=(f"127.0.0.1:{listener.port}",))
        payloads = Payloads(options)
        for each in (listener, other):
            with pytest.raises(FetchError):
                await payloads.picture(f"http://127.0.0.1:{each.port}/a.png")
        await payloads.close()

    with listener.socket, other.socket:
        asyncio.run(work())
        assert (listener.connections(), other.connections()) == (1, 0)


def fetched(server: misbehaving.Server, *paths: str, **options: Any) -> list[Any]:
    """What becomes of URLs that are asked for together."""

    async def work() -> list[Any]:
        payloads = Payloads(replace(LOOPBACK, **options))
        coming = (payloads.picture(server.url(path).decode()) for path in paths)
        found = await asyncio.wait_for(asyncio.gather(*coming, return_exceptions=True), 15)
        await payloads.close()
        return [each.code if isinstance(each, FetchError) else each for each in found]

    return asyncio.run(work())


def test_one_client_is_not_made_to_wait_by_what_a_host_told_another() -> None:
    """`/flaky` answers the first request with Retry-After, all others with what it has."""
    with misbehaving.serve({}) as server:
        found = fetched(server, "/flaky?after=45", "/flaky?after=45", per_host=1, timeout_s=5)
        assert found == ["http_429", Picture(b"at last")]


def test_waiting_for_a_host_s_turn_counts_against_the_time_out() -> None:
    with misbehaving.serve({}) as server:
        paths = [f"/slow?s=60&n={number}" for number in range(40)]
        assert fetched(server, *paths, per_host=1, timeout_s=1.0) == ["fetch_timeout"] * 40  # 40 s one after the other
