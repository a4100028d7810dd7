"""Bodies of all requests together, over real sockets."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from tests.server.dialects.serving import settings_of
from tests.server.listening import on_a_port
from visioncli.server import DIALECTS, create_app
from visioncli.server.intake import Intake
from visioncli.server.service import Service

BUSY = {"runpod": 429}  # all others: 503
PATHS = {
    "runpod": "/v2/x/runsync",
    "hf-endpoint": "/",
    "vision-models": "/inference/sam3",
    "hailo-clip": "/v1/embed/image",
    "sagemaker-clip": "/invocations",
}


@contextmanager
def stalled(address: str, path: str, size: int) -> Iterator[None]:
    """A client that sent `size` bytes of a longer body and goes no further."""
    host, port = address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as client:
        head = (
            f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {size + 9}\r\n\r\n"
        )
        client.sendall(head.encode() + b" " * size)
        yield


@pytest.mark.parametrize("dialect", DIALECTS)
def test_bodies_beyond_the_room_are_refused_as_the_api_says_busy(dialect: str) -> None:
    intake = Intake(100_000)
    app = intake.bounded(create_app(dialect, Service(settings_of(dialect))))
    with on_a_port(app) as address:
        with stalled(address, PATHS[dialect], 60_000):
            _until(lambda: intake.held == 60_000)
            refused = httpx.post(address + PATHS[dialect], content=b" " * 60_000)
            assert refused.status_code == BUSY.get(dialect, 503)
            assert refused.headers["Retry-After"] == "2"
        _until(lambda: intake.held == 0)


def test_what_an_app_raises_gives_the_room_back() -> None:
    async def app(scope, receive, send):  # type: ignore[no-untyped-def]
        assert (await receive())["body"] == b"1234"
        raise RuntimeError("fell")

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": b"1234", "more_body": False}

    intake = Intake(10)
    with pytest.raises(RuntimeError, match="fell"):
        asyncio.run(intake.bounded(app)({"type": "http"}, receive, None))  # type: ignore[arg-type]
    assert intake.held == 0


def _until(holds) -> None:  # type: ignore[no-untyped-def]
    until = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.01)
