"""Bodies of all requests together, and how slowly one may come, over real sockets."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager

import httpx
import pytest
from starlette.types import Receive, Scope, Send

from tests.server.dialects.serving import settings_of
from tests.server.listening import PATIENCE_S, get, on_a_port
from tests.server.looping import in_loop, until
from visioncli.server import DIALECTS, create_app
from visioncli.server import intake as module
from visioncli.server.intake import Intake, client_of
from visioncli.server.refusals import Busy, Stopping
from visioncli.server.service import Service

BUSY = {"runpod": 429}  # all others: 503
PATHS = {
    "runpod": "/v2/x/runsync",
    "hf-endpoint": "/",
    "vision-models": "/inference/sam3",
    "hailo-clip": "/v1/embed/image",
    "sagemaker-clip": "/invocations",
}
SLOW = "the body did not come in in time"
WORDS = {  # of a 408
    "vision-models": {"detail": SLOW},
    "hailo-clip": {"error": "Request timed out"},
}


@contextmanager
def stalled(address: str, path: str, size: int, source: str = "127.0.0.1") -> Iterator[socket.socket]:
    """A client that sent `size` bytes of a longer body and goes no further."""
    host, port = address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=PATIENCE_S, source_address=(source, 0)) as client:
        head = (
            f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {size + 9}\r\n\r\n"
        )
        client.sendall(head.encode() + b" " * size)
        yield client


@contextmanager
def taking(dialect: str, intake: Intake) -> Iterator[tuple[str, str]]:
    """Yield the address of an API behind an intake, and a path that takes bodies."""
    with on_a_port(intake.bounded(create_app(dialect, Service(settings_of(dialect))))) as address:
        yield address, PATHS[dialect]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_bodies_beyond_the_room_are_refused_as_the_api_says_busy(dialect: str) -> None:
    intake = Intake(150_000)
    with taking(dialect, intake) as (address, path), stalled(address, path, 60_000):
        _until(lambda: intake.held == 60_000)
        refused = httpx.post(address + path, content=b" " * 60_000)
        assert refused.status_code == BUSY.get(dialect, 503)
        assert refused.headers["Retry-After"] == "2"
    _until(lambda: intake.held == 0)


def test_one_client_leaves_room_for_the_others() -> None:
    intake = Intake(150_000)
    with taking("hailo-clip", intake) as (address, path), stalled(address, path, 60_000, "127.0.0.2"):
        _until(lambda: intake.held == 60_000)
        with stalled(address, path, 40_000, "127.0.0.3"):
            _until(lambda: intake.held == 100_000)
            assert httpx.post(address + path, content=b" " * 20_000).status_code == 400  # read, and no JSON


@pytest.mark.parametrize(("clients", "share"), [(1, 500), (2, 333), (3, 250), (9, 100)])
@in_loop
async def test_clients_who_take_what_they_can_get_leave_a_share_free(clients: int, share: int) -> None:
    intake = Intake(1000)
    got = dict.fromkeys(map(str, range(clients)), 0)
    for _ in range(1000):
        for client in got:
            try:
                intake.take(client, 1)
            except Busy:
                continue
            got[client] += 1
    assert set(got.values()) <= {share, share + 1} and 1000 - intake.held >= share


def test_a_clients_body_that_stopped_coming_gives_way_to_its_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GIVES_WAY_S", 0.0)
    intake = Intake(150_000)
    with taking("hailo-clip", intake) as (address, path), stalled(address, path, 40_000, "127.0.0.2") as other:
        _until(lambda: intake.held == 40_000)
        with stalled(address, path, 50_000) as client:
            _until(lambda: intake.held == 90_000)
            assert httpx.post(address + path, content=b" " * 30_000).status_code == 400  # read, and no JSON
            answer = client.recv(1000)
            assert answer.startswith(b"HTTP/1.1 503 ") and b"\r\nconnection: close\r\n" in answer
        other.sendall(b" " * 9)
        assert other.recv(100).startswith(b"HTTP/1.1 400 ")  # another client's is left alone


@pytest.mark.parametrize(
    ("host", "whose"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2::3", str(0x20010DB800010002)),
        ("2001:db8:1:2:ffff::9%eth0", str(0x20010DB800010002)),
    ],
)
def test_a_client_is_an_address_or_a_subscribers_network(host: str, whose: str) -> None:
    assert client_of({"client": (host, 1)}) == whose


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_body_that_does_not_come_in_is_a_408_in_the_apis_shape(dialect: str) -> None:
    intake = Intake(patience_s=0.3)
    with taking(dialect, intake) as (address, path), stalled(address, path, 100_000) as client:
        answer = b"".join(iter(lambda: client.recv(65536), b"")).decode()  # to the connection's end
        declared = get(address + "/openapi.json").json()["paths"]
    assert answer.startswith("HTTP/1.1 408 ") and "\r\nconnection: close\r\n" in answer
    assert httpx.Response(408, text=answer.partition("\r\n\r\n")[2]).json() == WORDS.get(dialect, {"error": SLOW})
    assert "408" in declared[path.replace("/x/", "/{endpoint_id}/")]["post"]["responses"]
    assert intake.held == 0


def test_a_body_that_is_not_there_at_the_requests_deadline_is_cut_off() -> None:
    with taking("hailo-clip", Intake(deadline_s=0.3)) as (address, path), stalled(address, path, 10) as client:
        assert client.recv(100).startswith(b"HTTP/1.1 408 ")


def test_a_slow_body_is_read_as_long_as_enough_of_it_comes() -> None:
    with taking("hailo-clip", Intake(patience_s=3)) as (address, path):
        pieces = _slowly([b" " * 2**18] * 8, 0.5)
        assert asyncio.run(_posted(address + path, pieces)).status_code == 400  # read to its end, and no JSON


@in_loop
async def test_a_server_that_stops_waits_for_no_body() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        with pytest.raises(Stopping):
            await receive()

    intake = Intake()
    answering = asyncio.create_task(intake.bounded(app)({"type": "http"}, asyncio.Event().wait, None))  # type: ignore[arg-type]
    await until(lambda: bool(intake.waiting))
    intake.stop()
    await answering


def test_a_long_answer_goes_out_in_pieces() -> None:
    sent: list[int] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": bytes(600 * 1024)})

    async def send(message: object) -> None:
        assert isinstance(message, dict)
        sent.extend([len(message["body"])] if "body" in message else [])

    asyncio.run(Intake().bounded(app)({"type": "http"}, None, send))  # type: ignore[arg-type]
    assert sent == [256 * 1024, 256 * 1024, 88 * 1024]


def test_what_an_app_raises_gives_the_room_back() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert (await receive())["body"] == b"1234"
        raise RuntimeError("fell")

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": b"1234", "more_body": False}

    intake = Intake(10)
    with pytest.raises(RuntimeError, match="fell"):
        asyncio.run(intake.bounded(app)({"type": "http"}, receive, None))  # type: ignore[arg-type]
    assert intake.held == 0


async def _slowly(pieces: list[bytes], pause_s: float) -> AsyncIterator[bytes]:
    for piece in pieces:
        await asyncio.sleep(pause_s)
        yield piece


async def _posted(url: str, content: AsyncIterator[bytes]) -> httpx.Response:
    async with httpx.AsyncClient(timeout=PATIENCE_S) as client:
        return await client.post(url, content=content)


def _until(holds: Callable[[], bool]) -> None:
    until = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.01)
